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

train() { # name of the run, file to write, flags of its own
    run=$1 export=$2
    shift 2
    python train_wav2lip.py --data "$TRACKS" --val "$OTHERS" --max_offset 10 \
        --cache "$WORK/cache" --cache_gb 20.0 --workers 1 --stage expert --run "$WORK/$run" \
        --teacher "$TEACHER" --export "$export" --device cpu --log_every 20 --width 0.5 \
        --batch_size 96 --sync_weight 0.03 --sync_from 0.75 --sync_at -1 \
        --adversarial_weight 0.07 --mouth_weight 4.0 --structure_weight 0.2 \
        --detail_weight 0.012 --taught_weight 0.1 --precision fp32 "$@"
}

train run1 "$WORK/first.safetensors" --min_confidence 1.0 --taught_steps 300 --seed 1 \
    --save_every 100 --eval_every 500 --steps 1700 --lr 0.001 --warmup 100 --average 0.998 \
    --weight_decay 0.02

train run2 "$WORK/second.safetensors" --init "$WORK/first.safetensors" --min_confidence 1.0 \
    --taught_steps 0 --seed 1 --save_every 100 --eval_every 500 --steps 1000 --lr 8e-4 \
    --warmup 50 --average 0.99 --weight_decay 0.02

train run3 "$WORK/third.safetensors" --init "$WORK/second.safetensors" --min_confidence 1.0 \
    --taught_steps 0 --seed 1 --save_every 100 --eval_every 500 --steps 4500 --lr 1.5e-3 \
    --warmup 50 --average 0.998 --weight_decay 0.03

# What the teacher of today hardly follows is left out.
train run4 "$EXPORT" --init "$WORK/third.safetensors" --min_confidence 4.0 \
    --taught_steps 0 --seed 2 --save_every 50 --eval_every 250 --steps 1200 --lr 8e-4 \
    --warmup 50 --average 0.998 --weight_decay 0.03
