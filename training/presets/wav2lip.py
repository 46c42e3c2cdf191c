"""Presets of train_wav2lip.py."""

from training.presets.preset import Preset

PRESETS = {
    "cosine_expert": Preset(
        "the published expert, asked pairs alone",
        "--stage expert --width 1 --teacher none --taught_steps 0 --batch_size 60 --lr 1e-4 "
        "--warmup 0 --weight_decay 0",
    ),
}
