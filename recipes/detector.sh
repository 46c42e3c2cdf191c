#!/bin/sh
# The small face detector from photographs, frames of clips and drawn heads.
#
#     STILLS=data/stills CORPUS=data/corpus recipes/detector.sh
#
# In the folder of the repository. STILLS holds labels.jsonl and images/, CORPUS faces.jsonl and
# the clips it names (training/batches/face_samples.py). The second run goes on from the first.
set -eu

STILLS=${STILLS:-data/stills}
CORPUS=${CORPUS:-data/corpus}
WORK=${WORK:-data/training/detector}
EXPORT=${EXPORT:-$WORK/s3fd_small.safetensors}

python -m training.detector --stills "$STILLS" --corpus "$CORPUS" --per_clip 16 --drawn 600 \
    --workers 1 --run "$WORK/run1" --export "$WORK/first.safetensors" --seed 1 --device cpu \
    --log_every 50 --save_every 100 --eval_every 500 --steps 5000 --batch_size 16 --lr 0.002 \
    --warmup 100 --average 0.998 --weight_decay 0.0001 --precision fp32

python -m training.detector --stills "$STILLS" --corpus "$CORPUS" --per_clip 16 --drawn 600 \
    --workers 1 --run "$WORK/run2" --init "$WORK/first.safetensors" --export "$EXPORT" --seed 2 \
    --device cpu --log_every 50 --save_every 250 --eval_every 1000 --steps 5000 --batch_size 16 \
    --lr 0.0006 --warmup 100 --average 0.998 --weight_decay 0.0001 --precision fp32
