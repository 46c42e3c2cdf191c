"""Between two passes over a video: what the generator proposes, and the own mouth for each frame.

The first pass keeps every face at 96 pixels, and the own mouths. From these it is decided for the
whole output which mouth is shown when and where it goes; the second pass only puts them there.
"""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from pipeline.dubbing import face_path, source_frames
from pipeline.dubbing.driving_audio import Voice
from pipeline.dubbing.face_path import Region
from pipeline.dubbing.source_frames import Fit
from pipeline.media import yuv
from pipeline.progress import Progress
from pipeline.store.array_file import ArrayFile
from pipeline.sync.scorer import SyncModel
from pipeline.texture.compose import OwnMouth, sharpened
from pipeline.texture.library import FacePaths, Gatherer, Library
from pipeline.texture.other_video import other_library
from pipeline.texture.sentence import Draw, Fitting, Sentence


@dataclass(frozen=True)
class TexturedFace:
    """A face that gets a new mouth.

    Attributes:
        track: its number.
        paths: where it is.
        region: the same at a source time; None where it gets no new mouth.
        voice: what it is to say.
        late_s: by how much its lips are later than the source's own sound; None where that is
            not known to be its.
    """

    track: int
    paths: FacePaths
    region: Callable[[float], Region | None]
    voice: Voice
    late_s: float | None


@dataclass(frozen=True)
class Eased:
    """What is mixed into new mouths near a join, so that it is not seen.

    Attributes:
        own: (n,) mouths; -1 where nothing is.
        maps: (n, 3, 3) as those of `Texture`.
        share: (n,) how much of it.
    """

    own: np.ndarray
    maps: np.ndarray
    share: np.ndarray


@dataclass(frozen=True)
class Texture:
    """The new mouths of one face.

    Attributes:
        positions: (n,) output frames on which it has one, ascending.
        drawn: what the generator proposes for each.
        own: (n,) which own mouth is shown; None where the generator's are.
        maps: (n, 3, 3) from its frame's pixels to those of the frame where it is shown.
        eased: the same of what is mixed in near joins.
        library: own mouths.
        fit: on which frames own mouths are good enough; None where there are none.
        sharpen: the generator's mouths where they are shown.
    """

    positions: np.ndarray
    drawn: ArrayFile
    own: np.ndarray | None
    maps: np.ndarray
    eased: Eased | None
    library: Library
    fit: Fitting | None = None
    sharpen: bool = True

    def generated(self, position: int) -> np.ndarray:
        """(96, 96, 3) uint8 the generator's face, sharpened where it is what is shown."""
        face = self.drawn.read(self._at(position))
        return face if self._shown(self._at(position)) or not self.sharpen else sharpened(face)

    def mouth(self, position: int) -> OwnMouth | None:
        """The own mouth for an output frame; None where the generator's is shown."""
        at = self._at(position)
        shown = self._shown(at)
        if self.own is None or not shown:
            return None
        mouth = replace(self.library.mouth(int(self.own[at]), self.maps[at]), shown=shown)
        if self.eased is None or self.eased.own[at] < 0:
            return mouth
        other = self.library.face(int(self.eased.own[at]), self.eased.maps[at])
        return replace(mouth, other=other, share=float(self.eased.share[at]))

    def without_own(self) -> "Texture":
        """The generator's mouths alone, as they are."""
        return replace(self, own=None, sharpen=False)

    def _shown(self, at: int) -> float:
        if self.own is None:
            return 0.0
        return 1.0 if self.fit is None else float(self.fit.shown[at])

    def _at(self, position: int) -> int:
        return int(np.searchsorted(self.positions, position))

    def record(self) -> dict[str, object]:
        """For wav2lip.json."""
        reason = self.library.reason
        return {
            "texture": "none" if reason else "own",
            "own_mouths": len(self.library.grey),
            "reason": reason,
            "refused": {} if self.fit is None else self.fit.refused,
        }


