"""Face clips as embeddings, and the answers to clips and videos that are made of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from models.features import FRAME_RATE, SAMPLES_PER_FRAME, WINDOW_FRAMES
from pipeline.media import decode
from pipeline.sync.embedded import Embedded
from pipeline.sync.offset import Sync, window_count
from pipeline.sync.reliability import audible_share, silent_windows
from pipeline.sync.scorer import SyncScorer
from pipeline.verdict.decide import decide
from pipeline.verdict.tracks import JudgedTrack, judge
from pipeline.verdict.traits import UNKNOWN_SOUND
from pipeline.verdict.video import VideoVerdict
from training.data.samples import clip_files, clip_name


@dataclass(frozen=True)
class Source:
    """One face clip of the data.

    Attributes:
        name: reference and track.
        lips, sound: (windows, E) float32.
        share: of its sound's frames that are audible.
        file: of the clip; None where only embeddings are there.
    """

    name: str
    lips: torch.Tensor
    sound: torch.Tensor
    share: float
    file: Path | None

    @property
    def video(self) -> str:
        """Its reference."""
        return self.name.rpartition("_")[0]

    @property
    def frames(self) -> int:
        """Its length."""
        return len(self.lips) + WINDOW_FRAMES

    def samples(self) -> np.ndarray:
        """(640 frames,) int16, its sound."""
        assert self.file is not None
        samples, _ = decode.read_sound(self.file, info=decode.probe(self.file))
        wanted = self.frames * SAMPLES_PER_FRAME
        return np.pad(samples[:wanted], (0, max(0, wanted - len(samples))))


def of_folder(data_dir: Path, scorer: SyncScorer, *, cache: Path | None) -> list[Source]:
    """Every clip of a data folder that has windows; embedded once where there is a cache."""
    sources = []
    if cache:
        cache.mkdir(parents=True, exist_ok=True)
    for file in tqdm(clip_files([data_dir]), desc="embedded", unit=" clips", disable=None):
        reference, number = clip_name(file).rsplit("/", 1)
        name = f"{Path(reference).name}_{int(Path(number).stem)}"
        stored_file = cache / f"{name}.npz" if cache else None
        if stored_file and stored_file.is_file():
            sources.append(_of_file(stored_file, file))
            continue
        embedded = scorer.embed(file)
        source = Source(name, embedded.lips, embedded.sound, embedded.audible_share, file)
        if stored_file:
            np.savez(
                stored_file,
                lips=source.lips.numpy(),
                sound=source.sound.numpy(),
                audible_share=source.share,
            )
        sources.append(source)
    return [source for source in sources if len(source.lips)]


def of_embeddings(folder: Path) -> list[Source]:
    """Every clip whose embeddings a folder holds, as `of_folder` keeps them."""
    return [_of_file(stored_file, None) for stored_file in sorted(folder.glob("*.npz"))]


def _of_file(stored_file: Path, file: Path | None) -> Source:
    with np.load(stored_file, allow_pickle=False) as stored:
        lips, sound = (torch.from_numpy(stored[name]) for name in ("lips", "sound"))
        return Source(stored_file.stem, lips, sound, float(stored["audible_share"]), file)


def strangers(sources: Sequence[Source], random: np.random.Generator) -> tuple[Source, Source]:
    """Two clips of different videos."""
    lips = sources[int(random.integers(len(sources)))]
    others = [source for source in sources if source.video != lips.video]
    return lips, others[int(random.integers(len(others)))]


def excerpt(values: torch.Tensor, windows: int, random: np.random.Generator) -> torch.Tensor:
    """So many rows in a row, from anywhere."""
    first = int(random.integers(0, len(values) - windows + 1))
    return values[first : first + windows]


def embedded_with(scorer: SyncScorer, lips: torch.Tensor, samples: np.ndarray) -> Embedded:
    """Lips with any sound, as the scorer would have them of a clip."""
    sound = scorer.model.embed_sound(
        scorer.model.sound_features(samples), batch_size=scorer.options.batch_size
    )
    embedded = embedded_of(lips, sound, share=audible_share(samples))
    return replace(embedded, is_silent=silent_windows(samples, len(embedded.lips)))


def embedded_of(lips: torch.Tensor, sound: torch.Tensor, *, share: float) -> Embedded:
    """The same of embedded sound."""
    frames = min(len(lips), len(sound)) + WINDOW_FRAMES
    windows = window_count(frames, frames * SAMPLES_PER_FRAME)
    return Embedded(
        frames=frames,
        samples=frames * SAMPLES_PER_FRAME,
        has_sound=np.ones(windows, bool),
        audible_share=share,
        picture_late_s=0.0,
        lips=lips[:windows],
        sound=sound[:windows],
        features=None,
        sound_traits=UNKNOWN_SOUND,
    )


def near(scorer: SyncScorer, source: Source) -> Sync | None:
    """What the near search says of a clip as it is."""
    embedded = embedded_of(source.lips, source.sound, share=source.share)
    return scorer.compare(embedded, file=source.name).sync


def answer_to(
    scorer: SyncScorer, embedded: Embedded, *, track: int = 0, start_s: float = 0.0
) -> JudgedTrack:
    """What run_syncnet.py would say of such a clip."""
    score = scorer.compare(embedded, file=f"{track:05d}.avi")
    calibration = scorer.model.rule.get("calibration")
    return judge(track, embedded, score, start_s=start_s, calibration=calibration)


def verdict_on(scorer: SyncScorer, shots: Sequence[Embedded]) -> VideoVerdict:
    """The verdict of a video of these shots, one after the other, a cut between each."""
    tracks, bounds_s, start_s = [], [], 0.0
    for number, shot in enumerate(shots):
        tracks.append(answer_to(scorer, shot, track=number, start_s=start_s))
        end_s = start_s + shot.frames / FRAME_RATE
        bounds_s.append((start_s, end_s))
        start_s = end_s
    return decide("video", tracks, shots_s=bounds_s, end_s=start_s, settings={})


def later(samples: np.ndarray, by_s: float) -> np.ndarray:
    """The sound later by so much, or sooner; silence where there is none."""
    by = round(by_s * FRAME_RATE * SAMPLES_PER_FRAME)
    moved = np.zeros_like(samples)
    if abs(by) < len(samples):
        moved[max(by, 0) : len(samples) + min(by, 0)] = samples[
            max(-by, 0) : len(samples) - max(by, 0)
        ]
    return moved


def stretched(samples: np.ndarray, factor: float) -> np.ndarray:
    """The sound slower by a factor, as long as it was."""
    at = np.arange(len(samples)) / factor
    return np.interp(at, np.arange(len(samples)), samples).astype(np.int16)
