"""How one drawn head looks, and how it is painted; training/drawn/heads.py is the module to import.

Faces are drawn in face units: the origin is the middle of the face, x runs right, y runs down, and
one unit is the face height, so the hairline lies at y = -0.5 and the chin at y = +0.5. Features sit
where they sit on people: eyes at -0.1, the base of the nose at +0.15, the mouth at +0.28. Pictures
are uint8 BGR (height, width, 3).
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache

import cv2
import numpy as np

from training.drawn.body import DrawnHead, draw_body, draw_hair
from training.drawn.pen import (
    Floats,
    Image,
    Pen,
    Pose,
    mirrored,
    mixed,
    oval,
    smooth,
    toned,
)


def _outline(head: DrawnHead, mouth_open: float) -> Floats:
    w, drop = head.face_width / 2, 0.045 * mouth_open
    return smooth(
        mirrored(
            [
                (0.55 * w, -0.69),
                (0.97 * w, -0.52),
                (w, -0.2),
                (w, 0.1),
                (head.jaw * w, 0.31 + 0.5 * drop),
                (head.chin * w, 0.5 + drop),
            ]
        )
    )


def face_box(head: DrawnHead, pose: Pose) -> tuple[float, float, float, float]:
    """Box x1, y1, x2, y2 in pixels: hairline to chin (with the jaw's drop), cheek to cheek."""
    points = np.maximum(_outline(head, pose.mouth_open), (-np.inf, -0.5))
    angle = math.radians(pose.tilt_deg)
    turned = points @ np.array(
        [[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]]
    )
    low, high = turned.min(0) * pose.height, turned.max(0) * pose.height
    x, y = pose.centre_x, pose.centre_y
    return (x + float(low[0]), y + float(low[1]), x + float(high[0]), y + float(high[1]))


@lru_cache(maxsize=64)
def _shade_map(head: DrawnHead) -> Image:
    """Factors (128 = 1) by which light multiplies the head: (160, 160, 3) over 2.4 face units."""
    grid = (np.arange(160) + 0.5) * 0.015 - 1.2
    x, y = grid[None, :], grid[:, None]

    def blob(cx: float, cy: float, sx: float, sy: float) -> Floats:
        return np.exp(-(((y - cy) / sy) ** 2) / 2) * np.exp(-(((x - cx) / sx) ** 2) / 2)

    dark = np.sign(head.light) * -1.0
    light = (
        0.30 * head.light * np.clip(x, -0.7, 0.7)
        - 0.10 * np.clip(y, -0.7, 0.7)
        - 0.28 * np.clip(np.abs(x) / 0.40, 0, 1.1) ** 4 / (1 + np.exp((y - 0.55) / 0.04))
    )
    for cx, cy, sx, sy, amount in (
        (0, -0.15, 0.22, 0.04, -0.10),
        (-0.155, -0.125, 0.07, 0.04, -0.16),
        (0.155, -0.125, 0.07, 0.04, -0.16),
        (-0.2, 0.07, 0.08, 0.06, 0.10),
        (0.2, 0.07, 0.08, 0.06, 0.10),
        (0, -0.01, 0.022, 0.1, 0.16),
        (0, 0.11, 0.035, 0.03, 0.14),
        (dark * 0.055, 0.02, 0.028, 0.1, -0.16),
        (-dark * 0.06, 0.03, 0.025, 0.08, -0.06),
        (0, 0.172, 0.07 * head.nose, 0.018, -0.26),
        (0, 0.365, 0.08, 0.02, -0.16),
        (0, 0.43, 0.07, 0.035, 0.09),
        (0, -0.36, 0.18, 0.08, 0.10),
        (-0.155, -0.03, 0.06, 0.015, -0.07),
        (0.155, -0.03, 0.06, 0.015, -0.07),
        (-0.14, 0.2, 0.03, 0.06, -0.06),
        (0.14, 0.2, 0.03, 0.06, -0.06),
        (0, 0.57, 0.25, 0.06, -0.42),
    ):
        light = light + amount * blob(cx, cy, sx, sy)
    shade = np.repeat((1 + head.contrast * light)[:, :, None], 3, 2)
    blush = 0.10 * (blob(-0.22, 0.1, 0.09, 0.06) + blob(0.22, 0.1, 0.09, 0.06))
    shade[..., :2] -= blush[..., None]
    edge = 0.17 + 0.16 * np.exp(-(((np.abs(x) - 0.19) / 0.09) ** 2))  # cheeks stay free
    cover = head.beard / (1 + np.exp((edge - y) / 0.02)) / (1 + np.exp((y - 0.56) / 0.015))
    cover = cover / (1 + np.exp((np.abs(x) - 0.5 * head.face_width - 0.02) / 0.004))
    cover = np.maximum(cover, head.moustache * blob(0, 0.215, 0.11, 0.022))[..., None]
    ratio = np.asarray(head.hair) / np.maximum(head.skin, 1.0)
    shade *= 1 - cover + cover * np.minimum(ratio, 1.3)
    packed: Image = np.clip(shade * 128, 0, 255).astype(np.uint8)
    return packed


def _apply_shade(pen: Pen, head: DrawnHead) -> None:
    x1, y1, wide, high = cv2.boundingRect(pen.mask)
    if wide == 0 or high == 0:
        return
    to_face = np.array([[0.015, 0, -1.2 + 0.0075 + 0.05 * pen.turn], [0, 0.015, -1.2 + 0.0075]])
    to_roi = pen.matrix[:, :2] @ to_face
    to_roi[:, 2] += pen.matrix[:, 2] - (x1, y1)
    shade = cv2.warpAffine(_shade_map(head), to_roi, (wide, high), borderMode=cv2.BORDER_REPLICATE)
    roi = pen.image[y1 : y1 + high, x1 : x1 + wide]
    lit = cv2.multiply(roi, shade, scale=1 / 128)
    cv2.copyTo(lit, pen.mask[y1 : y1 + high, x1 : x1 + wide], roi)


def _draw_eye(pen: Pen, head: DrawnHead, pose: Pose, side: float) -> None:
    t, size = np.linspace(-1, 1, 15), head.eye_size
    cx, cy, half = side * 0.155 * head.eye_gap, -0.1, 0.077 * size
    dome, shut = (1 - t * t) ** 0.8, float(np.clip(pose.blink, 0, 1))
    x, tail = cx + half * t, -0.006 * t * side  # the outer corner lies a little higher
    lower = cy + 0.020 * size * dome + tail
    upper = cy - 0.036 * size * dome * (1 - shut) + 0.018 * size * dome * shut + tail
    crease = np.stack([x, cy - 0.05 * size * dome + 0.012 * shut + tail - 0.004], 1)
    pen.fill(np.concatenate([crease, np.stack([x, upper], 1)[::-1]]), toned(head.skin, 0.84))
    almond = np.concatenate([np.stack([x, upper], 1), np.stack([x, lower], 1)[::-1]])
    pen.fill(almond, (222, 226, 230))
    gaze = 0.012 * pose.turn
    for radius, colour in (
        (0.035 * size, toned(head.iris, 0.6)),
        (0.030 * size, head.iris),
        (0.014 * size, (12.0, 10.0, 10.0)),
    ):
        disc = oval(cx + gaze, cy - 0.006, radius, radius)
        disc[:, 1] = np.clip(
            disc[:, 1], np.interp(disc[:, 0], x, upper), np.interp(disc[:, 0], x, lower)
        )
        pen.fill(disc, colour)
    if shut < 0.4:
        pen.fill(oval(cx + gaze - 0.012, cy - 0.018, 0.007, 0.007, 8), (250, 250, 250))
    pen.line(np.stack([x, upper], 1), toned(head.skin, 0.25), 0.012)
    pen.line(np.stack([x, lower], 1), toned(head.skin, 0.62), 0.006)
    pen.line(crease, toned(head.skin, 0.62), 0.006)
    run = np.linspace(0.055, 0.265, 9)
    s = np.linspace(0, 1, 9)
    top = -0.195 - 0.035 * head.brow_arch * np.sin(s * 2.4) - 0.012 * pose.mouth_open
    thick = 0.030 * head.brow * (1 - 0.75 * s**1.5)
    brow = np.concatenate(
        [np.stack([run, top - thick / 2], 1), np.stack([run, top + thick / 2], 1)[::-1]]
    )
    pen.fill(brow * (side, 1), mixed(toned(head.hair, 0.8), toned(head.skin, 0.6), 0.25))


def _draw_nose_and_glasses(pen: Pen, head: DrawnHead) -> None:
    k = head.nose
    for side in (-1.0, 1.0):
        pen.line(
            smooth(
                [
                    (side * 0.055 * k, 0.085),
                    (side * 0.088 * k, 0.105),
                    (side * 0.088 * k, 0.15),
                    (side * 0.05 * k, 0.158),
                ],
                closed=False,
            ),
            toned(head.skin, 0.68),
            0.010,
        )
        pen.fill(oval(side * 0.037 * k, 0.15, 0.020 * k, 0.009, 12), toned(head.skin, 0.33))
    pen.line(
        smooth([(-0.02 * k, 0.158), (0, 0.168), (0.02 * k, 0.158)], closed=False),
        toned(head.skin, 0.55),
        0.008,
    )
    if not head.glasses:
        return
    frame = toned(head.hair, 0.4) if head.seed % 2 else (60.0, 60.0, 62.0)
    power = 1.0 if head.glasses == 1 else 0.5
    for side in (-1.0, 1.0):
        unit = oval(0, 0, 1, 1, 28)
        rim = np.sign(unit) * np.abs(unit) ** power * (0.115, 0.10 if power == 1 else 0.08)
        pen.line(rim + np.array([side * 0.155, -0.085]), frame, 0.014, closed=True)
        pen.line(np.array([(side * 0.27, -0.1), (side * head.face_width / 2, -0.12)]), frame, 0.014)
    pen.line(smooth([(-0.04, -0.09), (0, -0.115), (0.04, -0.09)], closed=False), frame, 0.012)


def _draw_mouth(pen: Pen, head: DrawnHead, pose: Pose) -> None:
    t, opened = np.linspace(-1, 1, 21), float(np.clip(pose.mouth_open, 0, 1))
    wide = float(np.clip(pose.mouth_wide, 0, 1))
    half = head.mouth_width * (0.092 + 0.062 * wide) * (1 - 0.10 * opened) + 0.012 * pose.smile
    gap, plump = 0.155 * opened * (1.08 - 0.3 * wide), head.lip * (1.2 - 0.4 * wide)
    x, base = half * t, 0.278 + 0.012 * opened - (0.024 * pose.smile + 0.004) * (t * t - 0.4)
    dome = np.maximum(1 - t * t, 0) ** 0.65
    bow = 1 - 0.3 * np.exp(-((t / 0.12) ** 2)) + 0.15 * np.exp(-(((np.abs(t) - 0.28) / 0.15) ** 2))
    above, below = base - 0.22 * gap * dome, base + 0.78 * gap * dome
    top, bottom = above - 0.027 * plump * dome * bow, below + 0.036 * plump * dome

    def between(first: Floats, second: Floats) -> Floats:
        return np.concatenate([np.stack([x, first], 1), np.stack([x, second], 1)[::-1]])

    pen.fill(between(below - 0.004, bottom), head.lips)
    pen.fill(between(top, above + 0.004), toned(head.lips, 0.8))
    shine = np.stack([x, below + 0.02 * plump * dome], 1)[7:14]
    pen.line(shine, mixed(head.lips, (255, 255, 255), 0.2), 0.010)
    if gap > 0.008:
        pen.fill(between(above, below), (26, 18, 44))
        teeth = np.minimum(above + 0.034 * dome * (0.55 + 0.45 * wide), below - 0.2 * gap * dome)
        if wide > 0.25:
            pen.fill(between(above, teeth)[2:-2], toned((215, 228, 232), 0.7 + 0.25 * wide))
        if gap > 0.05:
            pen.fill(between(below - 0.3 * gap * dome**2, below)[3:-3], (70, 66, 150))
    pen.line(np.stack([x, above], 1), toned(head.lips, 0.42), 0.009)
    for side in (-1.0, 1.0):
        pen.fill(oval(side * half, float(base[0]), 0.010, 0.007, 8), toned(head.skin, 0.6))


def draw_head(image: Image, head: DrawnHead, pose: Pose) -> tuple[float, float, float, float]:
    """Draw a head with its shoulders into a picture, in place.

    Args:
        image: uint8 BGR (H, W, 3); the head may reach over its edges.
        head: who.
        pose: where, how large (pixels) and with which expression.

    Returns:
        The face box x1, y1, x2, y2 in pixels: hairline to chin, cheek to cheek.
    """
    h, (rows, cols) = pose.height, image.shape[:2]
    x1, x2 = max(0, int(pose.centre_x - 1.2 * h)), min(cols, int(pose.centre_x + 1.2 * h) + 1)
    y1, y2 = max(0, int(pose.centre_y - 1.1 * h)), min(rows, int(pose.centre_y + 2.4 * h) + 1)
    if x2 <= x1 or y2 <= y1:
        return face_box(head, pose)
    # Repeating pixels and averaging them again leaves the background exactly as it was.
    k = int(np.clip(math.ceil(260 / h), 1, 14))
    roi = image[y1:y2, x1:x2]
    big: Image = np.repeat(np.repeat(roi, k, 0), k, 1)
    placed = replace(
        pose,
        centre_x=(pose.centre_x - x1 + 0.5) * k - 0.5,
        centre_y=(pose.centre_y - y1 + 0.5) * k - 0.5,
        height=h * k,
    )
    pen, body = Pen(big, placed), Pen(big, replace(placed, tilt_deg=0.3 * pose.tilt_deg))
    body.mask = pen.mask
    w, v = head.face_width / 2, head.hair_volume
    if not head.bald:
        end = head.hair_length
        pen.fill(
            smooth(
                mirrored(
                    [
                        (0.6 * w, -0.7),
                        (1.1 * w + v, -0.4),
                        (1.12 * w + v, 0.1),
                        (1.0 * w + v, end),
                        (0.6 * w, end + 0.05),
                    ]
                )
            ),
            toned(head.hair, 0.6),
            covers=True,
            feature=False,
        )
    draw_body(body, head)
    for side in (-1.0, 1.0):
        ear = oval(side * (w + 0.01), -0.01, 0.055, 0.115)
        pen.fill(ear, toned(head.skin, 0.95), covers=True, feature=False)
        pen.line(ear[4:17] * (0.99, 0.8), toned(head.skin, 0.68), 0.010, feature=False)
    pen.fill(_outline(head, pose.mouth_open), head.skin, covers=True, feature=False)
    draw_hair(pen, head)
    _apply_shade(pen, head)
    _draw_eye(pen, head, pose, -1.0)
    _draw_eye(pen, head, pose, 1.0)
    _draw_nose_and_glasses(pen, head)
    _draw_mouth(pen, head, pose)
    roi[:] = cv2.resize(big, (x2 - x1, y2 - y1), interpolation=cv2.INTER_AREA)
    return face_box(head, pose)
