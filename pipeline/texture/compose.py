"""An own mouth into the frame, at the face's own size: moved once, in the light of its place."""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from models.wav2lip import FACE_PX
from pipeline.dubbing import blend
from pipeline.dubbing.face_path import Region
from pipeline.texture import align

FLOW_SHARE = 0.75  # how far an own mouth is bent to the generator's shape
DETAIL_SIGMA_PX = 1.2  # finer than this is detail, whose energy the edge keeps
EASED_FLOW_SIGMA_PX, TONE_SIGMA_PX = 2.5, 1.5  # of 96 px, near a join
SHARPENING, SHARPENING_SIGMA = 1.5, 2.0  # of a generator's mouth; sigma of 96 px


@dataclass(frozen=True)
class OwnFace:
    """A face of another frame and where it goes.

    Attributes:
        face: (96, 96, 3) uint8 BGR.
        region: that it was cut from.
        map: (3, 3), pixels of its frame to pixels of the frame it goes to.
    """

    face: np.ndarray
    region: Region
    map: np.ndarray

    def seen_from(self, part: Region) -> "OwnFace":
        """The same, going to a picture that is only a part of the frame."""
        there = np.eye(3)
        there[:2, 2] = -part.left, -part.top
        return replace(self, map=there @ self.map)

    def moved(self, region: Region) -> np.ndarray:
        """It where the face of `region` is: (96, 96, 3) uint8."""
        between = align.to_face(region) @ self.map @ np.linalg.inv(align.to_face(self.region))
        return align.warped(self.face, between)


@dataclass(frozen=True)
class OwnMouth:
    """One own mouth and where it goes.

    Attributes:
        pixels: (h, w, 3) uint8 BGR, cut from its frame.
        region: that they were cut from.
        whole: the face it is from.
        other: what would be shown instead had the mouths before or after gone on.
        share: how much of that is mixed in.
        shown: how much of all this is seen; the rest is the generator's mouth.
    """

    pixels: np.ndarray
    region: Region
    whole: OwnFace
    other: OwnFace | None = None
    share: float = 0.0
    shown: float = 1.0

    def seen_from(self, part: Region) -> "OwnMouth":
        """The same, going to a picture that is only a part of the frame."""
        other = self.other and self.other.seen_from(part)
        return replace(self, whole=self.whole.seen_from(part), other=other)


def put(
    frame: np.ndarray,
    region: Region,
    own: OwnMouth,
    *,
    generated: np.ndarray,
    original: np.ndarray,
) -> None:
    """Puts an own mouth into a frame, in place.

    Args:
        frame: (H, W, 3) float32 BGR, writable.
        region: of the face on it.
        own: the mouth.
        generated: (96, 96, 3) uint8, what the generator proposes.
        original: (96, 96, 3) uint8, the face as it is.
    """
    visible = blend.mouth_region(region).inside(frame)
    shift, light = _bend(own, region, generated, original)
    to_face = align.to_face(region)
    columns, rows = np.meshgrid(
        np.arange(visible.left, visible.right, dtype=np.float64),
        np.arange(visible.top, visible.bottom, dtype=np.float64),
    )
    at_face = (
        to_face[0, 0] * columns + to_face[0, 2],
        to_face[1, 1] * rows + to_face[1, 2],
    )  # where each pixel is on the face of 96
    bent, width, height = _read(shift, at_face), *region.size_px
    columns += bent[..., 0] * (width / FACE_PX)
    rows += bent[..., 1] * (height / FACE_PX)
    back = np.linalg.inv(own.whole.map)
    across, down = (
        back[axis, 0] * columns + back[axis, 1] * rows + back[axis, 2] for axis in (0, 1)
    )
    at_mouth = across - own.region.left, down - own.region.top
    drawn = _read(own.pixels.astype(np.float32), at_mouth, cv2.INTER_LANCZOS4)
    drawn += _read(light, at_face)
    face = visible.cut(frame)
    seen = visible.seen_from(region)
    mask = blend.mask_part(width, height, seen.rows, seen.columns)[..., None]
    joined = _joined(face, drawn, mask)
    if own.shown < 1:  # on its way to or from frames where the generator's mouth is shown
        blend.blend(frame, region, sharpened(generated), original)
        joined = face + (joined - face) * np.float32(own.shown)
    face[:] = joined


def _bend(
    own: OwnMouth, region: Region, generated: np.ndarray, original: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """How a mouth is bent and lit, at 96 pixels.

    Returns:
        (96, 96, 2) float32, where each pixel of the result is on the moved face, and (96, 96, 3)
        float32, what is added to it.
    """
    moved = own.whole.moved(region)
    shift = FLOW_SHARE * align.flow(generated, moved)
    tone = np.float32(0)
    if own.other is not None:
        other = own.other.moved(region)
        other = align.along(other, FLOW_SHARE * align.flow(generated, other))
        now = align.along(moved, shift)
        shift += np.float32(own.share) * align.flow(other, now, sigma_px=EASED_FLOW_SIGMA_PX)
        now = align.along(moved, shift)
        # Only its light and colour are mixed in: the detail stays that of one mouth, and sharp.
        other = align.along(other, align.flow(now, other, sigma_px=EASED_FLOW_SIGMA_PX))
        difference = other.astype(np.float32) - now
        tone = np.float32(own.share) * cv2.GaussianBlur(difference, (0, 0), TONE_SIGMA_PX)
    now = align.along(moved, shift)
    lit = blend.match_colour(np.clip(now + tone, 0, blend.GREY_LEVELS), original)
    return shift, lit - now


def _read(
    picture: np.ndarray,
    at: tuple[np.ndarray, np.ndarray],
    interpolation: int = cv2.INTER_LINEAR,
) -> np.ndarray:
    """A picture at some points, across and down; its last pixels go on beyond its edge."""
    across, down = (axis.astype(np.float32) for axis in at)
    return cv2.remap(picture, across, down, interpolation, borderMode=cv2.BORDER_REPLICATE)


def _joined(face: np.ndarray, drawn: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Both by the mask; where they mix, the fine detail of two pictures is not averaged away.

    A mean of two independent details has half their energy: such an edge looks like a blurred ring.
    """
    coarse_face, coarse_drawn = (
        cv2.GaussianBlur(picture, (0, 0), DETAIL_SIGMA_PX) for picture in (face, drawn)
    )
    coarse = coarse_face + (coarse_drawn - coarse_face) * mask
    energy = np.sqrt(mask**2 + (1 - mask) ** 2)
    detail = ((drawn - coarse_drawn) * mask + (face - coarse_face) * (1 - mask)) / energy
    return np.where(mask > 0, coarse + detail, face)


def sharpened(generated: np.ndarray) -> np.ndarray:
    """A generator's mouth with its fine contrast raised, where there are no own pixels.

    Args:
        generated: (96, 96, 3) uint8.

    Returns:
        The same, uint8.
    """
    smooth = cv2.GaussianBlur(generated, (0, 0), SHARPENING_SIGMA)
    return cv2.addWeighted(generated, 1 + SHARPENING, smooth, -SHARPENING, 0)
