"""New mouths for chosen tracks: regenerated to new sound and put back into the full picture."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from models import wav2lip
from models.transfer import moved
from models.wav2lip import Wav2Lip
from pipeline import blend, regions
from pipeline.regions import FacePath, Region
from pipeline.voices import Voice


@dataclass(frozen=True)
class Part:
    """One face that gets a new mouth.

    Attributes:
        track: its number.
        path: where it is over time, on the source's clock.
        voice: what it says, on the output's clock.
        spoken: (frames of the track,) bool on the 25 fps clock, where it is regenerated.
    """

    track: int
    path: FacePath
    voice: Voice
    spoken: np.ndarray

    def region(self, source_s: float) -> Region | None:
        """Where the face is at a source time; None where it is not, or shall be left as it is."""
        found = self.path.at(source_s)
        if found is None:
            return None
        return found if self.spoken[self.path.position(source_s)] else None


@dataclass
class _Face:
    """One face of one frame on its way through the generator."""

    frame: np.ndarray
    region: Region
    original: np.ndarray
    sound: np.ndarray


@dataclass(frozen=True)
class Generator:
    """The network that draws mouths, and how it is called.

    Attributes:
        model: ready for inference on `device`.
        device: where it runs.
        batch_size: faces in one pass.
    """

    model: Wav2Lip
    device: torch.device
    batch_size: int

    @torch.inference_mode()
    def draw(
        self, faces: np.ndarray, sound: np.ndarray, *, reference: np.ndarray | None = None
    ) -> np.ndarray:
        """Draws mouths.

        Args:
            faces: (N, 96, 96, 3) uint8 BGR.
            sound: (N, 1, 80, 16) float32.
            reference: other frames of the same faces; None takes the same, as upstream does.

        Returns:
            (N, 96, 96, 3) uint8 BGR.
        """
        drawn = []
        for start in range(0, len(faces), self.batch_size):
            part = slice(start, start + self.batch_size)
            other = None if reference is None else reference[part]
            seen = moved(wav2lip.generator_input(faces[part], other), self.device)
            heard = moved(torch.from_numpy(sound[part]), self.device)
            drawn.append(wav2lip.to_uint8(self.model(heard, seen)))
        return np.concatenate(drawn)


def regenerated(
    shown: Iterator[tuple[int, np.ndarray]],
    parts: list[Part],
    generator: Generator,
    *,
    frame_rate: float,
    blended: bool,
) -> Iterator[tuple[np.ndarray, list[int]]]:
    """The frames of a video with new mouths; frames without a chosen face pass untouched.

    Args:
        shown: source index and writable (H, W, 3) uint8 BGR frame, in output order.
        parts: faces that get a new mouth.
        generator: draws them, a batch of faces at a time.
        frame_rate: of source and output.
        blended: only mouth and jaw, without an edge; else the whole face as upstream pastes it.

    Yields:
        Frame, and the tracks regenerated on it.
    """
    waiting: list[tuple[np.ndarray, list[int]]] = []
    faces: list[_Face] = []
    for position, (index, frame) in enumerate(shown):
        changed = []
        for part in parts:
            region = part.region(index / frame_rate)
            if region is not None:
                region = region if blended else region.inside(frame)
                original = regions.shrink(region.cut(frame), bilinear=not blended)
                sound = part.voice.windows(np.array([position / frame_rate]))[0]
                faces.append(_Face(frame, region, original, sound))
                changed.append(part.track)
        waiting.append((frame, changed))
        full = len(faces) >= generator.batch_size or len(waiting) >= 2 * generator.batch_size
        if full or not faces:
            yield from _finished(waiting, faces, generator, blended=blended)
            waiting, faces = [], []
    yield from _finished(waiting, faces, generator, blended=blended)


def _finished(
    waiting: list[tuple[np.ndarray, list[int]]],
    faces: list[_Face],
    generator: Generator,
    *,
    blended: bool,
) -> list[tuple[np.ndarray, list[int]]]:
    if faces:
        originals = np.stack([face.original for face in faces])
        drawn = generator.draw(originals, np.stack([face.sound for face in faces]))
        for face, generated in zip(faces, drawn, strict=True):
            if blended:
                blend.blend(face.frame, face.region, generated, face.original)
            else:
                blend.paste(face.frame, face.region, generated)
    return waiting
