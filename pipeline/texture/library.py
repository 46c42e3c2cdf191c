"""The own mouths of one face: cut from its frames at their own size, with what is compared of them.

Their number is bounded: of a long track runs of frames are taken, evenly over it. Their pixels are
on the disk.
"""

from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from models.features import FRAME_RATE, WINDOW_FRAMES
from pipeline.dubbing import blend
from pipeline.dubbing.face_path import FacePath, Region
from pipeline.faces.crops import crop_face
from pipeline.faces.tracks import CropPath
from pipeline.media import yuv
from pipeline.media.yuv import Picture
from pipeline.store.array_file import ArrayFile
from pipeline.sync.scorer import LipEmbedder, SyncModel
from pipeline.texture import traits
from pipeline.texture.compose import OwnFace, OwnMouth
from pipeline.texture.traits import Traits

MOST_MOUTHS = 1500  # a minute at 25 frames per second
RUN_FRAMES = 250  # of a longer track: pieces of ten seconds
LEAST_S = 4.0  # of a face; less does not have every mouth of a language
MARGIN = 0.15  # cut around the mouth, in units of the face's sides: heads turn
MOTION_STEP_S = 0.12
LEAST_MOTION = 0.5  # grey levels per step that lips move beyond the face; below, nobody speaks
MOTION_PERCENTILE = 90


@dataclass(frozen=True)
class FacePaths:
    """Where one face is.

    Attributes:
        face: for the generator.
        crop: for the sync network.
        crop_scale: of the workspace.
    """

    face: FacePath
    crop: CropPath
    crop_scale: float


@dataclass(frozen=True)
class Library:
    """Own mouths of one face, N of them.

    Attributes:
        traits: what is compared.
        following: (N,) the mouth on the next frame; -1 where it is not here.
        grey: (N, 96, 96) uint8, the faces they are from.
        regions, face_regions: where mouths and faces were cut.
        pixels, faces: the cuttings, and the faces at 96 pixels.
        numbers: (N,) of both in their files.
        reason: why they are too few to choose from; None where they are not.
    """

    traits: Traits
    following: np.ndarray
    grey: np.ndarray
    regions: list[Region]
    face_regions: list[Region]
    pixels: ArrayFile
    faces: ArrayFile
    numbers: np.ndarray
    reason: str | None

    def elsewhere(self) -> "Library":
        """The same, from another video: none of its moments is one of the source's."""
        nowhere = np.full(len(self.grey), np.nan)
        return replace(self, traits=replace(self.traits, times_s=nowhere))

    def mouth(self, own: int, map_: np.ndarray) -> OwnMouth:
        """One of them, to go where `map_` says."""
        pixels = self.pixels.read(int(self.numbers[own]))
        return OwnMouth(pixels, self.regions[own], self.face(own, map_))

    def face(self, own: int, map_: np.ndarray) -> OwnFace:
        """The face that one of them is of, to go where `map_` says."""
        return OwnFace(self.faces.read(int(self.numbers[own])), self.face_regions[own], map_)


@dataclass
class _Run:
    """Consecutive own frames."""

    embedder: LipEmbedder
    ticks: int = 0  # lips that were embedded, 25 per second
    times_s: list[float] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    regions: list[tuple[Region, Region]] = field(default_factory=list)  # of mouth and face
    grey: list[np.ndarray] = field(default_factory=list)
    shape: list[np.ndarray] = field(default_factory=list)

    def traits(self, model: SyncModel, samples: np.ndarray | None, late_s: float) -> Traits:
        """What is compared of these frames."""
        times_s = np.array(self.times_s)
        return Traits(
            times_s=times_s,
            shape=np.stack(self.shape),
            pose=np.stack([traits.pose(face) for face in self.grey]),
            surroundings=np.stack([traits.surroundings(face) for face in self.grey]),
            opening=np.array([traits.opening(face) for face in self.grey], np.float32),
            sound=None if samples is None else traits.heard(model, samples, times_s - late_s),
            lips=traits.at_times(self.embedder.finish().float().numpy(), times_s - times_s[0]),
            pause=np.zeros(len(times_s), bool)
            if samples is None
            else traits.own_pauses(samples, times_s - late_s),
        )


