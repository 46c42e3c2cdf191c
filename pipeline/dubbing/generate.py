"""New mouths for chosen tracks: regenerated to new sound and put back into the full picture."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from models import wav2lip
from models.device import to_device
from models.speech2vid import MouthNetwork, Speech2Vid
from pipeline.dubbing import blend, face_path
from pipeline.dubbing.driving_audio import Voice
from pipeline.dubbing.face_path import FacePath, Region
from pipeline.media import yuv
from pipeline.media.yuv import Picture
from pipeline.texture import compose
from pipeline.texture.compose import OwnMouth
from pipeline.texture.plan import Texture


@dataclass(frozen=True)
class DubTrack:
    """One face that gets a new mouth.

    Attributes:
        track: its number.
        path: where it is over time, on the source's clock.
        voice: what it says, on the output's clock.
        spoken: (frames of the track,) bool on the 25 fps clock, where it is regenerated.
        texture: its new mouths where they are planned; None where the generator's are drawn and
            shown as they are.
    """

    track: int
    path: FacePath
    voice: Voice
    spoken: np.ndarray
    texture: Texture | None = None

    def region(self, source_s: float) -> Region | None:
        """The face at a source time; None where it is absent or not regenerated."""
        region = self.path.at(source_s)
        if region is None:
            return None
        return region if self.spoken[self.path.position(source_s)] else None


@dataclass
class _Face:
    """One face of one frame on its way through the generator.

    Attributes:
        picture, region, original, sound: where it goes, and what the generator is given.
        generated: what the generator made of it, where that is known already.
        mouth: own mouth that is shown, where there is one.
    """

    picture: Picture
    region: Region
    original: np.ndarray
    sound: np.ndarray
    generated: np.ndarray | None = None
    mouth: OwnMouth | None = None


@dataclass(frozen=True)
class Generator:
    """The network that draws mouths, and how it is called.

    Attributes:
        model: ready for inference on `device`.
        device: where it runs.
        batch_size: faces in one pass.
    """

    model: MouthNetwork
    device: torch.device
    batch_size: int

    @property
    def hears_cepstra(self) -> bool:
        """Its sound is cepstra; else it is mel features."""
        return isinstance(self.model, Speech2Vid)

    @torch.inference_mode()
    def draw(
        self, faces: np.ndarray, sound: np.ndarray, *, reference: np.ndarray | None = None
    ) -> np.ndarray:
        """Draws mouths.

        Args:
            faces: (N, 96, 96, 3) uint8 BGR.
            sound: (N, 1, 80, 16) float32 mel features, or (N, 1, 12, 20) cepstra where it hears
                these: of each face by itself, which a Speech2Vid takes to hold still.
            reference: other frames of the same faces; None takes the same, as upstream does.

        Returns:
            (N, 96, 96, 3) uint8 BGR.
        """
        mouths = []
        for start in range(0, len(faces), self.batch_size):
            part = slice(start, start + self.batch_size)
            other = None if reference is None else reference[part]
            pixels = to_device(wav2lip.generator_input(faces[part], other), self.device)
            heard = to_device(torch.from_numpy(sound[part]), self.device)
            mouths.append(wav2lip.to_uint8(self.model(heard, pixels)))
        return np.concatenate(mouths)


def regenerated(
    source: Iterator[tuple[int, np.ndarray]],
    dub_tracks: list[DubTrack],
    generator: Generator,
    *,
    size_px: tuple[int, int],
    frame_rate: float,
    matrix: str,
    blended: bool,
) -> Iterator[tuple[np.ndarray, list[int]]]:
    """The frames of a video with new mouths; frames without a chosen face pass untouched.

    Args:
        source: source index and writable yuv420p buffer (see yuv.py), in output order.
        dub_tracks: faces that get a new mouth.
        generator: draws them, a batch of faces at a time.
        size_px: (width, height) of the frames.
        frame_rate: of source and output.
        matrix: how their levels stand for colours, see yuv.py.
        blended: only mouth and jaw, without an edge; else the whole face as upstream pastes it.

    Yields:
        Buffer, and the tracks regenerated on it.
    """
    waiting: list[tuple[np.ndarray, list[int]]] = []
    faces: list[_Face] = []
    for position, (index, buffer) in enumerate(source):
        picture, changed = yuv.picture(buffer, size_px=size_px), []
        for part in dub_tracks:
            region = part.region(index / frame_rate)
            if region is not None:
                region = region if blended else region.inside(picture.y)
                original = face_path.face_at(picture, region, matrix, bilinear=not blended)
                sound = part.voice.windows(np.array([position / frame_rate]))[0]
                face = _Face(picture, region, original, sound)
                if part.texture is not None:
                    face.generated = part.texture.generated(position)
                    face.mouth = part.texture.mouth(position)
                faces.append(face)
                changed.append(part.track)
        waiting.append((buffer, changed))
        full = len(faces) >= generator.batch_size or len(waiting) >= 2 * generator.batch_size
        if full or not faces:
            yield from _finished(waiting, faces, generator, matrix=matrix, blended=blended)
            waiting, faces = [], []
    yield from _finished(waiting, faces, generator, matrix=matrix, blended=blended)


def _finished(
    waiting: list[tuple[np.ndarray, list[int]]],
    faces: list[_Face],
    generator: Generator,
    *,
    matrix: str,
    blended: bool,
) -> list[tuple[np.ndarray, list[int]]]:
    if new := [face for face in faces if face.generated is None]:
        originals = np.stack([face.original for face in new])
        mouths = generator.draw(originals, np.stack([face.sound for face in new]))
        for face, generated in zip(new, mouths, strict=True):
            face.generated = generated
    for face in faces:
        assert face.generated is not None
        _paste(face, face.generated, matrix=matrix, blended=blended)
    return waiting


def _paste(face: _Face, generated: np.ndarray, *, matrix: str, blended: bool) -> None:
    """The generated face, (96, 96, 3) uint8 BGR, into its picture, in place."""
    changed = blend.mouth_region(face.region) if blended else face.region
    part = changed.inside(face.picture.y)
    if 0 in part.size_px:  # a mouth beyond the frame's edge
        return
    where = part.rows, part.columns
    before = yuv.cut_bgr(face.picture, *where, matrix=matrix, exact=True)
    after, region = before.copy(), face.region.seen_from(part)
    if face.mouth is not None:
        compose.put(
            after, region, face.mouth.seen_from(part), generated=generated, original=face.original
        )
    elif blended:
        blend.blend(after, region, generated, face.original)
    else:
        blend.paste(after, region, generated)
    yuv.put_bgr(face.picture, *where, before, after, matrix=matrix)
