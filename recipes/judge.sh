#!/bin/sh
# The SyncNet that judges new mouths: it taught no expert and chooses no mouth.
#
#     TRACKS=data/tracks/others OTHERS=data/tracks/val recipes/judge.sh
#
# In the folder of the repository; about an hour on one core. TRACKS are people whom
# syncnet_small never saw; the seed is another, too. UNCLEAR as in syncnet.sh.
set -eu

TRACKS=${TRACKS:-data/tracks/others} # people to learn from, cut by recipes/tracks.sh
OTHERS=${OTHERS:-data/tracks/val}    # other people, to report on
UNCLEAR=${UNCLEAR:-v005 v028}
WORK=${WORK:-data/training/judge}
EXPORT=${EXPORT:-$WORK/judge_small.safetensors}

python train_syncnet.py --data "$TRACKS" --val "$OTHERS" --val_without $UNCLEAR \
    --min_confidence 1.0 --max_offset 10 --drawn 0 --cache "$WORK/cache" --cache_gb 20.0 \
    --grey 0.1 --workers 1 --run "$WORK/run" --export "$EXPORT" --device cpu --seed 7 \
    --log_every 20 --save_every 100 --eval_every 1000 --patience 0 --steps 1390 \
    --objective multiway --refusal 0 --init_share 0 --negatives same \
    --refine_at 400 900 1400 --excerpts 16 --lr 0.001 --warmup 50 --average 0.996 \
    --dropout 0.3 --weight_decay 0.02 --precision bf16
