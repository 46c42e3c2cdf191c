"""How a new mouth looks beside the real one, at the face's own size: pairs of frames to figures."""

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import torch
from scipy.ndimage import binary_dilation

from pipeline.dubbing import blend
from pipeline.dubbing.face_path import Region
from training.objectives.structure import ssim

SEEN_FROM = 0.05  # of the mask: where a new mouth is seen
LEAST_ENERGY = 1e-3  # keeps quotients finite where nothing moves
# Of how far a mouth is open in a clip: what counts as its least and most, and as closed and open.
CLOSED_PERCENTILE, OPEN_PERCENTILE = 20, 95
CLOSED, OPEN = 0.2, 0.5


def mouth(frame: np.ndarray, region: Region) -> tuple[np.ndarray, np.ndarray]:
    """The mouth of a frame at its own size.

    Args:
        frame: (H, W, 3) uint8.
        region: of the face.

    Returns:
        (h, w, 3) uint8, and (h, w) bool: where a new mouth is seen.
    """
    part = blend.mouth_region(region).inside(frame)
    rows, columns = part.seen_from(region).rows, part.seen_from(region).columns
    return part.cut(frame), blend.mask_part(*region.size_px, rows, columns) > SEEN_FROM


def sharpness(picture: np.ndarray, seen: np.ndarray) -> float:
    """Variance of the Laplacian of grey where `seen` says."""
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_64F)[seen].var())


def likeness(one: np.ndarray, other: np.ndarray, seen: np.ndarray) -> tuple[float, float]:
    """PSNR in dB and SSIM of two (h, w, 3) uint8 mouths where `seen` says."""
    error = (one.astype(np.float64) - other)[seen]
    tensors = (
        torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))[None].double() / 255
        for picture in (one, other)
    )
    alike = ssim(*tensors)[0].mean(dim=0)[torch.from_numpy(seen)]
    return float(10 * np.log10(255**2 / max(float((error**2).mean()), 1e-9))), float(alike.mean())


@dataclass
class Look:
    """Sharpness and flicker of one face, from frames that come one by one."""

    _sharpness: list[float] = field(default_factory=list)
    _energy: list[float] = field(default_factory=list)
    _last: deque[np.ndarray] = field(default_factory=lambda: deque(maxlen=3))
    _regions: deque[Region] = field(default_factory=lambda: deque(maxlen=3))

    def add(self, frame: np.ndarray, region: Region) -> None:
        """Takes the next frame, (H, W, 3) uint8, and where the face is on it."""
        self._sharpness.append(sharpness(*mouth(frame, region)))
        self._last.append(frame)
        self._regions.append(region)
        if len(self._last) == 3:
            # All three from the rectangle of the middle one: what moves there is what is seen.
            pieces = [mouth(one, self._regions[1]) for one in self._last]
            before, now, after = (
                cv2.cvtColor(piece, cv2.COLOR_BGR2GRAY).astype(np.float32) for piece, _ in pieces
            )
            fast = (now - (before + after) / 2)[pieces[1][1]]
            self._energy.append(float((fast**2).mean()))

    @property
    def sharpness(self) -> float:
        """Mean over the frames."""
        return float(np.mean(self._sharpness))

    @property
    def flicker(self) -> float:
        """Mean energy of what differs from the mean of the frames before and after."""
        return max(float(np.mean(self._energy)), LEAST_ENERGY)


def opening_figures(real: np.ndarray, new: np.ndarray) -> dict[str, float]:
    """Whether a mouth is open and closed when the real one is.

    Args:
        real, new: (n,) how far each is open on the same frames, see `traits.opening`.

    Returns:
        Correlation, share of the really closed frames on which the new mouth is closed within a
        frame, and share of the really open ones on which it is closed; without those that cannot
        be told, as no frame is closed, or open.
    """
    least, most = np.percentile(real, [CLOSED_PERCENTILE, OPEN_PERCENTILE])
    closed, opened = real <= least + CLOSED * (most - least), real >= least + OPEN * (most - least)
    shut = new <= least + CLOSED * (most - least)
    figures = {}
    if real.std() and new.std():
        figures["opening"] = float(np.corrcoef(real, new)[0, 1])
    if most > least:
        figures["closed_missed"] = 1 - float(binary_dilation(shut, np.ones(3, bool))[closed].mean())
        figures["open_missed"] = float(shut[opened].mean())
    return figures


def identity_distance(real: np.ndarray, new: np.ndarray) -> float:
    """How far a new lower face is from the real one, beside two halves of the real clip.

    Args:
        real, new: (N, F) features of a sync network's lips, consecutive.

    Returns:
        1 where the new face differs as much from the real one as its halves from each other.
    """
    half = len(real) // 2
    apart = np.linalg.norm(real[:half].mean(axis=0) - real[half:].mean(axis=0))
    return float(np.linalg.norm(new.mean(axis=0) - real.mean(axis=0)) / max(apart, LEAST_ENERGY))


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians, and the poorest twentieth, of the rows' figures; means of the redrawn."""
    table: dict[str, Any] = {"dubbed_faces": len(rows)}
    for name in ("face_sharpness", "flicker", "identity"):
        table[name] = round(float(np.median([row[name] for row in rows])), 3)
    table["face_sharpness_p5"] = round(
        float(np.percentile([row["face_sharpness"] for row in rows], 5)), 3
    )
    real, new = (np.mean([row[name] for row in rows]) for name in ("real_lse_c", "lse_c"))
    table["dubbed_lse_c_share"] = round(float(new / real), 3)
    near = [abs(row["offset"]) <= 1 for row in rows]
    table["dubbed_offset_within_1"] = round(float(np.mean(near)), 3)
    for name in (
        f"{kind}_{figure}"
        for kind in ("own", "generator")
        for figure in ("psnr_db", "ssim", "opening", "closed_missed", "open_missed")
    ):
        values = [row[name] for row in rows if name in row]
        if values:
            table[name] = round(float(np.mean(values)), 4)
    return table
