#!/bin/sh
# The small expert, which judges lips for the generator, from cropped tracks.
#
#     TRACKS=data/tracks/train OTHERS=data/tracks/val recipes/expert.sh
#
# In the folder of the repository. It learns from a SyncNet first, then from pairs, in four
# runs that start from one another.
set -eu

TRACKS=${TRACKS:-data/tracks/train} # people to learn from, cut by recipes/tracks.sh
OTHERS=${OTHERS:-data/tracks/val}   # other people, to report on
TEACHER=${TEACHER:-models/weights/syncnet_small.safetensors}
WORK=${WORK:-data/training/expert}
EXPORT=${EXPORT:-$WORK/expert_small.safetensors}

python train_wav2lip.py --data "$TRACKS" --val "$OTHERS" --min_confidence 1.0 --max_offset 10 \
    --cache "$WORK/cache" --cache_gb 20.0 --workers 1 --stage expert --run "$WORK/run1" \
    --teacher "$TEACHER" --taught_steps 300 --export "$WORK/first.safetensors" --device cpu \
    --seed 1 --log_every 20 --save_every 100 --eval_every 500 --width 0.5 --steps 1700 \
    --batch_size 96 --lr 0.001 --warmup 100 --average 0.998 --weight_decay 0.02 \
    --sync_weight 0.03 --sync_from 0.75 --sync_at -1 --adversarial_weight 0.07 \
    --mouth_weight 4.0 --structure_weight 0.2 --detail_weight 0.012 --taught_weight 0.1 \
    --precision fp32

python train_wav2lip.py --data "$TRACKS" --val "$OTHERS" --min_confidence 1.0 --max_offset 10 \
    --cache "$WORK/cache" --cache_gb 20.0 --workers 1 --stage expert --run "$WORK/run2" \
    --teacher "$TEACHER" --taught_steps 0 --init "$WORK/first.safetensors" \
    --export "$WORK/second.safetensors" --device cpu --seed 1 --log_every 20 --save_every 100 \
    --eval_every 500 --width 0.5 --steps 1000 --batch_size 96 --lr 8e-4 --warmup 50 \
    --average 0.99 --weight_decay 0.02 --sync_weight 0.03 --sync_from 0.75 --sync_at -1 \
    --adversarial_weight 0.07 --mouth_weight 4.0 --structure_weight 0.2 --detail_weight 0.012 \
    --taught_weight 0.1 --precision fp32

python train_wav2lip.py --data "$TRACKS" --val "$OTHERS" --min_confidence 1.0 --max_offset 10 \
    --cache "$WORK/cache" --cache_gb 20.0 --workers 1 --stage expert --run "$WORK/run3" \
    --teacher "$TEACHER" --taught_steps 0 --init "$WORK/second.safetensors" \
    --export "$WORK/third.safetensors" --device cpu --seed 1 --log_every 20 --save_every 100 \
    --eval_every 500 --width 0.5 --steps 4500 --batch_size 96 --lr 1.5e-3 --warmup 50 \
    --average 0.998 --weight_decay 0.03 --sync_weight 0.03 --sync_from 0.75 --sync_at -1 \
    --adversarial_weight 0.07 --mouth_weight 4.0 --structure_weight 0.2 --detail_weight 0.012 \
    --taught_weight 0.1 --precision fp32

# The fourth leaves out what the teacher of today hardly follows.
python train_wav2lip.py --data "$TRACKS" --val "$OTHERS" --min_confidence 4.0 --max_offset 10 \
    --cache "$WORK/cache" --cache_gb 20.0 --workers 1 --stage expert --run "$WORK/run4" \
    --teacher "$TEACHER" --taught_steps 0 --init "$WORK/third.safetensors" --export "$EXPORT" \
    --device cpu --seed 2 --log_every 20 --save_every 50 --eval_every 250 --width 0.5 \
    --steps 1200 --batch_size 96 --lr 8e-4 --warmup 50 --average 0.998 --weight_decay 0.03 \
    --sync_weight 0.03 --sync_from 0.75 --sync_at -1 --adversarial_weight 0.07 \
    --mouth_weight 4.0 --structure_weight 0.2 --detail_weight 0.012 --taught_weight 0.1 \
    --precision fp32
