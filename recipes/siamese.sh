#!/bin/sh
# The siamese SyncNet from cropped tracks: pairs of grey mouths and sound, in sync or shuffled.
#
#     TRACKS=data/tracks/train OTHERS=data/tracks/val recipes/siamese.sh
#
# In the folder of the repository; a little more than an hour on one core.
set -eu

TRACKS=${TRACKS:-data/tracks/train} # people to learn from, cut by recipes/tracks.sh
OTHERS=${OTHERS:-data/tracks/val}   # other people, to report on
WORK=${WORK:-data/training/siamese}
EXPORT=${EXPORT:-$WORK/siamese.safetensors}

python train_syncnet.py --preset siamese --data "$TRACKS" --val "$OTHERS" --val_without \
    --min_confidence 1.0 --max_offset 10 --drawn 0 --cache "$WORK/cache" --cache_gb 20.0 \
    --grey 0.1 --workers 1 --run "$WORK/run" --export "$EXPORT" --device cpu --seed 1 \
    --log_every 20 --save_every 100 --eval_every 2000 --patience 0 --steps 20000 --refusal 0 \
    --init_share 0 --average 0.996 --precision fp32
