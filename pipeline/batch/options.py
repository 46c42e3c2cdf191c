"""Settings of a batch: which decide what its rows say, and which only how fast they come."""

import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from models.options import check_choice, check_device, check_fields, check_number
from pipeline.errors import InputError
from pipeline.faces.options import FaceOptions
from pipeline.store.provenance import TOOLKIT_VERSION
from pipeline.sync.scorer import SyncOptions

Keep = Literal["all", "crops", "none"]
KEEP = ("all", "crops", "none")
WORKER_GB = 1.5  # a worker's memory with a minute of 720p: bounds how many are started
HOLD_BYTES = 768 << 20  # of frames in a worker's memory with --keep none: ten seconds of 720p
USED_SHARE = 0.9  # of the memory that is free, for all workers


@dataclass(frozen=True)
class BatchOptions:
    """Settings of run_batch.py, named as its flags.

    Attributes:
        faces: how faces are found; `keep` decides about its files.
        sync: how tracks are scored.
        device: where networks compute.
        keep: "all" leaves what run_pipeline.py and run_syncnet.py leave, "crops" the same without
            pictures and video.avi, and "none" the manifest only.
        workers: processes on this machine, or actors on a cluster; 0: as many as there are cores,
            if their memory allows.
        time_limit_s: a video that takes longer is stopped and fails.
        memory_gb: a video that needs more is stopped and fails; None: an equal share of what is
            free.
        address: of a Ray cluster, or "auto"; None works on this machine.
        retry_failed: do videos again that have failed before.
        overwrite: forget the manifest and replace results.
    """

    faces: FaceOptions = field(default_factory=FaceOptions)
    sync: SyncOptions = field(default_factory=SyncOptions)
    device: str = "auto"
    keep: Keep = "crops"
    workers: int = 0
    time_limit_s: float = 3600.0
    memory_gb: float | None = None
    address: str | None = None
    retry_failed: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        check_fields(self)
        check_device(self.device)
        check_choice("keep", self.keep, KEEP)
        check_number("workers", self.workers, least=0)
        check_number("time_limit_s", self.time_limit_s, above=0)
        check_number("memory_gb", self.memory_gb, above=0, optional=True)
        if self.faces.frame_rate != FaceOptions().frame_rate:
            raise InputError("A batch works at --frame_rate 25 only; the networks expect it.")

    @property
    def face_options(self) -> FaceOptions:
        """`faces` with the files that `keep` leaves."""
        every = self.keep == "all"
        return replace(self.faces, keep_frames=every, keep_video=every)

    def row_settings(self) -> dict[str, Any]:
        """What the rows of a manifest depend on; a run with others cannot go on from it."""
        sync = asdict(self.sync) | {"initial_model": str(self.sync.initial_model)}
        return {
            "faces": asdict(self.face_options),
            "sync": sync,
            "keep": self.keep,
            "toolkit": TOOLKIT_VERSION,
        }

    def worker_settings(self, data_dir: Path, *, threads: int) -> dict[str, Any]:
        """What a worker is told before its first video, as JSON."""
        return self.row_settings() | {
            "data_dir": str(data_dir.absolute()),
            "device": self.device,
            "threads": threads,
            "overwrite": self.overwrite,
        }

    def local_workers(self) -> int:
        """How many processes this machine gets."""
        if self.workers:
            return self.workers
        return max(1, min(cores(), int(free_bytes() * USED_SHARE / (WORKER_GB * 1e9))))

    def memory_bytes(self, workers: int) -> int:
        """What one of some workers on this machine may use."""
        if self.memory_gb is not None:
            return int(self.memory_gb * 1e9)
        return int(free_bytes() * USED_SHARE / workers)


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def free_bytes() -> int:
    """Memory that is free, by the kernel and by the container's limit; Linux, else a guess."""
    free = 8 << 30
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                free = int(line.split()[1]) * 1024
        group = Path("/sys/fs/cgroup")
        limit = (group / "memory.max").read_text(encoding="ascii").strip()
        if limit.isdecimal():
            used = int((group / "memory.current").read_text(encoding="ascii"))
            free = min(free, max(int(limit) - used, 1 << 30))
    except (OSError, ValueError):
        pass
    return free
