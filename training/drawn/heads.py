"""Drawn talking heads: extra training data, and the picture of the bundled example.

Pictures are uint8 BGR (height, width, 3). Sound is mono at 16 kHz. Clips run at 25 frames/s, so
frame f shows the 640 samples from sample 640 f on.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from models.features import FRAME_RATE, SAMPLE_RATE, SAMPLES_PER_FRAME
from training.drawn.face import DrawnHead, draw_head, face_box
from training.drawn.pen import Colour, Image, Pose, mixed, toned

__all__ = [
    "SKINS",
    "DrawnHead",
    "Pose",
    "draw_head",
    "drawn_clip",
    "drawn_scene",
    "face_box",
    "idle_motion",
    "mouth_motion",
    "random_background",
    "random_head",
]

_WINDOW_SAMPLES = 1600  # the power of a Hann window this long is 36 ms wide at half its height
_QUIET_DB = -62.0  # below full scale; sound weaker than this never opens a mouth
SKINS = (
    (205, 218, 246),
    (180, 205, 240),
    (150, 185, 230),
    (120, 160, 212),
    (92, 132, 190),
    (70, 104, 158),
    (52, 78, 122),
    (40, 58, 92),
)
_HAIRS = (
    (22, 20, 20),
    (30, 36, 48),
    (36, 54, 88),
    (58, 92, 140),
    (96, 150, 196),
    (150, 190, 220),
    (48, 82, 168),
    (150, 150, 152),
    (205, 205, 208),
)
_SPAN_DB = 26.0  # from closed lips to a mouth as wide open as the clip's loudest vowels


def random_head(rng: np.random.Generator) -> DrawnHead:
    """Draw the looks of one person.

    Args:
        rng: source of chance.

    Returns:
        The person; the same for the same state of rng.
    """
    u = rng.uniform
    skin = toned(SKINS[rng.integers(len(SKINS))], u(0.92, 1.04))
    tones = len(_HAIRS) if sum(skin) > 400 or u() < 0.15 else 3  # fair hair mostly on fair skin
    hair = toned(_HAIRS[rng.integers(tones)], u(0.85, 1.15))
    bald, long_hair, bearded = u() < 0.1, u() < 0.42, u() < 0.25
    return DrawnHead(
        skin=skin,
        hair=hair,
        iris=((60, 40, 28), (40, 70, 110), (150, 120, 70), (90, 120, 80))[rng.integers(4)],
        lips=mixed(toned(skin, 0.82), (90, 70, 190), u(0.25, 0.55)),
        cloth=(u(15, 225), u(15, 225), u(15, 225)),
        under_cloth=(u(60, 250), u(60, 250), u(60, 250)),
        collar=int(rng.integers(4)),
        face_width=u(0.72, 0.80),
        jaw=u(0.78, 0.95),
        chin=u(0.26, 0.48),
        bald=bald,
        hair_volume=u(0.0, 0.09),
        fringe=u(0.0, 0.13) * (u() < 0.5),
        hair_length=u(0.45, 1.0) if long_hair and not bald else u(-0.15, 0.1),
        hair_part=u(-0.7, 0.7),
        curly=u() < 0.2,
        beard=u(0.4, 0.95) if bearded else 0.0,
        moustache=u(0.5, 0.9) if bearded or u() < 0.05 else 0.0,
        brow=u(0.6, 1.5),
        brow_arch=u(0.0, 1.0),
        eye_size=u(0.88, 1.18),
        eye_gap=u(0.95, 1.06),
        nose=u(0.85, 1.2),
        mouth_width=u(0.9, 1.15),
        lip=u(0.7, 1.4),
        glasses=int(rng.integers(1, 3)) if u() < 0.25 else 0,
        light=u(-1, 1),
        contrast=u(0.5, 1.2),
        seed=int(rng.integers(1 << 30)),
    )


def random_background(rng: np.random.Generator, *, width_px: int, height_px: int) -> Image:
    """Draw a room-like backdrop: a gradient, shelves, blurred lights and lines of "writing".

    Args:
        rng: source of chance.
        width_px: width.
        height_px: height.

    Returns:
        uint8 BGR (height_px, width_px, 3).
    """
    vivid = float(rng.uniform(0.1, 0.6))  # rooms are greyer than chance colours
    corners = rng.uniform(30, 225) + vivid * rng.uniform(-90, 90, 3)
    corners = corners + rng.uniform(-40, 40, (2, 2, 1)) + rng.uniform(-10, 10, (2, 2, 3))
    image: Image = np.zeros((height_px, width_px, 3), np.uint8)
    cv2.resize(corners.clip(0, 255).astype(np.uint8), (width_px, height_px), dst=image)
    size = np.array([width_px, height_px])

    def colour() -> Colour:
        b, g, r = rng.uniform(0, 255) * (1 - vivid) + vivid * rng.uniform(0, 255, 3)
        return (b, g, r)

    for _ in range(int(rng.integers(0, 9))):
        at = rng.uniform(-0.1, 1, 2) * size
        end = at + rng.uniform(0.03, 0.4, 2) * size
        cv2.rectangle(
            image,
            at.astype(int).tolist(),
            end.astype(int).tolist(),
            colour(),
            -1 if rng.random() < 0.7 else 2,
        )
    for _ in range(int(rng.integers(0, 7))):
        at = (rng.uniform(0, 1, 2) * size).astype(int).tolist()
        cv2.circle(image, at, int(rng.uniform(0.02, 0.16) * height_px), colour(), -1, cv2.LINE_AA)
    sigma = float(rng.uniform(0.3, 0.03 * height_px + 0.5))
    cv2.GaussianBlur(image, (0, 0), sigma, dst=image)
    for _ in range(int(rng.integers(0, 4))):
        at = (rng.uniform(0, 0.9, 2) * size).astype(int).tolist()
        text = "".join(chr(c) for c in rng.integers(48, 122, 12))
        cv2.putText(
            image,
            text,
            at,
            cv2.FONT_HERSHEY_SIMPLEX,
            float(rng.uniform(0.2, 0.9)),
            colour(),
            int(rng.integers(1, 3)),
            cv2.LINE_AA,
        )
    return image


def _blurred(values: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    """Gaussian blur along the first axis of (n, ...) values; the ends are repeated outwards."""
    reach = math.ceil(3 * sigma)
    weights = np.exp(-((np.arange(-reach, reach + 1) / sigma) ** 2) / 2)
    padded = np.pad(values, [(reach, reach)] + [(0, 0)] * (values.ndim - 1), mode="edge")
    views = np.lib.stride_tricks.sliding_window_view(padded, len(weights), axis=0)
    return np.asarray(views @ (weights / weights.sum()), np.float64)


def _band_powers(samples: NDArray[np.generic], frames: int) -> NDArray[np.float64]:
    """Power in five bands, (frames, 5), in windows centred on the instants frames are shown."""
    sound = samples.astype(np.float64)
    if np.issubdtype(samples.dtype, np.integer):
        sound = sound / 32768.0
    margin = _WINDOW_SAMPLES // 2
    needed = frames * SAMPLES_PER_FRAME
    sound = np.pad(sound[:needed], (0, max(0, needed - len(sound))))
    sound = np.pad(sound, (margin, margin))
    window = np.hanning(_WINDOW_SAMPLES)
    cuts = np.array([200, 450, 1200, 2000, 3500, 7500]) * _WINDOW_SAMPLES // SAMPLE_RATE
    powers = np.empty((frames, 5))
    for first in range(0, frames, 1000):  # in parts, so that long sound needs little memory
        count = min(1000, frames - first)
        part = sound[first * SAMPLES_PER_FRAME :]
        parts = np.lib.stride_tricks.sliding_window_view(part, _WINDOW_SAMPLES)
        spectrum = np.fft.rfft(parts[: count * SAMPLES_PER_FRAME : SAMPLES_PER_FRAME] * window)
        power = np.abs(spectrum) ** 2 / (window @ window * _WINDOW_SAMPLES / 2)
        powers[first : first + count] = np.add.reduceat(power, cuts, axis=1)[:, :5]
    return powers


def mouth_motion(samples: NDArray[np.generic], *, frames: int) -> NDArray[np.float32]:
    """Derives the movement of a speaker's mouth from the sound, without lag.

    The opening follows the power where open vowels are strong, on a log scale above the clip's own
    noise floor. Lips closed for m, b, p leave little power there, and a sharpening over time brings
    such short closures out. Hissing is spread and nearly shut, dark vowels are rounded.

    Args:
        samples: mono sound at 16 kHz, integers of 16 bits or floats within -1..1; sound that is
            too short counts as followed by silence.
        frames: how many frames of 25/s; frame f is read in a window around sample 640 f,
            the instant at which it is shown (docs/clock.md).

    Returns:
        float32 (frames, 2) within 0..1: opening, and spread (0.5 is neutral).
    """
    if frames == 0:
        return np.zeros((0, 2), np.float32)
    bands = _band_powers(np.asarray(samples), frames)
    level_db = 10 * np.log10(bands @ (0.12, 1.0, 0.8, 0.25, 0.0) + 1e-12)
    peak_db = float(np.percentile(level_db, 97))
    floor_db = max(float(np.percentile(level_db, 5)) + 4.0, peak_db - _SPAN_DB, _QUIET_DB)
    raw = np.clip((level_db - floor_db) / max(peak_db - floor_db, 0.6 * _SPAN_DB), 0, 1.2)
    opening = raw + 0.55 * (raw - _blurred(raw, 2.0))
    opening = 0.8 * np.clip(opening, 0, 1.2) ** 1.4 * np.clip(raw / 0.15, 0, 1)
    front = bands @ (0.0, 0.0, 0.5, 1.0, 0.6) + 1e-12
    back = bands @ (0.3, 1.0, 0.0, 0.0, 0.0) + 1e-12
    colour_db = 10 * np.log10(front / back)
    audible = (10 * np.log10(bands.sum(1) + 1e-12) > max(floor_db - 6, _QUIET_DB)).astype(float)
    usual_db = float(np.median(colour_db[audible > 0])) if audible.any() else 0.0
    spread = 0.5 + audible * 0.5 * np.tanh((colour_db - usual_db) / 9.0)
    motion: NDArray[np.float32] = np.stack([opening, spread], 1).clip(0, 1).astype(np.float32)
    return motion


def idle_motion(rng: np.random.Generator, *, frames: int) -> NDArray[np.float32]:
    """Make the small movements of a head that have nothing to do with the sound.

    Args:
        rng: source of chance.
        frames: how many frames of 25/s.

    Returns:
        float32 (frames, 5): shift right and down (face heights), tilt (degrees), turn (-1..1) and
        blink (0 open .. 1 shut).
    """
    seconds = np.arange(frames) / FRAME_RATE
    motion = np.zeros((frames, 5))
    for column, size in enumerate((0.035, 0.025, 3.0, 0.35)):
        for hertz in rng.uniform(0.06, 0.55, 4):
            phase = rng.uniform(0, 2 * np.pi)
            motion[:, column] += (
                size * rng.normal() * 0.6 * np.sin(2 * np.pi * hertz * seconds + phase)
            )
    motion[:, 3] = np.tanh(motion[:, 3])
    lid = (0.35, 0.9, 1.0, 0.7, 0.3)
    start = int(rng.integers(5, 90))
    while start < frames:
        motion[start : start + 5, 4] = lid[: frames - start]
        start += int(rng.integers(40, 140))
    return motion.astype(np.float32)


def _weathered(rng: np.random.Generator, images: Image) -> Image:
    """Blur and grain as cameras and codecs leave them, alike for all frames (frames, H, W, 3)."""
    sigma, grain = float(rng.uniform(0.0, 0.9)), float(rng.uniform(0, 5))
    noise = rng.normal(0, grain, (2, *images.shape[1:])).astype(np.float32)
    out = np.empty_like(images)
    for index, image in enumerate(images):
        soft = cv2.GaussianBlur(image, (0, 0), sigma) if sigma > 0.3 else image
        # The grain of every frame is one of two fields, moved: chance for each pixel costs more.
        grain_field = np.roll(noise[index % 2], (index * 37, index * 53), (0, 1))
        out[index] = cv2.add(soft, grain_field, dtype=cv2.CV_8U)
    return out


def drawn_clip(
    rng: np.random.Generator, samples: NDArray[np.generic], *, frames: int, size_px: int = 224
) -> Image:
    """Draw a speaker as the face track pipeline would crop one.

    With the face box's half size s = max(height, width) / 2, the crop spans s above and 1.8 s
    below the box's centre, and 1.4 s to either side. It follows the head's slow movement.

    Args:
        rng: source of chance: looks, background and movement.
        samples: mono sound at 16 kHz that the mouth follows, see mouth_motion.
        frames: how many frames of 25/s.
        size_px: side of the crops.

    Returns:
        uint8 BGR (frames, size_px, size_px, 3).
    """
    head, height = random_head(rng), float(np.exp(rng.uniform(np.log(60), np.log(230))))
    side = int(1.9 * height)
    background = random_background(rng, width_px=side, height_px=side)
    mouth, idle = mouth_motion(samples, frames=frames), idle_motion(rng, frames=frames)
    view_centre = _blurred(idle[:, :2].astype(np.float64), float(rng.uniform(2, 8)))
    articulation, smile = float(rng.uniform(0.65, 1.0)), float(rng.uniform(-0.2, 0.6))
    calm, centre = float(rng.uniform(0.3, 1.0)), side * np.array([0.5, 0.44])
    crops = np.empty((frames, size_px, size_px, 3), np.uint8)
    for index in range(frames):
        dx, dy, tilt, turn, blink = (float(v) for v in idle[index] * (calm, calm, calm, calm, 1))
        pose = Pose(
            centre[0] + dx * height,
            centre[1] + dy * height,
            height,
            tilt_deg=tilt,
            mouth_open=float(mouth[index, 0]) * articulation,
            mouth_wide=float(mouth[index, 1]),
            blink=blink,
            turn=turn,
            smile=smile,
        )
        image = background.copy()
        draw_head(image, head, pose)
        x, y = centre + view_centre[index] * calm * height
        scale = size_px / (1.4 * height)
        # Pixel centres lie half a pixel in, hence the halves.
        matrix = np.array(
            [
                [scale, 0, (0.5 - x) * scale + size_px / 2 - 0.5],
                [0, scale, (0.5 - y) * scale + size_px / 2.8 - 0.5],
            ]
        )
        crops[index] = cv2.warpAffine(
            image, matrix, (size_px, size_px), borderMode=cv2.BORDER_REPLICATE
        )
    return _weathered(rng, crops)


def _overlap(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Shared area of two boxes x1, y1, x2, y2 as a share of the smaller one."""
    sides = np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2])
    smaller = min(float(np.prod(b[2:] - b[:2])) for b in (first, second))
    return float(np.prod(np.maximum(sides, 0))) / smaller


