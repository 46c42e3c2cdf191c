"""One face along the output: proposed by the generator, chosen from own mouths, laid in place."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from pipeline.dubbing.driving_audio import Voice
from pipeline.dubbing.face_path import Region
from pipeline.store.array_file import ArrayFile
from pipeline.sync.scorer import SyncModel
from pipeline.texture import align, selection, traits
from pipeline.texture.library import Library
from pipeline.texture.selection import WEIGHTS, Hearing, Proposals, Weights
from pipeline.texture.traits import Traits

DRAWN_AT_ONCE = 64
BLOCK_FRAMES, AHEAD_FRAMES = 1000, 100  # one path, and what it knows of the frames after it
EASED_FRAMES = 4  # on each side of a join, towards what would have been shown there
LEARNED_FROM = 1500  # proposals that say how a generator's mouths vary

Draw = Callable[[np.ndarray, np.ndarray], np.ndarray]  # faces and mel windows to faces


@dataclass(frozen=True)
class Sentence:
    """The n frames of the output on which a face gets a new mouth.

    Attributes:
        positions: (n,) of the output.
        sources: (n,) frame of the source that is shown.
        regions: of the face on it.
        originals, numbers: faces of the source at 96 pixels, and (n,) which are these.
        drawn: the generator's faces, in this order, once they are proposed.
        frame_rate: of source and output.
        voice: what the face is to say.
    """

    positions: np.ndarray
    sources: np.ndarray
    regions: list[Region]
    originals: ArrayFile
    numbers: np.ndarray
    drawn: ArrayFile
    frame_rate: float
    voice: Voice

    def _blocks(self, length: int) -> Iterator[slice]:
        for start in range(0, len(self.positions), length):
            yield slice(start, min(start + length, len(self.positions)))

    def _faces(self, part: slice) -> np.ndarray:
        return np.stack([self.originals.read(int(number)) for number in self.numbers[part]])

    def propose(self, draw: Draw) -> None:
        """Has the generator draw all of them."""
        for part in self._blocks(DRAWN_AT_ONCE):
            windows = self.voice.windows(self.positions[part] / self.frame_rate)
            for face in draw(self._faces(part), windows):
                self.drawn.append(face)

    def chosen(
        self,
        library: Library,
        model: SyncModel,
        samples: np.ndarray,
        *,
        weights: Weights = WEIGHTS,
    ) -> np.ndarray:
        """Which own mouth is shown on each frame.

        Args:
            library: own mouths.
            model: the sync network.
            samples: (n,) int16 of the voice's file.
            weights: what decides.

        Returns:
            (n,) int64.
        """
        unit = selection.scales(library.traits)
        joining = selection.joining(library.traits, unit, weights=weights)
        hearing = Hearing.of(library.traits)
        step = max(1, len(self.positions) // LEARNED_FROM)
        shapes, openings = self._proposed(range(0, len(self.positions), step))
        proposals = Proposals.of(shapes, openings, library.traits.shape)
        chosen: list[int] = []
        while len(chosen) < len(self.positions):
            start, end = len(chosen), min(len(chosen) + BLOCK_FRAMES, len(self.positions))
            showing = selection.showing(
                self._traits(slice(start, end), model, samples),
                library.traits,
                unit,
                proposals=proposals,
                hearing=hearing,
                weights=weights,
            )
            path = selection.cheapest(
                showing, joining, library.following, first=chosen[-1] if chosen else None
            )
            last = end == len(self.positions)
            chosen += path[: None if last else BLOCK_FRAMES - AHEAD_FRAMES].tolist()
        return np.array(chosen, int)

    def real_openings(self) -> np.ndarray:
        """How far the mouth is open on each frame as it was filmed: (n,) float32."""
        every = self._faces(slice(0, len(self.positions)))
        grey = (cv2.cvtColor(face, cv2.COLOR_BGR2GRAY) for face in every)
        return np.array([traits.opening(face) for face in grey], np.float32)

    def _proposed(self, frames: range) -> tuple[np.ndarray, np.ndarray]:
        """The generator's shapes, (n, S), and openings, (n,)."""
        drawn = [self.drawn.read(at) for at in frames]
        openings = [traits.opening(cv2.cvtColor(face, cv2.COLOR_BGR2GRAY)) for face in drawn]
        shapes = np.stack([traits.mouth_shape(face) for face in drawn])
        return shapes, np.array(openings, np.float32)

    def _traits(self, part: slice, model: SyncModel, samples: np.ndarray) -> Traits:
        """What is wanted on these frames."""
        times_s = self.positions[part] / self.frame_rate
        grey = [cv2.cvtColor(face, cv2.COLOR_BGR2GRAY) for face in self._faces(part)]
        shapes, openings = self._proposed(range(part.start, part.stop))
        return Traits(
            times_s=self.sources[part] / self.frame_rate,
            shape=shapes,
            pose=np.stack([traits.pose(face) for face in grey]),
            surroundings=np.stack([traits.surroundings(face) for face in grey]),
            opening=openings,
            sound=traits.heard(model, samples, times_s - self.voice.delay_s),
            lips=None,
            pause=traits.gated_pauses(self.voice.mel_windows(times_s)),
        )

    def maps(self, library: Library, own: np.ndarray) -> np.ndarray:
        """Where mouths go: (n, 3, 3), from the pixels of their frames to those of the output's.

        Args:
            library: own mouths.
            own: (n,) that are shown; -1 where none is.
        """
        maps = np.tile(np.eye(3), (len(own), 1, 1))
        for at in np.flatnonzero(own >= 0):
            target = self.originals.read(int(self.numbers[at]))
            moved = align.similarity(
                library.grey[own[at]], cv2.cvtColor(target, cv2.COLOR_BGR2GRAY)
            )
            maps[at] = align.on_frames(moved, library.face_regions[own[at]], self.regions[at])
        for run in np.split(np.arange(len(own)), self.joins(library, own)):
            if own[run[0]] >= 0:
                sources = [library.face_regions[own[at]] for at in run]
                maps[run] = align.steadied(maps[run], sources)
        return maps

    def joins(self, library: Library, own: np.ndarray) -> np.ndarray:
        """Frames whose mouth does not follow the one before it."""
        follows = (own[:-1] >= 0) & (library.following[own[:-1]] == own[1:])
        return np.flatnonzero(~(follows & (np.diff(self.positions) == 1))) + 1

    def easing(self, library: Library, own: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What would be shown near a join had the other side's run gone on.

        Returns:
            (n,) own mouths, -1 away from joins, and (n,) how much of each is mixed in.
        """
        other, share = np.full(len(own), -1), np.zeros(len(own), np.float32)
        run_of: np.ndarray = np.cumsum(library.following < 0) - (library.following < 0)
        for join in self.joins(library, own):
            if self.positions[join] != self.positions[join - 1] + 1:
                continue
            for at in range(max(0, join - EASED_FRAMES), min(len(own), join + EASED_FRAMES)):
                beyond = own[join - 1] if at >= join else own[join]
                steps = at - join + 1 if at >= join else at - join
                there = beyond + steps
                far = steps - 1 if at >= join else -steps - 1
                mixed = 0.5 * (1 - far / EASED_FRAMES)
                if (
                    0 <= there < len(run_of)
                    and run_of[there] == run_of[beyond]
                    and mixed > share[at]
                ):
                    other[at], share[at] = there, mixed
        return other, share
