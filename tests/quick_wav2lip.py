"""train_wav2lip.py in a process of its own, without slow curves and reports."""

import sys

import train_wav2lip
from pipeline import cli
from training.loop.journal import Journal
from training.tasks import wav2lip as wav2lip_task


def spare(patch: object = None) -> None:
    """Runs report on two small batches and draw no curves.

    Args:
        patch: pytest's monkeypatch, where other tests shall have them.
    """
    change = getattr(patch, "setattr", setattr)
    change(wav2lip_task, "UNSEEN_BATCHES", 2)
    change(wav2lip_task, "UNSEEN_WINDOWS", 2)
    change(Journal, "draw", lambda _: None)


if __name__ == "__main__":
    spare()
    sys.exit(cli.run(train_wav2lip.main))