def drawn_scene(
    rng: np.random.Generator, *, width_px: int, height_px: int, heads: int
) -> tuple[Image, NDArray[np.float32]]:
    """Draw a still picture with faces, for training a face detector.

    Args:
        rng: source of chance.
        width_px: width of the picture.
        height_px: height of the picture.
        heads: how many faces. Their heights run from 18 pixels to 0.7 of the picture's height;
            they are made smaller where there is no room.

    Returns:
        The picture, uint8 BGR (height_px, width_px, 3), and the boxes x1, y1, x2, y2 in pixels,
        float32 (heads, 4).
    """
    image = random_background(rng, width_px=width_px, height_px=height_px)
    largest = max(18.0, 0.7 * height_px / math.sqrt(max(1, heads)))
    chosen: list[tuple[float, DrawnHead, Pose]] = []
    extents: list[NDArray[np.float64]] = []
    while len(chosen) < heads:
        head = random_head(rng)
        for attempt in range(200):
            height = float(np.exp(rng.uniform(np.log(18), np.log(max(18.5, largest)))))
            height = max(18.0, height * 0.985**attempt)
            pose = Pose(
                float(rng.uniform(0.35 * height, width_px - 0.35 * height)),
                float(rng.uniform(0.45 * height, height_px - 0.45 * height)),
                height,
                tilt_deg=float(rng.normal(0, 8)),
                mouth_open=float(rng.uniform(0, 1) ** 2),
                mouth_wide=float(rng.uniform()),
                blink=float(rng.random() < 0.08),
                turn=float(rng.uniform(-1, 1)),
                smile=float(rng.uniform(-0.3, 1)),
            )
            # The head with its hair and shoulders must leave the other faces free.
            w, h = 0.95 * height, 0.8 * height
            extent = np.array(
                [pose.centre_x - w, pose.centre_y - h, pose.centre_x + w, pose.centre_y + 1.3 * h]
            )
            if attempt == 199 or all(_overlap(extent, other) < 0.12 for other in extents):
                break
        extents.append(extent)
        chosen.append((pose.centre_y + pose.height, head, pose))
    for _, head, pose in sorted(chosen, key=lambda item: item[0]):  # the nearer ones last
        draw_head(image, head, pose)
    boxes = np.array([face_box(head, pose) for _, head, pose in chosen], np.float32)
    return _weathered(rng, image[None])[0], boxes.reshape(-1, 4)