class Gatherer:
    """Makes a library of a face whose frames come one by one.

    Args:
        paths: where the face is.
        model: the sync network.
        pixels, faces: files for the cuttings.
        frame_rate: of the frames.
        matrix: how their levels stand for colours.
    """

    def __init__(
        self,
        paths: FacePaths,
        model: SyncModel,
        *,
        pixels: ArrayFile,
        faces: ArrayFile,
        frame_rate: float,
        matrix: str,
    ) -> None:
        self._paths, self._model = paths, model
        self._pixels, self._faces = pixels, faces
        self._frame_rate, self._matrix = frame_rate, matrix
        self._wanted = wanted(paths.face, frame_rate)
        self._runs: list[_Run] = []
        self._last = -2  # index of the frame that was taken last

    def add(self, index: int, picture: Picture, region: Region, face: np.ndarray) -> None:
        """Takes a frame on which the face is, where it is one of those that are wanted.

        Args:
            index: of the frame.
            picture: the frame.
            region: of the face.
            face: (96, 96, 3) uint8 BGR, cut from it.
        """
        mouth = _with_margin(region).inside(picture.y)
        if index not in self._wanted or 0 in mouth.size_px:
            return
        if index != self._last + 1:
            embedder = self._model.lip_embedder(batch_size=traits.EMBEDDED_AT_ONCE)
            self._runs.append(_Run(embedder))
        self._last, run = index, self._runs[-1]
        run.times_s.append(index / self._frame_rate)
        self._embed(run, picture)
        pixels = yuv.cut_bgr(picture, mouth.rows, mouth.columns, matrix=self._matrix)
        run.numbers.append(self._pixels.append(pixels))
        self._faces.append(face)
        run.regions.append((mouth, region))
        run.grey.append(cv2.cvtColor(face, cv2.COLOR_BGR2GRAY))
        run.shape.append(traits.mouth_shape(face))

    def _embed(self, run: _Run, picture: Picture) -> None:
        """Shows the last frame of a run to the network, as often as it is due at 25 per second."""
        due = (run.times_s[-1] - run.times_s[0] + 0.5 / self._frame_rate) * FRAME_RATE
        if run.ticks > due:
            return
        scale = self._paths.crop_scale
        x, y, s = self._paths.crop.at(self._paths.face.position(run.times_s[-1]))
        reach = int(s * (1 + 2 * scale)) + 1
        near = Region(int(y) - reach, int(y) + 2 * reach, int(x) - reach, int(x) + reach)
        part = near.inside(picture.y)
        bgr = yuv.cut_bgr(picture, part.rows, part.columns, matrix=self._matrix)
        crop = crop_face(bgr, x=x - part.left, y=y - part.top, s=s, crop_scale=scale)
        while run.ticks <= due:
            run.embedder.add(crop)
            run.ticks += 1

    def finish(self, samples: np.ndarray | None, *, late_s: float = 0.0) -> Library:
        """The library.

        Args:
            samples: (n,) int16 of the video's sound; None where it is not this face's.
            late_s: by how much the lips are later than that traits.
        """
        runs = [run for run in self._runs if run.ticks >= WINDOW_FRAMES]
        parts = [run.traits(self._model, samples, late_s) for run in runs]
        grey = [face for run in runs for face in run.grey]
        regions = [pair for run in runs for pair in run.regions]
        following = np.arange(1, len(grey) + 1)
        following[np.cumsum([len(run.grey) for run in runs], dtype=int) - 1] = -1
        return Library(
            traits=Traits.joined(parts),
            following=following,
            grey=np.array(grey),
            regions=[mouth for mouth, _ in regions],
            face_regions=[face for _, face in regions],
            pixels=self._pixels,
            faces=self._faces,
            numbers=np.array([number for run in runs for number in run.numbers], int),
            reason=_reason(grey, self._frame_rate),
        )


def wanted(path: FacePath, frame_rate: float) -> set[int]:
    """Frames whose mouths are kept: all of a track, or runs of it, evenly over its length."""
    first, end = round(path.start_s * frame_rate), round(path.end_s * frame_rate)
    if end - first <= MOST_MOUTHS:
        return set(range(first, end))
    starts = np.linspace(first, end - RUN_FRAMES, MOST_MOUTHS // RUN_FRAMES).astype(int)
    return {index for start in starts for index in range(start, start + RUN_FRAMES)}


def _with_margin(region: Region) -> Region:
    mouth, (width, height) = blend.mouth_region(region), region.size_px
    down, across = round(MARGIN * height), round(MARGIN * width)
    return Region(mouth.top - down, mouth.bottom + down, mouth.left - across, mouth.right + across)


def _reason(grey: list[np.ndarray], frame_rate: float) -> str | None:
    seconds = len(grey) / frame_rate
    if seconds < LEAST_S:
        return f"the face is there for {seconds:.1f} s, and {LEAST_S:g} s are needed"
    step = max(1, round(MOTION_STEP_S * frame_rate))
    motion = traits.motion(np.array(grey[::step]))
    if np.percentile(motion, MOTION_PERCENTILE) < LEAST_MOTION:
        return "its mouth hardly moves"
    return None
