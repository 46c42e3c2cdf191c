"""A batch from its videos to its manifest: what run_batch.py does, in order."""

import contextlib
import queue
import shutil
import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.batch import ray_workers
from pipeline.batch.manifest import FAILED, Line, Manifest
from pipeline.batch.options import BatchOptions, cores
from pipeline.batch.supervisor import (
    WORKER_MODULE,
    Limits,
    Stopped,
    Supervisor,
    adopted_orphans,
)
from pipeline.batch.videos import Shard, Video, in_shard, name_videos, persons_of
from pipeline.progress import Progress, silent
from pipeline.select import people

STEP = "videos"  # of the progress hook
WAIT_S = 0.5  # for the next line, before it is looked whether one of the workers gave up


@dataclass(frozen=True)
class Batch:
    """What a batch came to.

    Attributes:
        files: the manifest, and the table where pyarrow is installed.
        videos: how many were named.
        done_before: of them, how many an earlier run had done.
        failed: of them, how many could not be done, now or then.
    """

    files: list[Path]
    videos: int
    done_before: int
    failed: int


def run_batch(
    sources: Sequence[str],
    data_dir: Path,
    options: BatchOptions,
    *,
    shard: Shard | None = None,
    each: Callable[[Line], object] = lambda _: None,
    progress: Progress = silent,
    worker_module: str = WORKER_MODULE,
) -> Batch:
    """Runs the stages on many videos; run again it goes on where it was stopped.

    Args:
        sources: see `videos.name_videos`.
        data_dir: for the manifest and all results.
        options: settings.
        shard: the part of the videos to do.
        each: called with the line of each video that was done now.
        progress: called after each video, those of earlier runs counted.
        worker_module: of the worker processes.

    Raises:
        InputError: there is no video, an option or a weights file is at fault, or the manifest is
            of other settings.
        PipelineError: no worker can be started, or the manifest cannot be written.
    """
    shard = shard or Shard()
    named = name_videos(sources)
    videos = in_shard(named, shard)
    path = data_dir / f"{shard.manifest_stem}.jsonl"
    with Manifest(path, options.row_settings(), overwrite=options.overwrite) as manifest:
        people.add(data_dir, persons_of(named))  # the same by every shard
        scratch = data_dir / "pytmp" / f".{shard.manifest_stem}"
        shutil.rmtree(scratch, ignore_errors=True)  # of a batch that was killed
        todo = [
            video
            for video in videos
            if not manifest.knows(video, failed_too=not options.retry_failed)
        ]
        done_before = len(videos) - len(todo)
        progress(STEP, done_before, len(videos))
        if todo:
            lines = _lines(todo, data_dir, options, scratch=scratch, worker_module=worker_module)
            with contextlib.closing(lines):
                for done, line in enumerate(lines, start=done_before + 1):
                    manifest.add(line)
                    each(line)
                    progress(STEP, done, len(videos))
        with contextlib.suppress(OSError):
            scratch.rmdir()
        return Batch(manifest.finish(videos), len(videos), done_before, manifest.failures(videos))


def _lines(
    videos: list[Video],
    data_dir: Path,
    options: BatchOptions,
    *,
    scratch: Path,
    worker_module: str,
) -> Generator[Line]:
    """The lines of videos as they come, from this machine's workers or a cluster's."""
    if options.address is not None:
        return ray_workers.lines(
            videos, data_dir, options, scratch=scratch, worker_module=worker_module
        )
    workers = max(1, min(options.local_workers(), len(videos)))
    settings = options.worker_settings(data_dir, threads=max(1, cores() // workers))
    limits = Limits(options.time_limit_s, options.memory_bytes(workers))

    def supervisor(stop: threading.Event) -> Supervisor:
        return Supervisor(settings, limits, scratch=scratch, stop=stop, module=worker_module)

    return local_lines(videos, supervisor, workers=workers)


def local_lines(
    videos: Sequence[Video],
    supervisor: Callable[[threading.Event], Supervisor],
    *,
    workers: int,
) -> Generator[Line]:
    """The lines of videos as they come, from worker processes of this machine.

    Each worker has a thread that watches it. Closing the generator ends all of them.

    Args:
        videos: to do, in this order.
        supervisor: makes one; it gets the event that stops it.
        workers: how many.

    Raises:
        ToolkitError: workers cannot be started.
    """
    stop = threading.Event()
    waiting: queue.SimpleQueue[Video] = queue.SimpleQueue()
    for video in videos:
        waiting.put(video)
    # One place: a worker that is faster than the disk waits.
    lines: queue.Queue[Line | BaseException] = queue.Queue(maxsize=1)

    def give(item: Line | BaseException) -> None:
        while not stop.is_set():
            with contextlib.suppress(queue.Full):
                lines.put(item, timeout=WAIT_S)
                return

    def work() -> None:
        try:
            with supervisor(stop) as worker:
                while not stop.is_set():
                    give(worker.line(waiting.get_nowait().key))
        except (queue.Empty, Stopped):
            pass
        except BaseException as error:
            give(error)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(workers)]
    with adopted_orphans():
        yield from _watched(threads, lines, len(videos), stop)


def _watched(
    threads: Sequence[threading.Thread],
    lines: "queue.Queue[Line | BaseException]",
    count: int,
    stop: threading.Event,
) -> Generator[Line]:
    """So many lines of the threads; whatever happens, they have ended when this ends."""
    for thread in threads:
        thread.start()
    try:
        for _ in range(count):
            item = lines.get()
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def is_failed(line: Line) -> bool:
    """Whether a line says why a video could not be done."""
    return bool(line["status"] == FAILED)
