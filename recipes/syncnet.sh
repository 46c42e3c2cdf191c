#!/bin/sh
# The small SyncNet from cropped tracks.
#
#     TRACKS=data/tracks/train OTHERS=data/tracks/val recipes/syncnet.sh
#
# In the folder of the repository. The second run starts from the first: stronger
# regularisation, for 600 steps. UNCLEAR names references of OTHERS whose own offset is not known:
# they are reported on, not calibrated on.
set -eu

TRACKS=${TRACKS:-data/tracks/train} # people to learn from, cut by recipes/tracks.sh
OTHERS=${OTHERS:-data/tracks/val}   # other people, to report on
UNCLEAR=${UNCLEAR:-v005 v028}
WORK=${WORK:-data/training/syncnet}
EXPORT=${EXPORT:-$WORK/syncnet_small.safetensors}

python train_syncnet.py --data "$TRACKS" --val "$OTHERS" --val_without $UNCLEAR \
    --min_confidence 1.0 --max_offset 10 --drawn 60 --cache "$WORK/cache" --cache_gb 20.0 \
    --grey 0.1 --workers 1 --run "$WORK/run1" --export "$WORK/first.safetensors" --device cpu \
    --seed 1 --log_every 20 --save_every 100 --eval_every 800 --patience 0 --steps 3200 \
    --objective multiway --refusal 0 --negatives same --refine_at 400 900 1600 --excerpts 16 --lr 0.001 \
    --warmup 50 --average 0.996 --dropout 0.3 --weight_decay 0.02 --precision fp32

python train_syncnet.py --data "$TRACKS" --val "$OTHERS" --val_without $UNCLEAR \
    --min_confidence 1.0 --max_offset 10 --drawn 60 --cache "$WORK/cache" --cache_gb 20.0 \
    --grey 0.1 --workers 1 --run "$WORK/run2" --init "$WORK/first.safetensors" \
    --export "$EXPORT" --device cpu --seed 1 --log_every 20 --save_every 100 --eval_every 200 \
    --patience 0 --steps 600 --objective multiway --refusal 0 --negatives same --refine_at 0 --excerpts 16 \
    --lr 5e-4 --warmup 50 --average 0.99 --dropout 0.5 --weight_decay 0.1 --precision fp32
