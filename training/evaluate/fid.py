"""Fréchet inception distance between real and generated faces, where its network is at hand.

After "GANs trained by a two time-scale update rule" (Heusel et al. 2017), by the pytorch-fid
package, whose figures are those papers compare. Package and weights are optional: nothing is
downloaded for a figure.
"""

import importlib
from pathlib import Path

import numpy as np
import torch

WEIGHTS_FILE = "pt_inception-2015-12-05-6726825d.pth"  # where pytorch-fid itself keeps them
FEATURES = 2048
BATCH_FACES = 32


def weights_file() -> Path:
    """The Inception weights pytorch-fid would load."""
    return Path(torch.hub.get_dir()) / "checkpoints" / WEIGHTS_FILE


def distance(real: np.ndarray, generated: np.ndarray, *, device: torch.device) -> float | None:
    """Distance between two sets of faces.

    Args:
        real, generated: (N, H, W, 3) uint8 BGR, more than one each.
        device: where Inception runs.

    Returns:
        None where the package or its weights are not there.
    """
    if not weights_file().is_file():
        return None
    try:
        inception = importlib.import_module("pytorch_fid.inception")
        score = importlib.import_module("pytorch_fid.fid_score")
    except ImportError:
        return None
    block = inception.InceptionV3.BLOCK_INDEX_BY_DIM[FEATURES]
    model = inception.InceptionV3([block]).to(device).eval()
    statistics = []
    for faces in (real, generated):
        features = np.concatenate(
            [
                _features(model, faces[start : start + BATCH_FACES], device)
                for start in range(0, len(faces), BATCH_FACES)
            ]
        ).astype(np.float64)
        statistics += [features.mean(axis=0), np.cov(features, rowvar=False)]
    return float(score.calculate_frechet_distance(*statistics))


@torch.inference_mode()
def _features(model: torch.nn.Module, faces: np.ndarray, device: torch.device) -> np.ndarray:
    rgb = torch.from_numpy(np.ascontiguousarray(faces[..., ::-1])).to(device)
    features: torch.Tensor = model(rgb.permute(0, 3, 1, 2).float() / 255)[0]
    return features.flatten(1).cpu().numpy()
