"""An own mouth moved to where the mouth is now: by the pose of the head, then by dense flow."""

import functools

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d

from models.wav2lip import FACE_PX
from pipeline.dubbing.blend import mouth_mask
from pipeline.dubbing.face_path import Region

UPPER = slice(16, 60), slice(12, 84)  # of 96 px: eyes, nose and cheeks, which no speech moves much
ROUNDS, REWEIGHTED = 2, 4  # of flow and fit; of the fit within each
LEAST_WEIGHT, MOST_GRADIENT = 20.0, 200.0  # of a pixel, grey levels; flat skin says nothing
TOLERANCE_PX = 1.0  # flow that is farther off, of a blink or of hair, counts less
STEADY_FRAMES = 1.5  # deviation of the Gaussian over the motion within a run of frames
# Points of a face, in units of its region, that the steadied motion is read from.
ANCHORS = np.array([[0.3, 0.6], [0.7, 0.6], [0.5, 0.95]])
FLOW_SOURCE_SIGMA_PX, FLOW_SIGMA_PX = 1.5, 4.0


@functools.cache
def _flow() -> cv2.DISOpticalFlow:
    return cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)


def _found(target: np.ndarray, source: np.ndarray) -> np.ndarray:
    """Where each pixel of a grey target is found on a grey source: (96, 96, 2) float32."""
    start = np.zeros((*target.shape, 2), np.float32)
    return np.asarray(_flow().calc(target, source, start))


@functools.cache
def _grid() -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.mgrid[0:FACE_PX, 0:FACE_PX].astype(np.float32)
    return columns, rows


@functools.cache
def _rigid() -> np.ndarray:
    """Which pixels of a face say how the head is turned: (96, 96) float32."""
    weight = np.zeros((FACE_PX, FACE_PX), np.float32)
    weight[UPPER] = 1
    return weight * (1 - mouth_mask(FACE_PX, FACE_PX))


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Turn, size and place that bring one face onto another, by their upper halves.

    Args:
        source, target: (96, 96) uint8 grey.

    Returns:
        (3, 3) float64, pixels of source to pixels of target.
    """
    across, down = _grid()
    gradient = np.hypot(*(cv2.Sobel(target, cv2.CV_32F, *axis) for axis in ((1, 0), (0, 1))))
    weight = _rigid() * np.minimum(gradient, MOST_GRADIENT)
    used = weight > LEAST_WEIGHT
    total = np.eye(3)
    if used.sum() < 3:
        return total
    wanted = np.stack([across[used], down[used]], axis=1)
    for _ in range(ROUNDS):
        moved = cv2.warpAffine(
            source, total[:2], (FACE_PX, FACE_PX), borderMode=cv2.BORDER_REPLICATE
        )
        given = wanted + _found(target, moved)[used]
        trust = weight[used]
        for _ in range(REWEIGHTED):
            step = _fit(given, wanted, trust)
            missed = np.linalg.norm(given @ step[:2, :2].T + step[:2, 2] - wanted, axis=1)
            trust = weight[used] / (1 + (missed / TOLERANCE_PX) ** 2)
        total = step @ total
    return total


def _fit(given: np.ndarray, wanted: np.ndarray, trust: np.ndarray) -> np.ndarray:
    """The similarity that maps points to points best, by weighted least squares: (3, 3)."""
    share = (trust / trust.sum())[:, None]
    from_middle, to_middle = (share * given).sum(axis=0), (share * wanted).sum(axis=0)
    a, b = given - from_middle, wanted - to_middle
    size = (share * a**2).sum()
    cosine = (share * a * b).sum() / size
    sine = (share[:, 0] * (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])).sum() / size
    turn = np.array([[cosine, -sine], [sine, cosine]])
    matrix = np.eye(3)
    matrix[:2, :2], matrix[:2, 2] = turn, to_middle - turn @ from_middle
    return matrix


def to_face(region: Region) -> np.ndarray:
    """Pixels of the frame to pixels of the face of 96: (3, 3), pixel centres at whole numbers."""
    width, height = region.size_px
    across, down = FACE_PX / width, FACE_PX / height
    return np.array(
        [
            [across, 0, (0.5 - region.left) * across - 0.5],
            [0, down, (0.5 - region.top) * down - 0.5],
            [0, 0, 1],
        ]
    )


def on_frames(faces: np.ndarray, source: Region, target: Region) -> np.ndarray:
    """A map between faces of 96 pixels as one between the frames they were cut from.

    On frames it is free of the rounding of regions to whole pixels: it changes as smoothly as the
    head moves.
    """
    return np.asarray(np.linalg.inv(to_face(target)) @ faces @ to_face(source))


def steadied(maps: np.ndarray, sources: list[Region]) -> np.ndarray:
    """Maps of consecutive frames of one run without their jitter, which texture would slide by.

    Args:
        maps: (n, 3, 3), pixels of the source's frame to pixels of the target's.
        sources: of the n mouths.

    Returns:
        (n, 3, 3).
    """
    points = np.ones((len(maps), 3, len(ANCHORS)))
    for point, region in zip(points, sources, strict=True):
        width, height = region.size_px
        point[:2] = (ANCHORS * [width, height] + [region.left, region.top]).T
    motion = (maps @ points - points)[:, :2]
    moved = points.copy()
    moved[:, :2] += gaussian_filter1d(motion, STEADY_FRAMES, axis=0, mode="nearest")
    return np.asarray(moved @ np.linalg.inv(points))


def warped(face: np.ndarray, map_: np.ndarray) -> np.ndarray:
    """A face of 96 pixels under a map between faces; its last pixels go on beyond its edge."""
    return cv2.warpAffine(
        face, map_[:2], (FACE_PX, FACE_PX), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )


def flow(target: np.ndarray, source: np.ndarray, *, sigma_px: float = FLOW_SIGMA_PX) -> np.ndarray:
    """Where each pixel of a target is found on a source, without what is too fine to be true.

    Args:
        target, source: (96, 96, 3) uint8 BGR.
        sigma_px: finer motion is left out.

    Returns:
        (96, 96, 2) float32, pixels to add: across, down.
    """
    grey = [
        cv2.GaussianBlur(cv2.cvtColor(face, cv2.COLOR_BGR2GRAY), (0, 0), FLOW_SOURCE_SIGMA_PX)
        for face in (target, source)
    ]
    return cv2.GaussianBlur(_found(grey[0], grey[1]), (0, 0), sigma_px)


def along(face: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """A face of 96 pixels with each pixel from where `shift` says."""
    across, down = _grid()
    return cv2.remap(
        face,
        across + shift[..., 0],
        down + shift[..., 1],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
