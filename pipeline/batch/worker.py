"""The process that works on videos, one after the other, with models that were loaded once.

    python -m pipeline.batch.worker SCRATCH

It is started by supervisor.py. The first line of its input is the settings, every other one a
video; it answers each by a line of JSON on its output. It ends with its input.
"""

import contextlib
import faulthandler
import json
import os
import queue
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from pipeline.batch.manifest import Line, failed_line
from pipeline.errors import ToolkitError
from pipeline.store.files import json_text

KILLED_FIRST = 500  # added to the kernel's choice of what to kill where memory runs out

Work = Callable[[dict[str, Any]], Line]  # gives the line of a `Video.key`
Load = Callable[[dict[str, Any], Path], Work]  # of settings and a folder for what does not stay


def load_stages(settings: dict[str, Any], scratch: Path) -> Work:
    """The real work: stages with their models.

    Args:
        settings: of `BatchOptions.worker_settings`.
        scratch: folder for what does not stay.

    Raises:
        InputError, WeightsError: an option or a weights file is at fault.
    """
    import cv2  # these take seconds, and the input must be read meanwhile
    import torch

    from pipeline.batch.video import Stages

    torch.set_num_threads(settings["threads"])
    cv2.setNumThreads(settings["threads"])
    stages = Stages.load(settings, scratch)

    def line(key: dict[str, Any]) -> Line:
        try:
            return stages.line(key)
        finally:
            if torch.cuda.is_initialized():
                torch.cuda.empty_cache()  # other workers share it

    return line


def main(argv: list[str], load: Load = load_stages) -> int:
    """Works until the input ends.

    Args:
        argv: the folder for what does not stay.
        load: gives what does the work.
    """
    answers = _only_answers()
    faulthandler.enable()
    with contextlib.suppress(OSError):  # no Linux
        Path("/proc/self/oom_score_adj").write_text(str(KILLED_FIRST), encoding="ascii")
    requests: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(requests,), daemon=True).start()
    try:
        work = load(requests.get(), Path(argv[0]))
    except ToolkitError as error:
        _answer(answers, {"error": str(error), "exit_code": error.exit_code})
        return error.exit_code
    _answer(answers, {"ready": True})
    while True:
        _answer(answers, _line(work, requests.get()))


def _line(work: Work, key: dict[str, Any]) -> Line:
    """The line of a video; whatever goes wrong, the next one gets its turn."""
    try:
        return work(key)
    except MemoryError:
        return failed_line(key, f"{key['video']} needed more memory than there was.")
    except Exception as error:  # anything: there may be a million more videos
        if os.environ.get("SYNCNET_DEBUG"):
            raise
        words = " ".join(str(error).split())
        return failed_line(key, f"{key['video']}: {type(error).__name__}{words and ': '}{words}")


def _only_answers() -> IO[bytes]:
    """The output for answers alone; what libraries print goes to stderr."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return answers


def _answer(answers: IO[bytes], line: dict[str, Any]) -> None:
    answers.write((json_text(line) + "\n").encode())
    answers.flush()


def _read(requests: "queue.SimpleQueue[dict[str, Any]]") -> None:
    """Takes requests in; runs in a thread, so that the end of the input is noticed at once.

    Without a buffer: Python aborts where it ends while a thread holds that of its input.
    """
    with open(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as lines:
        for line in lines:
            requests.put(json.loads(line))
    # Whoever asked is gone, perhaps killed: nobody waits for what is being worked on.
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
