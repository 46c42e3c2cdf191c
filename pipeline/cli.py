"""Shared by the scripts: exit codes, devices, progress bars, common flags."""

import argparse
import contextlib
import gc
import os
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from tqdm import tqdm

from models.errors import InputError, ToolkitError
from models.options import DEVICES
from pipeline.progress import Progress
from pipeline.readable import print_readably
from pipeline.store.workspace import Workspace

if TYPE_CHECKING:
    from pipeline.dubbing.choose import TrackWord
    from pipeline.faces.options import FaceOptions
    from pipeline.sync.scorer import SyncOptions

SIGPIPE = 13  # Windows has none, but the exit code is the same


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of the examples, and shows defaults that are not empty."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default in (None, "", False, argparse.SUPPRESS) or action.default == []:
            return action.help
        return super()._get_help_string(action)


def plain_parser(doc: str | None, *, program: str | None = None) -> argparse.ArgumentParser:
    """A parser that describes a script by its docstring.

    Args:
        doc: its first paragraph is the description; the others, with the examples, are the end of
            --help.
        program: what is typed to start it, where that is not the file's name.
    """
    description, _, rest = (doc or "").partition("\n\n")
    return argparse.ArgumentParser(
        prog=program,
        description=description,
        epilog=rest.strip("\n"),
        formatter_class=_HelpFormatter,
    )


def parser(doc: str | None) -> argparse.ArgumentParser:
    """`plain_parser` with the two flags that every script on a video has."""
    command_parser = plain_parser(doc)
    command_parser.add_argument(
        "--data_dir", type=Path, default=Path("data/work"), help="Folder of all results."
    )
    command_parser.add_argument(
        "--reference",
        default="",
        help="Name of this video's results in it. Without it, the name of --videofile is used.",
    )
    return command_parser


def workspace(args: argparse.Namespace) -> Workspace:
    """Where --data_dir and --reference point; the video's stem names it where nothing else does."""
    if not (args.reference or args.videofile):
        raise InputError("Nothing says which results are meant; give --reference or --videofile.")
    return Workspace(args.data_dir, args.reference or args.videofile.stem)


def add_device(parser: argparse.ArgumentParser) -> None:
    """Adds --device, which every script with a network has."""
    parser.add_argument(
        "--device",
        default="auto",
        help=f"Where networks compute: {', '.join(DEVICES)}, or cuda:N for one of several GPUs.",
    )


def add_scorer_flags(parser: argparse.ArgumentParser, default: "SyncOptions") -> None:
    """Adds the fields of `SyncOptions` that mean the same wherever clips are scored."""
    add = parser.add_argument
    add(
        "--initial_model",
        default=default.initial_model,
        help="Weights file; auto takes the published one where it is present, else the bundled.",
    )
    add(
        "--batch_size",
        type=int,
        default=default.batch_size,
        help="Windows in one pass of the network.",
    )
    add(
        "--vshift",
        type=int,
        default=default.vshift,
        help="Largest offset that is searched, in frames of 40 ms.",
    )


def add_track_flags(parser: argparse.ArgumentParser, default: "FaceOptions") -> None:
    """Adds the fields of `FaceOptions` that say which faces become tracks."""
    add = parser.add_argument
    add(
        "--min_track",
        type=int,
        default=default.min_track,
        help="A track needs more detections than this, in frames.",
    )
    add(
        "--min_face_size",
        type=int,
        default=default.min_face_size,
        help="Faces must be larger than this, in pixels of the frame.",
    )


def add_detection_flags(
    parser: argparse.ArgumentParser, default: "FaceOptions", *, detectors: Sequence[str]
) -> None:
    """Adds the fields of `FaceOptions` that say how faces are detected, joined and cut.

    Args:
        parser: of the script.
        default: values.
        detectors: names to choose from.
    """
    # fmt: off
    add = parser.add_argument
    add("--facedet_scale", type=float, help="Factor from a frame to what the detector sees. "
        "Without it, 25 / min_face_size.")
    add("--crop_scale", type=float, default=default.crop_scale,
        help="Margin around a face in its clip, in units of the face.")
    add("--num_failed_det", type=int, default=default.num_failed_det,
        help="Frames a face may go undetected before its track ends.")
    add("--detector", choices=detectors, default=default.detector,
        help="s3fd is the published network in data/, small is the bundled one, and auto takes "
        "s3fd where it is present.")
    add("--detect_every", type=int, default=default.detect_every,
        help="Frames from one that the detector always sees to the next; 1 shows it every frame.")
    # fmt: on


