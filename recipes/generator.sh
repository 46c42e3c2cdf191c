#!/bin/sh
# The small generator, which draws new mouths, from cropped tracks.
#
#     TRACKS=data/tracks/train OTHERS=data/tracks/val recipes/generator.sh
#
# In the folder of the repository. First it learns to draw, then to listen, then the fine
# structure of mouths; EARLY is the expert after its first run, EXPERT after its second
# (recipes/expert.sh leaves both in its WORK).
set -eu

TRACKS=${TRACKS:-data/tracks/train} # people to learn from, cut by recipes/tracks.sh
OTHERS=${OTHERS:-data/tracks/val}   # other people, to report on
TEACHER=${TEACHER:-models/weights/syncnet_small.safetensors}
EARLY=${EARLY:-data/training/expert/first.safetensors}
EXPERT=${EXPERT:-data/training/expert/second.safetensors}
WORK=${WORK:-data/training/generator}
EXPORT=${EXPORT:-$WORK/wav2lip_small.safetensors}

python train_wav2lip.py --data "$TRACKS" --val "$OTHERS" --min_confidence 1.0 --max_offset 10 \
    --cache "$WORK/cache" --cache_gb 20.0 --workers 1 --stage generator --run "$WORK/run1" \
    --teacher none --taught_steps 300 --export "$WORK/first.safetensors" --device cpu --seed 1 \
    --log_every 20 --save_every 100 --eval_every 500 --width 0.25 --steps 3200 --batch_size 8 \
    --lr 0.001 --warmup 100 --average 0.995 --weight_decay 0.01 --sync_weight 0.03 \
    --sync_from 0.75 --sync_at -1 --adversarial_weight 0.07 --mouth_weight 0 \
    --structure_weight 0 --detail_weight 0 --taught_weight 0 --precision fp32

python train_wav2lip.py --data "$TRACKS" --val "$OTHERS" --min_confidence 1.0 --max_offset 10 \
    --cache "$WORK/cache" --cache_gb 20.0 --workers 1 --stage generator --run "$WORK/run2" \
    --teacher "$TEACHER" --taught_steps 300 --expert "$EARLY" --init "$WORK/first.safetensors" \
    --export "$WORK/second.safetensors" --device cpu --seed 1 --log_every 20 --save_every 100 \
    --eval_every 500 --width 0.25 --steps 1800 --batch_size 16 --lr 0.001 --warmup 50 \
    --average 0.99 --weight_decay 0.01 --sync_weight 0.05 --sync_from 0 --sync_at 300 \
    --adversarial_weight 0.07 --mouth_weight 8 --structure_weight 0 --detail_weight 0 \
    --taught_weight 0.1 --precision fp32

python train_wav2lip.py --data "$TRACKS" --val "$OTHERS" --min_confidence 1.0 --max_offset 10 \
    --cache "$WORK/cache" --cache_gb 20.0 --workers 1 --stage generator --run "$WORK/run3" \
    --teacher "$TEACHER" --taught_steps 300 --expert "$EXPERT" --init "$WORK/second.safetensors" \
    --export "$EXPORT" --device cpu --seed 1 --log_every 20 --save_every 100 --eval_every 500 \
    --width 0.25 --steps 4600 --batch_size 16 --lr 0.001 --warmup 50 --average 0.995 \
    --weight_decay 0.01 --sync_weight 0.03 --sync_from 0 --sync_at 0 --adversarial_weight 0.07 \
    --mouth_weight 8 --structure_weight 0.2 --detail_weight 0.012 --taught_weight 0.05 \
    --precision fp32
