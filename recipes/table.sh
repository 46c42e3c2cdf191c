#!/bin/sh
# The table of Wav2Lip's paper, from four small generators of equal steps, on other people.
#
#     TRACKS=data/tracks/train OTHERS=data/tracks/val recipes/table.sh
#
# In the folder of the repository. Three of them go on from one that has learned to draw, so that
# nothing but expert and discriminator tells them apart; Speech2Vid makes as many steps by itself.
# STEPS is half of every network's.
set -eu

TRACKS=${TRACKS:-data/tracks/train} # people to learn from, cut by recipes/tracks.sh
OTHERS=${OTHERS:-data/tracks/val}   # other people, to report on
TEACHER=${TEACHER:-models/weights/syncnet_small.safetensors}
EXPERT=${EXPERT:-models/weights/expert_small.safetensors}
WORK=${WORK:-data/training/table}
EXPORT=${EXPORT:-$WORK/table}
STEPS=${STEPS:-400} # docs/training.md has the table after 100

train() { # preset, name of the run, flags of its own
    preset=$1 name=$2
    shift 2
    python train_wav2lip.py --preset "$preset" --data "$TRACKS" --val "$OTHERS" \
        --min_confidence 1.0 --max_offset 10 --cache "$WORK/cache" --cache_gb 20.0 --workers 1 \
        --run "$WORK/$name" --export "$WORK/$name.safetensors" --device cpu --seed 1 \
        --log_every 10 --save_every 50 --eval_every "$STEPS" --width 0.25 --batch_size 8 \
        --lr 0.001 --warmup 10 --average 0.95 --mouth_weight 4 --taught_steps 300 \
        --adversarial_weight 0.07 --precision auto --sync_from 0 --teacher "$TEACHER" "$@"
}

train lipgan_style drawing --steps "$STEPS" --taught_weight 0.1 --sync_at -1
train lipgan_style lipgan_style --steps "$STEPS" --taught_weight 0.1 --sync_at -1 \
    --init "$WORK/drawing.safetensors"
train wav2lip wav2lip --steps "$STEPS" --taught_weight 0.1 --sync_at 0 --sync_weight 0.2 \
    --init "$WORK/drawing.safetensors" --expert "$EXPERT"
train wav2lip_gan wav2lip_gan --steps "$STEPS" --taught_weight 0.1 --sync_at 0 --sync_weight 0.2 \
    --init "$WORK/drawing.safetensors" --expert "$EXPERT"
train speech2vid speech2vid --steps "$((2 * STEPS))" --sync_at 0 --sync_weight 0.2

python -m training.table --data "$OTHERS" --out "$EXPORT" --cache "$WORK/cache" --seed 1 \
    --device cpu --initial_model "$TEACHER" \
    --row "Speech2Vid=$WORK/speech2vid.safetensors" \
    --row "LipGAN-style (no expert)=$WORK/lipgan_style.safetensors" \
    --row "Wav2Lip=$WORK/wav2lip.safetensors" \
    --row "Wav2Lip + GAN=$WORK/wav2lip_gan.safetensors"
