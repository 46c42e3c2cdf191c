"""Presets of train_syncnet.py."""

from training.presets.preset import Preset

PRESETS = {
    "siamese": Preset(
        "a SyncNet of grey mouths that is asked pairs, half in sync and half shuffled",
        # AdamW without decay is Adam.
        "--network siamese --objective bce --negatives cross --excerpts 8 --windows 1 --lr 1e-4 "
        "--warmup 0 --weight_decay 0 --refine_at",
    ),
}
