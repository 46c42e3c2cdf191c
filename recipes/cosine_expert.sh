#!/bin/sh
# The lip-sync expert as it was published, of separated voices, from cropped tracks.
#
#     TRACKS=data/tracks/train recipes/cosine_expert.sh
#
# In the folder of the repository. One of five people is kept back to report on. Without a teacher it
# stays at chance for very long: recipes/expert.sh makes the bundled one.
set -eu

TRACKS=${TRACKS:-data/tracks/train} # people to learn from and to report on, by recipes/tracks.sh
WORK=${WORK:-data/training/cosine_expert}
EXPORT=${EXPORT:-$WORK/cosine_expert.safetensors}

python train_wav2lip.py --preset cosine_expert --data "$TRACKS" --val --val_share 0.2 \
    --separate_voice --min_confidence 1.0 --max_offset 10 --cache "$WORK/cache" --cache_gb 20.0 \
    --workers 1 --run "$WORK/run" --export "$EXPORT" --device cpu --seed 1 --log_every 20 \
    --save_every 100 --eval_every 1000 --steps 100000 --average 0.998 --sync_weight 0.03 \
    --sync_from 0.75 --sync_at -1 --adversarial_weight 0.07 --mouth_weight 4.0 \
    --structure_weight 0.2 --detail_weight 0.012 --taught_weight 0.1 --precision fp32
