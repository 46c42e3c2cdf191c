"""Boxes as x1 y1 x2 y2 in pixels; numpy only."""

import numpy as np


def box_iou(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Intersection over union of every pair of boxes: (N, 4) and (M, 4) give (N, M)."""
    top_left = np.maximum(one[:, None, :2], other[None, :, :2])
    bottom_right = np.minimum(one[:, None, 2:4], other[None, :, 2:4])
    shared = np.clip(bottom_right - top_left, 0, None).prod(axis=2)
    area_one = (one[:, 2:4] - one[:, :2]).prod(axis=1)
    area_other = (other[:, 2:4] - other[:, :2]).prod(axis=1)
    return shared / np.maximum(area_one[:, None] + area_other[None] - shared, 1e-12)
