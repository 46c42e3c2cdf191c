"""A batch on a Ray cluster: an actor per worker, on whatever machines there are.

Ray places the actors and says when one is gone with its machine; its video goes to another. Each
actor watches a worker process as one machine does
(supervisor.py), so a video that crashes is a line here, too. Every machine needs this folder and
the same DATA_DIR and videos under the same paths, or videos by addresses.
"""

import logging
from collections.abc import Generator, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.batch.manifest import Line, failed_line
from pipeline.batch.options import BatchOptions
from pipeline.batch.supervisor import ROOT, Limits, Supervisor
from pipeline.batch.videos import Video
from pipeline.errors import InputError, PipelineError, ToolkitError

LOOK_EVERY_S = 1.0  # whether a machine has come or gone
ATTEMPTS = 4  # of a video whose machines go


class WatchedWorker:
    """What an actor is: a worker process under watch.

    Args:
        settings: of `BatchOptions.worker_settings`.
        options: with the limits of a video.
        workers_here: how many share this machine's memory.
        scratch: folder for what does not stay.
        module: of the worker.
    """

    def __init__(
        self,
        settings: dict[str, Any],
        options: BatchOptions,
        *,
        workers_here: int,
        scratch: str,
        module: str,
    ) -> None:
        limits = Limits(options.time_limit_s, options.memory_bytes(workers_here))
        self._supervisor = Supervisor(settings, limits, scratch=Path(scratch), module=module)

    def ready(self) -> bool:
        """Answers once the actor is there."""
        return True

    def line(self, key: dict[str, Any]) -> Line | tuple[str, int]:
        """The line of a video; the sentence and exit code of an error that ends the batch."""
        try:
            return self._supervisor.line(key)
        except ToolkitError as error:
            return str(error), error.exit_code


def lines(
    videos: Sequence[Video],
    data_dir: Path,
    options: BatchOptions,
    *,
    scratch: Path,
    worker_module: str,
) -> Generator[Line]:
    """The lines of videos as they come from the actors of a cluster.

    Args:
        videos: to do.
        data_dir: which every machine has under this path.
        options: settings; `address` is the cluster's.
        scratch: folder for what does not stay.
        worker_module: of the worker processes.

    Raises:
        InputError: Ray is not installed, or there is no cluster at the address.
        PipelineError: the cluster is gone, or its workers cannot be started.
    """
    try:
        import ray
    except ImportError as error:
        raise InputError("--address needs Ray; pip install ray.") from error
    assert options.address is not None
    try:
        # Its own messages would tear the progress bar.
        ray.init(
            options.address,
            logging_level=logging.ERROR,
            log_to_driver=False,
            runtime_env={"env_vars": {"PYTHONPATH": str(ROOT)}},
        )
    except (ConnectionError, ValueError) as error:
        raise InputError(
            f"--address {options.address}: no Ray cluster answers ({error}); start one with "
            "ray start --head."
        ) from error
    try:
        yield from _Cluster(ray, data_dir, options, scratch, worker_module).lines(videos)
    except ray.exceptions.RayError as error:
        raise PipelineError(
            f"The Ray cluster failed ({' '.join(str(error).split())[:300]}); run the same command "
            "again."
        ) from error
    finally:
        ray.shutdown()


class _Cluster:
    """Actors, and which video each is working on.

    An actor gets its first video when it has answered that it is there, so no video waits for a
    machine that is not; the videos of machines that go are given to others.
    """

    def __init__(
        self, ray: Any, data_dir: Path, options: BatchOptions, scratch: Path, module: str
    ) -> None:
        self._ray = ray
        resources = ray.cluster_resources()
        cpus, nodes = int(resources.get("CPU", 1)), [n for n in ray.nodes() if n["Alive"]]
        self._count = options.workers or max(1, cpus)
        share = min(1.0, resources.get("GPU", 0) / self._count) if options.device != "cpu" else 0
        self._actor = ray.remote(
            num_cpus=min(1.0, cpus / self._count), num_gpus=share, scheduling_strategy="SPREAD"
        )(WatchedWorker)
        here = -(-self._count // max(1, len(nodes)))
        threads = max(1, cpus // self._count)
        settings = options.worker_settings(data_dir, threads=threads)
        where = {"workers_here": here, "scratch": str(scratch.absolute()), "module": module}
        self._new = partial(self._actor.remote, settings, options, **where)
        self._starting: dict[Any, Any] = {}  # actors by what Ray will answer with
        self._working: dict[Any, tuple[Any, Video, int]] = {}  # the same, with video and attempt
        self._idle: list[Any] = []

    def lines(self, videos: Sequence[Video]) -> Iterator[Line]:
        """The lines of videos as they come."""
        waiting = [(video, 1) for video in reversed(videos)]
        for _ in range(min(self._count, len(videos))):
            self._start()
        while waiting or self._working:
            while waiting and self._idle:
                actor, (video, attempt) = self._idle.pop(), waiting.pop()
                self._working[actor.line.remote(video.key)] = (actor, video, attempt)
            answers = [*self._starting, *self._working]
            for answer in self._ray.wait(answers, num_returns=1, timeout=LOOK_EVERY_S)[0]:
                if answer in self._starting:
                    self._started(answer)
                    continue
                actor, video, attempt = self._working.pop(answer)
                line = self._answered(answer, actor)
                if line is None and attempt < ATTEMPTS:
                    waiting.append((video, attempt + 1))
                    continue
                yield line or failed_line(
                    video.key, f"{video.video} lost its machine {ATTEMPTS} times; do it again."
                )

    def _start(self) -> None:
        actor = self._new()
        self._starting[actor.ready.remote()] = actor

    def _started(self, answer: Any) -> None:
        actor = self._starting.pop(answer)
        try:
            self._ray.get(answer)
        except self._ray.exceptions.RayActorError:  # its machine went before it came
            self._start()
        else:
            self._idle.append(actor)

    def _answered(self, answer: Any, actor: Any) -> Line | None:
        """The line; None where the actor is gone, for which another one is started.

        Raises:
            InputError, PipelineError: its worker cannot be started.
        """
        try:
            line = self._ray.get(answer)
        except self._ray.exceptions.RayActorError:
            self._ray.kill(actor)
            self._start()
            return None
        if isinstance(line, tuple):
            sentence, code = line
            raise (InputError if code == InputError.exit_code else PipelineError)(sentence)
        self._idle.append(actor)
        return dict(line)
