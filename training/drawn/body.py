"""What one drawn head looks like, and its shoulders and hair, painted in face units (face.py)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.drawn.pen import (
    Colour,
    Pen,
    mirrored,
    oval,
    smooth,
    toned,
)


@dataclass(frozen=True)
class DrawnHead:
    """One person's looks; colours are BGR 0..255, lengths are in face heights or relative to 1."""

    skin: Colour
    hair: Colour
    iris: Colour
    lips: Colour
    cloth: Colour
    under_cloth: Colour
    collar: int  # 0 plain, 1 V-neck, 2 jacket over a shirt, 3 stripes
    face_width: float
    jaw: float
    chin: float
    bald: bool
    hair_length: float  # y that the hair behind the head reaches down to
    hair_volume: float
    fringe: float  # how far hair hangs below the hairline
    hair_part: float
    curly: bool
    beard: float
    moustache: float
    brow: float
    brow_arch: float
    eye_size: float
    eye_gap: float
    nose: float
    mouth_width: float
    lip: float
    glasses: int  # 0 none, 1 round, 2 oblong
    light: float  # -1 lit from the left .. 1 from the right
    contrast: float
    seed: int  # of the strands and curls, so that they stay put from frame to frame


def draw_body(pen: Pen, head: DrawnHead) -> None:
    n = head.face_width * 0.33
    pen.fill(
        mirrored([(n, 0.2), (n, 0.58), (n + 0.2, 0.74), (0.1, 1.1)]),
        toned(head.skin, 0.9),
        covers=True,
        feature=False,
    )
    dip = (0.70, 0.98, 1.15, 0.68)[head.collar]
    if head.collar == 2:
        pen.fill(
            mirrored([(n + 0.01, 0.58), (n + 0.1, 0.64), (0.2, 1.2), (0.01, 0.72)]),
            head.under_cloth,
            covers=True,
            feature=False,
        )
    shape = [
        (0.6 * n, dip - 0.04),
        (n * 0.95, 0.58),
        (n + 0.08, 0.59),
        (n + 0.33, 0.71),
        (0.88, 0.80),
        (1.02, 1.2),
        (1.08, 4.0),
    ]
    torso = mirrored(shape if head.collar in (0, 3) else [(0.01, dip), *shape[1:]])
    pen.fill(smooth(torso), head.cloth, covers=True, feature=False)
    if head.collar == 2:
        pen.fill(
            smooth([(0, 0.66), (0.05, 0.74), (0.06, 2.0), (-0.06, 2.0), (-0.05, 0.74)]),
            toned(head.cloth, 0.5),
            feature=False,
            covers=True,
        )
    for level in np.arange(0.95, 2.4, 0.16) if head.collar == 3 else ():
        pen.line(
            np.array([(-0.85, level), (0.0, level + 0.06), (0.85, level)]),
            head.under_cloth,
            0.05,
            feature=False,
        )
    for side in (-1.0, 1.0):  # the folds between arm and chest
        pen.line(
            np.array([(0.7 * side, 1.15), (0.66 * side, 2.5)]),
            toned(head.cloth, 0.75),
            0.02,
            feature=False,
        )


def draw_hair(pen: Pen, head: DrawnHead) -> None:
    w, v, rng = head.face_width / 2, head.hair_volume, np.random.default_rng(head.seed)
    outer = [
        (-1.03 * w, -0.02),
        (-1.08 * w - v, -0.3),
        (-1.0 * w - v, -0.62 - v),
        (-0.5 * w, -0.77 - v),
        (0.5 * w, -0.77 - v),
        (w + v, -0.62 - v),
        (1.08 * w + v, -0.3),
        (1.03 * w, -0.02),
    ]
    if head.bald:
        for side in (-1.0, 1.0):
            pen.fill(
                smooth(
                    [
                        (side * 1.04 * w, -0.02),
                        (side * 1.07 * w, -0.35),
                        (side * 0.97 * w, -0.5),
                        (side * 0.92 * w, -0.3),
                    ]
                ),
                toned(head.hair, 1.1),
                covers=True,
                feature=False,
            )
        return
    part, low = head.hair_part * w, -0.5 + head.fringe
    inner = [
        (0.94 * w, -0.06),
        (0.93 * w, -0.36),
        (0.62 * w, low - 0.01),
        (part + 0.05, low - 0.05),
        (part - 0.05, low - 0.05),
        (-0.62 * w, low - 0.01),
        (-0.93 * w, -0.36),
        (-0.94 * w, -0.06),
    ]
    pen.fill(smooth(outer + inner), head.hair, covers=True, feature=False)
    if head.curly:
        rim = smooth(outer, closed=False)[::3]
        for x, y in rim + rng.uniform(-0.02, 0.02, rim.shape):
            pen.fill(
                oval(x, y, 0.06, 0.06, 12),
                toned(head.hair, rng.uniform(0.8, 1.3)),
                covers=True,
                feature=False,
            )
    for goal in smooth(outer, closed=False)[3:-3:2]:  # strands run from the parting to the rim
        start = np.array([part + rng.uniform(-0.04, 0.04), low - 0.12])
        bend = np.array([(start[0] + goal[0]) / 2, min(start[1], goal[1]) - 0.02])
        pen.line(
            smooth(np.stack([start, bend, goal * (0.97, 0.97)]), closed=False),
            toned(head.hair, rng.uniform(0.7, 1.5)),
            0.008,
            feature=False,
        )
    if head.hair_length > 0.3:
        for side in (-1.0, 1.0):
            end = head.hair_length
            pen.fill(
                smooth(
                    [
                        (side * 0.92 * w, -0.42),
                        (side * (1.1 * w + v), -0.4),
                        (side * (1.22 * w + v), 0.3),
                        (side * (1.2 * w + v), end),
                        (side * 0.98 * w, end),
                        (side * 1.02 * w, 0.2),
                    ]
                ),
                toned(head.hair, 0.95),
                covers=True,
                feature=False,
            )