def next_command(script: str, where: Workspace, *more: str) -> str:
    """The last line of a stage: the next command for the same results."""
    return f"next: {command(script, where, *more)}"


def command(script: str, where: Workspace, *more: str) -> str:
    """A line for the shell that runs another script on the same results."""
    words = ["python", script, "--reference", where.reference, "--data_dir", str(where.data_dir)]
    return shlex.join([*words, *more])


def yes_or_no(text: str) -> bool:
    """The value of a flag that is given as yes or no."""
    if text not in ("yes", "no"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither yes nor no")
    return text == "yes"


def track_numbers(text: str) -> "TrackWord | tuple[int, ...]":
    """The value of `--tracks`: "all", "speaking", or numbers with commas.

    Raises:
        ArgumentTypeError: it is none of these, or names a track twice.
    """
    from pipeline.dubbing.choose import TRACK_WORDS  # with torch: scripts without a network wait

    if text in TRACK_WORDS:
        return cast("TrackWord", text)
    try:
        numbers = tuple(int(number) for number in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not 'all', 'speaking' or numbers with commas"
        ) from error
    if len(set(numbers)) < len(numbers):
        raise argparse.ArgumentTypeError(f"{text!r} names a track twice")
    return numbers


def audio_by_track(values: Sequence[str]) -> dict[int | None, Path]:
    """The values of `--audio`: files by track number, None for the one that is for all others.

    A file whose name begins with digits and an equals sign is taken as such where it is there.

    Raises:
        InputError: a track has two files, or a file is not there.
    """
    from pipeline.dubbing.choose import check_audio  # with torch, as above

    files: dict[int | None, Path] = {}
    for value in values:
        number, equals, name = value.partition("=")
        own = bool(equals) and number.isdecimal() and not Path(value).is_file()
        track, path = (int(number), Path(name)) if own else (None, Path(value))
        if track in files:
            of = "all tracks" if track is None else f"track {track}"
            raise InputError(f"--audio {value}: {of} already have {files[track]}; give one file.")
        files[track] = check_audio(path)
    return files


def run(main: Callable[[], int]) -> int:
    """Calls a script's main; a user's mistake becomes one sentence and an exit code.

    SYNCNET_DEBUG=1 keeps the traceback. SIGTERM ends it like Ctrl-C does: what was started is
    stopped and what is unfinished removed, then the exit code is 143 instead of 130. A reader of
    the output that goes away ends it with 141.
    """
    print_readably()
    if not gc.get_freeze_count():
        # Torch alone leaves some hundred thousand objects that stay to the end. Looking through
        # them for garbage, at the latest when the program ends, takes a quarter of a second.
        gc.freeze()
    try:
        with _terminable():
            code = main()
            sys.stdout.flush()  # a closed pipe is noticed here, not at exit
            return code
    except ToolkitError as error:
        if os.environ.get("SYNCNET_DEBUG"):
            raise
        print(f"error: {getattr(error, 'on_command_line', error)}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        _mute()
        return 128 + SIGPIPE
    except (KeyboardInterrupt, _Terminated) as stopped:
        print("stopped; run the same command again.", file=sys.stderr)
        return 128 + (signal.SIGTERM if isinstance(stopped, _Terminated) else signal.SIGINT)


class _Terminated(SystemExit):
    """SIGTERM was received."""


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Makes SIGTERM an exception, so that every `with` block is left."""

    def stop(number: int, _: object) -> None:
        signal.signal(number, signal.SIG_IGN)  # a second one must not interrupt the clearing up
        raise _Terminated(128 + number)

    in_charge = threading.current_thread() is threading.main_thread()
    if not in_charge or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _mute() -> None:
    """Redirects stdout to nowhere; flushing it at exit would fail."""
    with contextlib.suppress(OSError, ValueError):  # a test's stdout is no file
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


@contextlib.contextmanager
def progress_bars() -> Iterator[Progress]:
    """A progress hook that draws one bar per step on stderr; silent when that is no terminal."""
    bars: dict[str, tqdm[object]] = {}

    def draw(step: str, done: int, total: int | None) -> None:
        if step not in bars:
            bars[step] = tqdm(desc=step, total=total, unit="", disable=None, leave=False)
        bar = bars[step]
        bar.total = total
        bar.update(done - bar.n)
        if done == total:
            bars.pop(step).close()

    try:
        yield draw
    finally:
        for bar in bars.values():
            bar.close()