class Planner:
    """Plans the new mouths of the faces of one video.

    Args:
        faces: that get one.
        model: the sync network.
        folder: an existing one for passing files.
        stack: closes them.
        size_px: (width, height) of the source's frames.
        frame_rate: of source and output.
        matrix: how levels stand for colours.
    """

    def __init__(
        self,
        faces: list[TexturedFace],
        model: SyncModel,
        *,
        folder: Path,
        stack: ExitStack,
        size_px: tuple[int, int],
        frame_rate: float,
        matrix: str,
    ) -> None:
        self._faces, self._model, self._stack, self._folder = faces, model, stack, folder
        self._size_px, self._frame_rate, self._matrix = size_px, frame_rate, matrix
        self._originals: dict[int, tuple[ArrayFile, dict[int, int]]] = {
            face.track: (self._file(f"originals{face.track}"), {}) for face in faces
        }  # every face of the source, and its number by the index of its frame
        self._count = 0

    def _file(self, name: str) -> ArrayFile:
        return self._stack.enter_context(ArrayFile(self._folder / name))

    def gather(
        self, source: Iterable[np.ndarray], samples: np.ndarray | None
    ) -> dict[int, Library]:
        """The first pass.

        Args:
            source: yuv420p buffers of all its frames.
            samples: (n,) int16 of its sound.

        Returns:
            Own mouths by track.
        """
        gatherers = {
            face.track: Gatherer(
                face.paths,
                self._model,
                pixels=self._file(f"mouths{face.track}"),
                faces=self._file(f"faces{face.track}"),
                frame_rate=self._frame_rate,
                matrix=self._matrix,
            )
            for face in self._faces
        }
        for index, buffer in enumerate(source):
            self._count = index + 1
            picture = yuv.picture(buffer, size_px=self._size_px)
            for face in self._faces:
                region = face.paths.face.at(index / self._frame_rate)
                if region is None:
                    continue
                original = face_path.face_at(picture, region, self._matrix)
                file, numbers = self._originals[face.track]
                numbers[index] = file.append(original)
                gatherers[face.track].add(index, picture, region, original)
        return {
            face.track: gatherers[face.track].finish(
                None if face.late_s is None else samples, late_s=face.late_s or 0.0
            )
            for face in self._faces
        }

    def gather_from(self, video: Path, *, device: torch.device, progress: Progress) -> Library:
        """Own mouths from another video of the same person, see `other_video`."""
        return other_library(
            video,
            self._model,
            folder=self._folder,
            pixels=self._file("other_mouths"),
            faces=self._file("other_faces"),
            frame_rate=self._frame_rate,
            device=device,
            progress=progress,
        )

    def plan(
        self, libraries: dict[int, Library], draw: Draw, *, frames: int | None, fit: Fit
    ) -> dict[int, Texture]:
        """What is shown on every frame of the output, by track.

        Args:
            libraries: own mouths by track.
            draw: the generator.
            frames: of the output; None for all the source has.
            fit: see `source_frames.playback`.
        """
        sentences = self.sentences(draw, frames=frames, fit=fit)
        return {
            track: _textured(sentence, libraries[track], self._model)
            for track, sentence in sentences.items()
        }

    def sentences(self, draw: Draw, *, frames: int | None, fit: Fit) -> dict[int, Sentence]:
        """What is proposed for every frame of the output, by track; nothing is chosen yet."""
        shown = [
            source_frames.there_and_back(position, self._count)
            if fit == "loop"
            else min(position, self._count - 1)
            for position in range(self._count if frames is None else frames)
        ]
        sentences = {face.track: self._sentence(face, shown) for face in self._faces}
        for sentence in sentences.values():
            sentence.propose(draw)
        return sentences

    def _sentence(self, face: TexturedFace, shown: list[int]) -> Sentence:
        originals, numbers = self._originals[face.track]
        regions = {
            position: region
            for position, index in enumerate(shown)
            if (region := face.region(index / self._frame_rate)) and index in numbers
        }
        positions = np.array(list(regions), int)
        return Sentence(
            positions=positions,
            sources=np.array([shown[position] for position in positions], int),
            regions=list(regions.values()),
            originals=originals,
            numbers=np.array([numbers[shown[position]] for position in positions], int),
            drawn=self._file(f"drawn{face.track}"),
            frame_rate=self._frame_rate,
            voice=face.voice,
        )


def _textured(sentence: Sentence, library: Library, model: SyncModel) -> Texture:
    if library.reason or not len(sentence.positions):
        nowhere = np.zeros((0, 3, 3))
        return Texture(sentence.positions, sentence.drawn, None, nowhere, None, library)
    own = sentence.chosen(library, model, sentence.voice.samples())
    return shown_texture(sentence, library, own)


def shown_texture(sentence: Sentence, library: Library, own: np.ndarray) -> Texture:
    """New mouths of a face once they are chosen.

    Args:
        sentence: what it says.
        library: own mouths.
        own: (n,) which of them is shown on each frame.
    """
    other, share = sentence.easing(library, own)
    eased = Eased(other, sentence.maps(library, other), share)
    maps = sentence.maps(library, own)
    fit = sentence.fitting(library, own, maps)
    return Texture(sentence.positions, sentence.drawn, own, maps, eased, library, fit)
