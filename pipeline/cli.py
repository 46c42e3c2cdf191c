"""What the scripts share: exit codes, devices, progress bars, common flags."""

import argparse
import contextlib
import gc
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from models.errors import InputError, ToolkitError
from models.options import check_choice
from pipeline.readable import print_readably
from pipeline.store.workspace import Workspace

if TYPE_CHECKING:
    import torch

DEVICES = ("auto", "cpu", "cuda", "mps")
SIGPIPE = 13  # Windows has none, but the exit code is the same


def parser(description: str | None) -> argparse.ArgumentParser:
    """A parser that shows defaults, with the two flags every script has."""
    made = argparse.ArgumentParser(
        description=(description or "").partition("\n\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    made.add_argument("--data_dir", type=Path, default=Path("data/work"), help="results folder")
    made.add_argument("--reference", default="", help="name of the video's results in it")
    return made


def workspace(args: argparse.Namespace) -> Workspace:
    """Where --data_dir and --reference point; the video's stem names it where nothing else does."""
    if not (args.reference or args.videofile):
        raise InputError("Nothing says which results are meant; give --reference or --videofile.")
    return Workspace(args.data_dir, args.reference or args.videofile.stem)


def yes_or_no(text: str) -> bool:
    """The value of a flag that is given as yes or no."""
    if text not in ("yes", "no"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither yes nor no")
    return text == "yes"


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
            sys.stdout.flush()  # what nobody reads is noticed here, not when the program ends
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
    """Lets SIGTERM leave every `with` block on its way out."""

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
    """Sends what is left to print nowhere, or it would fail when the program ends."""
    with contextlib.suppress(OSError, ValueError):  # a test's stdout is no file
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


def check_device(name: str) -> None:
    """Checks the value of `--device`: one of `DEVICES`, or one of several, like cuda:1.

    Raises:
        InputError: it is neither.
    """
    if not (isinstance(name, str) and re.fullmatch(r"cuda:\d+", name, re.ASCII)):
        check_choice("device", name, DEVICES, others=("cuda:NUMBER",))


def torch_device(name: str) -> "torch.device":
    """The device behind the value of `--device`.

    Raises:
        InputError: there is no such device, or not on this machine.
    """
    check_device(name)
    import torch  # takes a second: scripts that compute nothing shall not wait for it

    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise InputError(
            f"--device {name} is not available here; use --device cpu or auto."
        ) from error
    return torch.device(name)


def progress(description: str, total: int | None, unit: str = " frames") -> "tqdm[object]":
    """A bar on stderr; silent when that is not a terminal."""
    return tqdm(desc=description, total=total, unit=unit, disable=None, leave=False)
