#!/bin/sh
# The small SyncNet from cropped tracks.
#
#     TRACKS=data/tracks/train OTHERS=data/tracks/val recipes/syncnet.sh
#
# In the folder of the repository. The second run starts from the first: stronger
# regularisation, for 600 steps. The third takes more people, evenly, and asks it to refuse
# somebody else's sound; what is exported is between where it starts and where it ends.
# EVEN is of all training videos but those that set_aside.txt and one_speaker.txt name (WITHOUT of
# tracks.sh); ASIDE of those that set_aside.txt names (ONLY). one_speaker.txt: 40 clips of one man.
# STUDIO is of those that in_sync.txt names (ONLY), with people.csv: recordings of two studios, which
# set the zero; the network learned from some of them, as training takes a clip's lag out.
# UNCLEAR names references of OTHERS whose own offset is not known: they are left out where
# others decide.
set -eu

TRACKS=${TRACKS:-data/tracks/train} # people to learn from, cut by recipes/tracks.sh
EVEN=${EVEN:-data/tracks/even}      # more of them, one as often as another
ASIDE=${ASIDE:-data/tracks/aside}   # people to calibrate on, with people.csv
STUDIO=${STUDIO:-data/tracks/studio} # recordings in sync
OTHERS=${OTHERS:-data/tracks/val}   # other people, to report on
UNCLEAR=${UNCLEAR:-v005 v028}
WORK=${WORK:-data/training/syncnet}
EXPORT=${EXPORT:-$WORK/syncnet_small.safetensors}

python train_syncnet.py --data "$TRACKS" --val "$OTHERS" --val_without $UNCLEAR \
    --min_confidence 1.0 --max_offset 10 --drawn 60 --cache "$WORK/cache" --cache_gb 20.0 \
    --grey 0.1 --workers 1 --run "$WORK/run1" --export "$WORK/first.safetensors" --device cpu \
    --seed 1 --log_every 20 --save_every 100 --eval_every 800 --patience 0 --steps 3200 \
    --objective multiway --refusal 0 --init_share 0 --negatives same \
    --refine_at 400 900 1600 --excerpts 16 --lr 0.001 --warmup 50 --average 0.996 \
    --dropout 0.3 --weight_decay 0.02 --precision fp32

python train_syncnet.py --data "$TRACKS" --val "$OTHERS" --val_without $UNCLEAR \
    --min_confidence 1.0 --max_offset 10 --drawn 60 --cache "$WORK/cache" --cache_gb 20.0 \
    --grey 0.1 --workers 1 --run "$WORK/run2" --init "$WORK/first.safetensors" \
    --export "$WORK/second.safetensors" --device cpu --seed 1 --log_every 20 --save_every 100 \
    --eval_every 200 --patience 0 --steps 600 --objective multiway --refusal 0 \
    --init_share 0 --negatives same --refine_at 0 --excerpts 16 --lr 5e-4 --warmup 50 \
    --average 0.99 --dropout 0.5 --weight_decay 0.1 --precision fp32

python train_syncnet.py --data "$EVEN" --val "$OTHERS" --val_without $UNCLEAR \
    --min_confidence 1.0 --max_offset 10 --drawn 60 --cache "$WORK/cache" --cache_gb 20.0 \
    --grey 0.1 --workers 1 --run "$WORK/run3" --init "$WORK/second.safetensors" --init_share 0.3 \
    --export "$WORK/third.safetensors" --device cpu --seed 1 --log_every 20 --save_every 100 \
    --eval_every 1200 --patience 0 --steps 2400 --objective multiway --refusal 0.3 \
    --negatives same --refine_at 0 1200 --excerpts 16 --lr 5e-4 --warmup 50 --average 0.996 \
    --dropout 0.4 --weight_decay 0.05 --precision bf16

python -m training.calibrate --data "$ASIDE" --val "$OTHERS" --val_without $UNCLEAR \
    --in_sync "$STUDIO" --cache "$WORK/cache" --device cpu --weights "$WORK/third.safetensors" \
    --export "$EXPORT" --pieces 400 --foreign 4 --seed 1
