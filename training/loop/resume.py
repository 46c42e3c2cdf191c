"""Which options a resumed run may change: checkpoints hold every option and the clips' names.

How an option is treated stands beside it, in the scripts' `TrainOptions`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any

from models.weights import WeightsFile
from pipeline.errors import InputError
from training.data import preprocessed, samples
from training.loop import checkpoint as checkpoint_files

SHOWN_NAMES = 3


def fixed() -> Any:
    """An option that changes the result: a resumed run must have the same value."""
    return field(metadata={"resume": "fixed"})


def fixed_once_given() -> Any:
    """An option that may be added on resume, but not changed."""
    return field(metadata={"resume": "fixed once given"})


def clip_folders() -> Any:
    """Folders of clips: new clips may join, other folders need another run."""
    return field(metadata={"resume": "clips"})


def free() -> Any:
    """An option that may change on resume; a line says so."""
    return field(metadata={"resume": "free"})


def own_folder() -> Any:
    """The folder of the checkpoint itself, which may be moved."""
    return field(metadata={"resume": "own folder"})


@dataclass(frozen=True)
class Origin:
    """Options and clips of a run, as its checkpoint holds them.

    Attributes:
        options: plain values by name; of weights, name and digest.
        clips: size in bytes of every clip there is in the data folders, by name.
    """

    options: dict[str, Any]
    clips: dict[str, int]

    def weights(self) -> dict[str, str]:
        """Name and digest of the weights it starts or learns from, by flag."""
        names = ("init", "expert", "teacher")
        return {name: self.options[name] for name in names if "SHA" in str(self.options.get(name))}

    def state(self) -> dict[str, Any]:
        """Its part of a checkpoint."""
        return {"options": self.options, "clips": self.clips}


def origin(options: Any, clips: dict[str, int], described: Mapping[str, str]) -> Origin:
    """Collects the origin of a run.

    Args:
        options: a dataclass whose fields say how they are treated.
        clips: `clip_sizes` of its data.
        described: fields that are compared by content, not by path, as text.
    """
    options_of_run = {}
    for one in fields(options):
        kind, value = _kind(one), getattr(options, one.name)
        if kind != "own folder":
            options_of_run[one.name] = described.get(one.name, _plain(value, whole=kind == "clips"))
    return Origin(options_of_run, clips)


def described_weights(weights_file: WeightsFile) -> str:
    """Text for weights: name and digest, so that a moved file is the same."""
    return f"{weights_file.file} (SHA-256 {weights_file.sha256[:12]})"


def described_folders(data_dirs: list[Path], clips: dict[str, int]) -> str:
    """Text for folders of clips: names and sizes, so that moved folders are the same."""
    names = " ".join(folder.absolute().name for folder in data_dirs)
    return f"{names} ({clips_in_words(list(clips))} of {sum(clips.values())} bytes)"


def _kind(one: Field[Any]) -> str:
    return str(one.metadata.get("resume", "fixed"))


def clip_sizes(data_dirs: list[Path], video_names: list[str] | None = None) -> dict[str, int]:
    """Bytes of every clip in the folders, by name: enough to notice another one; no clip is read.

    Raises:
        InputError: a folder is none of run_pipeline.py, or holds no clip.
    """
    if any(preprocessed.is_root(folder) for folder in data_dirs):
        return preprocessed.sizes(data_dirs, video_names)
    files = samples.clip_files(data_dirs)
    return {samples.clip_name(file): file.stat().st_size for file in files}


def earlier_checkpoint(
    options: Any, now: Origin, *, needed: Iterable[str], say: bool
) -> dict[str, Any] | None:
    """The checkpoint of a run, if there is one; prints what has changed since.

    Args:
        options: of the run.
        now: options and clips of this command.
        needed: names that every checkpoint of the script holds.
        say: print.

    Raises:
        InputError: the checkpoint is damaged, or the run cannot go on from it.
    """
    checkpoint = options.run / "checkpoint.pt"
    state = checkpoint_files.load_checkpoint(checkpoint)
    if state is None:
        return None
    check_complete(state, needed, checkpoint)
    for line in check(state, now, options, checkpoint):
        if say:
            print(line, flush=True)
    return state


def check(state: dict[str, Any], now: Origin, options: Any, checkpoint: Path) -> list[str]:
    """What has changed since a checkpoint was written, as lines to print.

    Args:
        state: the checkpoint.
        now: of this command.
        options: of that run.
        checkpoint: the file, for the sentence.

    Raises:
        InputError: a run cannot go on this way; the sentence names every option in the way.
    """
    if "options" not in state:
        return [f"{checkpoint} does not say which options it was made with: those given are taken"]
    before: dict[str, Any] = state["options"]
    clips: dict[str, int] = state["clips"]
    refused, accepted = [], []
    for one in fields(options):
        kind, name = _kind(one), one.name
        if kind == "own folder" or name not in before or before[name] == now.options[name]:
            continue
        change = f"--{name} (was {_text(before[name])}, is {_text(now.options[name])})"
        if kind == "free" or (kind == "fixed once given" and before[name] in ([], None)):
            accepted.append(change)
        elif kind != "clips" or clips != now.clips:  # moved clips are the same
            refused.append(change)
    if refused:
        raise InputError(
            f"{checkpoint} was made with other options: {', '.join(refused)}; "
            "give those it was made with, or another --run."
        )
    if not clips.keys() & now.clips.keys():
        raise InputError(
            f"{checkpoint} was trained on none of these clips; give its --data or another --run."
        )
    lines = [f"goes on with other options: {', '.join(accepted)}"] if accepted else []
    return lines + _clip_lines(clips, now.clips)


def _clip_lines(before: dict[str, int], now: dict[str, int]) -> list[str]:
    groups = {
        "new since the checkpoint, trained on from now on": [n for n in now if n not in before],
        "gone since the checkpoint": [name for name in before if name not in now],
        "changed since the checkpoint": [
            name for name in now if name in before and now[name] != before[name]
        ],
    }
    return [
        f"{clips_in_words(names)} {words}: {first_names(names)}"
        for words, names in groups.items()
        if names
    ]


def clips_in_words(names: list[str]) -> str:
    """1 clip, 2 clips."""
    return f"{len(names)} clip{'s' * (len(names) != 1)}"


def first_names(names: list[str]) -> str:
    """The first few of some names."""
    more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    return ", ".join(names[:SHOWN_NAMES]) + more


def check_complete(state: dict[str, Any], names: Iterable[str], checkpoint: Path) -> None:
    """Refuses a dict that is no checkpoint of this script, a bare state dict, say.

    Raises:
        InputError: a name is missing.
    """
    if any(name not in state for name in names):
        raise InputError(
            f"{checkpoint} is no checkpoint of this script; remove it to start again, or use "
            "another --run (weights to start from are --init's)."
        )


def _plain(value: Any, *, whole: bool = False) -> Any:
    if isinstance(value, Path):
        return str(value.resolve()) if whole else str(value)
    if isinstance(value, list):
        return [_plain(one, whole=whole) for one in value]
    return value


def _text(value: Any) -> str:
    if value is None or value == []:
        return "not given" if value is None else "none"
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
