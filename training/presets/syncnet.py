"""Presets of train_syncnet.py."""

from training.presets.preset import Preset

PRESETS = {
    "siamese": Preset(
        "the pairs of a siamese SyncNet, each in sync or shuffled, without a teacher",
        "--objective bce --negatives cross --excerpts 8 --lr 1e-4 --warmup 0 --weight_decay 0 "
        "--dropout 0 --refine_at",
    ),
}
