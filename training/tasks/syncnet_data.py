"""Training data of a SyncNet: selected, decoded and checked before the first step."""

from dataclasses import dataclass
from pathlib import Path

from models.syncnet import SyncNetConfig
from pipeline.errors import InputError
from pipeline.progress import Progress, silent
from training.batches import excerpts
from training.data import samples, selection
from training.data.samples import Clip, Loaded
from training.evaluate.agreement import can_be_judged
from training.loop import resume
from training.loop.distributed import Processes, leader_first
from training.tasks.syncnet_options import TrainOptions

DRAWN_FRAMES = 200  # of each drawn head
MOST_DRAWN = 60  # heads, without --drawn


@dataclass(frozen=True)
class Data:
    """Data of a run: for training and for evaluation.

    Attributes:
        real: clips long enough for an excerpt, with their known offsets.
        drawn: drawn heads.
        unseen: clips of other people.
        left_out: names of those not used, with reasons.
    """

    real: list[Clip]
    drawn: list[Clip]
    unseen: list[Clip]
    left_out: dict[str, str]


def load_data(
    options: TrainOptions, config: SyncNetConfig, group: Processes, *, progress: Progress = silent
) -> Data:
    """Selects, decodes and checks everything before the first step.

    Raises:
        InputError: nothing is left to train on; the sentence says why.
    """
    files = samples.clip_files(options.data)
    offsets = selection.known_offsets(files)
    chosen, left_out = selection.select(
        files, offsets, min_confidence=options.min_confidence, max_offset=options.max_offset
    )
    if group.leads:
        count = resume.clips_in_words([file.name for file in files])
        print(f"{count} found; what the cache lacks is decoded now", flush=True)
    loaded = _decoded(chosen, options, config, group, margin=True, progress=progress)
    shortest = excerpts.excerpt_frames(config, options.windows)
    real = [clip for clip in loaded.clips if clip.frames >= shortest]
    short = {c.name: f"too short ({c.frames} frames)" for c in loaded.clips if c.frames < shortest}
    left_out |= loaded.left_out | short
    if group.leads:
        print(f"{len(real)} of {len(files)} clips, {samples.minutes(real):.1f} minutes")
        print(selection.in_words(left_out) or "no clip left out", flush=True)
    if not real:
        raise InputError(f"No clip has the {shortest} frames of an excerpt; give longer videos.")
    unseen = _unseen(options, config, group, progress=progress) if options.val else []
    real = selection.with_people(selection.aligned(real, offsets), options.data)
    heads = _drawn_heads(options, real, config, group, progress=progress)
    return Data(real, heads, unseen, left_out)


def _decoded(
    files: list[Path],
    options: TrainOptions,
    config: SyncNetConfig,
    group: Processes,
    *,
    margin: bool,
    progress: Progress,
) -> Loaded:
    """The clips of some files, decoded by the leader; the others read its cache."""
    with leader_first(group):
        return samples.load_clips(
            files,
            config,
            cache=options.cache_folder,
            margin=margin,
            cache_gb=options.cache_gb,
            progress=progress,
        )


def _drawn_heads(
    options: TrainOptions,
    real: list[Clip],
    config: SyncNetConfig,
    group: Processes,
    *,
    progress: Progress,
) -> list[Clip]:
    """Heads that speak with the sound of the clips, from the cache where they are there.

    By default no more than there are clips: drawing takes seconds a head, and a few clips do not
    teach more for it.
    """
    count = min(MOST_DRAWN, len(real)) if options.drawn is None else options.drawn
    frames = min(DRAWN_FRAMES, max(clip.frames for clip in real))
    if count and group.leads:
        print(f"{count} drawn heads; those that the cache lacks are drawn now", flush=True)
    with leader_first(group):
        clip_cache = samples.ClipCache(
            options.cache_folder, limit_bytes=int(options.cache_gb * 1e9)
        )
        heads = []
        for head in samples.drawn_clips(
            real, config, count=count, frames=frames, seed=options.seed, clip_cache=clip_cache
        ):
            heads.append(head)
            progress("heads drawn", len(heads), count)
    return heads


def _unseen(
    options: TrainOptions, config: SyncNetConfig, group: Processes, *, progress: Progress
) -> list[Clip]:
    files = samples.clip_files(options.val)
    loaded = _decoded(files, options, config, group, margin=False, progress=progress)
    if group.leads:
        if loaded.left_out:
            print(f"of --val: {selection.in_words(loaded.left_out)}")
        if not can_be_judged(loaded.clips):
            print("--val is too short to report on: it takes 2 s of one video.")
    return loaded.clips
