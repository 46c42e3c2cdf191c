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
# Own pixels are refused where the upper faces correlate less than this once one is moved onto the
# other, and where the frame has less than this share of their fine detail across or down.
LEAST_POSE_FIT, LEAST_DETAIL = 0.6, 0.55
# And where mouth and chin are farther than this from nine tenths of the track's other frames, in
# medians between these, while grey levels around the mouth differ by so much from the own mouth's.
MOST_STRANGE, STRANGE_PERCENTILE, MOST_EDGE = 2.5, 10, 12.0
COMPARED, LEAST_COMPARED = 200, 20  # of these other frames
LEAST_CONTRAST = 1e-3  # of a face without any
BRIDGED_FRAMES, FADED_FRAMES = 6, 5  # shorter returns are left out; each change takes so long

Draw = Callable[[np.ndarray, np.ndarray], np.ndarray]  # faces and mel windows to faces


@dataclass(frozen=True)
class Fitting:
    """On which frames own pixels can be taken.

    Attributes:
        shown: (n,) float32, how much of the own mouth is shown: 1 where it is good, 0 where the
            generator's is shown, and between on the frames before and after.
        refused: number of frames that are refused, by reason.
    """

    shown: np.ndarray
    refused: dict[str, int]

    @staticmethod
    def of(bad: dict[str, np.ndarray], positions: np.ndarray) -> "Fitting":
        """From which of n frames each reason refuses, (n,) bool, and their (n,) positions."""
        refused = np.logical_or.reduce(list(bad.values()))
        at = positions[refused]
        if not at.size:
            return Fitting(np.ones(len(positions), np.float32), {})
        after = np.searchsorted(at, positions)
        since = positions - at[np.maximum(after - 1, 0)]
        until = at[np.minimum(after, len(at) - 1)] - positions
        since, until = np.where(since < 0, until, since), np.where(until < 0, since, until)
        between = since + until <= BRIDGED_FRAMES
        shown = np.minimum(since, until).clip(0, FADED_FRAMES + 1) / (FADED_FRAMES + 1)
        shown[between & (since > 0) & (positions > at[0]) & (positions < at[-1])] = 0
        counts = {reason: int(frames.sum()) for reason, frames in bad.items() if frames.any()}
        return Fitting(shown.astype(np.float32), counts)


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

    def fitting(self, library: Library, own: np.ndarray, maps: np.ndarray) -> Fitting:
        """Where mouths can be shown.

        Args:
            library: own mouths.
            own: (n,) that are chosen.
            maps: (n, 3, 3) where they go.
        """
        pairs = enumerate(zip(own, maps, strict=True))
        scores = np.array([self._fit(library, int(mouth), map_, at) for at, (mouth, map_) in pairs])
        alike, sharp, edge = scores.reshape(-1, 3).T
        bad = {
            "the head is turned as in no own frame": alike < LEAST_POSE_FIT,
            "the frame is blurred": sharp < LEAST_DETAIL,
            "something covers the mouth": (self._strange() > MOST_STRANGE) & (edge > MOST_EDGE),
        }
        return Fitting.of(bad, self.positions)

    def _fit(
        self, library: Library, mouth: int, map_: np.ndarray, at: int
    ) -> tuple[float, float, float]:
        """How an own face fits the frame: correlation, share of detail, grey levels of its edge."""
        target = cv2.cvtColor(self.originals.read(int(self.numbers[at])), cv2.COLOR_BGR2GRAY)
        source = library.face_regions[mouth]
        between = align.to_face(self.regions[at]) @ map_ @ np.linalg.inv(align.to_face(source))
        moved = align.warped(library.grey[mouth], between)
        alike = float((traits.pose(moved) * traits.pose(target)).mean())
        sharp = traits.detail(target) / np.maximum(traits.detail(moved), LEAST_CONTRAST)
        edge = traits.surroundings(target) - traits.surroundings(moved)
        return alike, float(sharp.min()), float(edge.std())

    def _strange(self) -> np.ndarray:
        """How far each frame's own mouth and chin are from those a second away or more: (n,)."""
        count = len(self.positions)
        some = np.linspace(0, count - 1, min(count, COMPARED)).astype(int)
        shapes = np.stack([traits.mouth_shape(self._faces(slice(at, at + 1))[0]) for at in some])
        times_s = self.sources / self.frame_rate
        unit = max(float(np.median(selection.squared(shapes, shapes))), LEAST_CONTRAST)
        strange = np.zeros(count)
        for at in range(count):
            far = np.abs(times_s[some] - times_s[at]) >= selection.LEAST_APART_S
            if far.sum() >= LEAST_COMPARED:
                shape = traits.mouth_shape(self._faces(slice(at, at + 1))[0])
                apart = selection.squared(shape[None], shapes[far])[0] / unit
                strange[at] = np.percentile(apart, STRANGE_PERCENTILE)
        return strange

    def joins(self, library: Library, own: np.ndarray) -> np.ndarray:
        """Frames whose mouth does not follow the one before it; none follows, and -1 is none."""
        follows = (own >= 0)[:-1] & (own >= 0)[1:] & (library.following[own[:-1]] == own[1:])
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
                if self.positions[at] - self.positions[join] != at - join:
                    continue  # the face was away between it and the join
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
