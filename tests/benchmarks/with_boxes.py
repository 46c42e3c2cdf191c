"""Runs run_pipeline.py with a file's faces, at the full cost of the detector.

    python -m tests.benchmarks.with_boxes given.npz WEIGHTS_DIR FLAGS_OF_RUN_PIPELINE...

Networks of the published size with made-up weights cost what the published ones cost, but see no
faces. Here every picture still goes through the whole network; only then its answer is replaced
by one that decodes to the given faces. Everything after it, decoding of boxes included, is the
toolkit's own. Only measurements use this.
"""

import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn

import run_pipeline
from models import published, s3fd, weights
from models.syncnet import SyncNet
from pipeline import cli
from pipeline.errors import InputError
from pipeline.faces.tracks import Face
from pipeline.media import decode
from pipeline.store.safe_pickle import read_pickle

# A picture is recognised by its colours at this size, because the detector may see frames in any
# order and any number. Pictures too much alike to be told apart have faces as much alike.
THUMB_WIDTH_PX, THUMB_HEIGHT_PX = 32, 18
GIVEN_LOGIT = 6.0  # face against background: a score of 0.998

SYNCNET, S3FD = "syncnet", "s3fd"  # rows of models/published.tsv


class GivenFaces:
    """The network's output for each picture of one video.

    Args:
        path: file of `write_boxes`.
    """

    def __init__(self, path: Path) -> None:
        with np.load(path, allow_pickle=False) as stored:
            self._thumbs = torch.from_numpy(stored["thumbs"])
            self._frames, self._boxes = stored["frames"], torch.from_numpy(stored["boxes"])
            self._longer_side_px = int(stored["longer_side_px"])

    def answer(
        self, images: torch.Tensor, anchors: torch.Tensor, *, config: s3fd.S3FDConfig
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Network outputs that decode to the given faces.

        Args:
            images: (N, 3, H, W), as the network sees them.
            anchors: (A, 4) centre x, centre y, width, height in pixels of them.
            config: of the network.

        Returns:
            Regressions (N, A, 4), logits (N, A, 2), float32.
        """
        mean = torch.tensor(s3fd.MEAN_RGB, device=images.device).view(1, 3, 1, 1)
        pictures = images.float() / config.input_scale + mean
        thumbs = nn.functional.adaptive_avg_pool2d(pictures, (THUMB_HEIGHT_PX, THUMB_WIDTH_PX))
        frames = torch.cdist(thumbs.flatten(1).cpu(), self._thumbs.flatten(1)).argmin(dim=1)
        regressions = torch.zeros(len(images), len(anchors), 4)
        logits = torch.zeros(len(images), len(anchors), 2)
        logits[..., 1] = -GIVEN_LOGIT
        # The shorter side of a small picture may be padded.
        scale = max(images.shape[2:]) / self._longer_side_px
        for row, frame in enumerate(frames.tolist()):
            for box in self._boxes[self._frames == frame] * scale:
                chosen = (anchors.cpu() - _centred(box)).abs().sum(dim=1).argmin()
                nearest = anchors.cpu()[chosen]
                regressions[row, chosen] = s3fd.encode_boxes(box[None], nearest[None])[0]
                logits[row, chosen, 1] = GIVEN_LOGIT
        return regressions.to(images.device), logits.to(images.device)


def _centred(box: torch.Tensor) -> torch.Tensor:
    return torch.cat([(box[:2] + box[2:]) / 2, box[2:] - box[:2]])


def _face(row: Any, info: decode.MediaInfo) -> Face:
    """A face of faces.pckl: ours, or the demo's of 2018, in fractions and y before x."""
    if isinstance(row, dict):
        x1, y1, x2, y2 = map(float, row["bbox"])
        return Face((x1, y1, x2, y2), float(row["conf"]))
    _, (top, left, bottom, right), score = row
    width, height = info.width_px, info.height_px
    return Face((left * width, top * height, right * width, bottom * height), float(score))


def write_boxes(path: Path, video: Path, faces_file: Path) -> None:
    """Joins the faces of a faces.pckl with what their frames look like.

    Args:
        path: `.npz` file to write.
        video: what run_pipeline.py will be given, at its default frame rate.
        faces_file: made of the same video, from its first frame on, by run_pipeline.py or by the
            SyncNet demo.

    Raises:
        InputError: one of them cannot be read, or the video has more frames than there are faces.
    """
    info = decode.probe(video)
    rows = read_pickle(faces_file)
    try:
        faces = [[_face(face, info) for face in row] for row in rows]
    except (TypeError, ValueError, LookupError, ArithmeticError) as error:
        raise InputError(f"{faces_file} is not a faces.pckl; give that of run_pipeline.py.") from (
            error
        )
    thumbs = [_thumb(frame) for frame in decode.read_frames(video)]
    if len(faces) < len(thumbs):
        raise InputError(
            f"{faces_file} has {len(faces)} frames and {video} has {len(thumbs)}; "
            "give the faces of this video."
        )
    face_rows = [(frame, face.box) for frame in range(len(thumbs)) for face in faces[frame]]
    np.savez(
        path,
        thumbs=np.stack(thumbs),
        frames=np.array([frame for frame, _ in face_rows], np.int64),
        boxes=np.array([box for _, box in face_rows], np.float32).reshape(-1, 4),
        longer_side_px=max(info.width_px, info.height_px),
    )


def _thumb(frame: np.ndarray) -> np.ndarray:
    small = cv2.resize(frame, (THUMB_WIDTH_PX, THUMB_HEIGHT_PX), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(small[..., ::-1].transpose(2, 0, 1), dtype=np.float32)


def write_rule_weights(folder: Path) -> None:
    """Writes random weights of the published size: they cost the same.

    Every layer keeps the size of what passes through it, so no number overflows or vanishes,
    which would be slower or faster than real ones.
    """
    torch.manual_seed(0)
    models: dict[str, nn.Module] = {S3FD: s3fd.S3FD(), SYNCNET: SyncNet()}
    for name, model in models.items():
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() > 1:
                    fan_in = parameter[0].numel()
                    parameter.normal_(std=(2 / fan_in) ** 0.5)
        torch.save(model.state_dict(), rule_weights(folder, name))


def rule_weights(folder: Path, name: str) -> Path:
    """Where `write_rule_weights` writes a network; the detector is looked for under that name."""
    return folder / published.table()[name].file


def answer_with(faces_file: GivenFaces) -> None:
    """Makes every S3FD of this process compute as usual and return the given faces."""
    computed = s3fd.S3FD.forward

    def forward(
        model: s3fd.S3FD, images: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        _, _, anchors = computed(model, images)
        regressions, logits = faces_file.answer(images, anchors, config=model.config)
        return regressions, logits, anchors

    s3fd.S3FD.forward = forward  # type: ignore[assignment, method-assign]


def main(argv: list[str] | None = None) -> int:
    """Runs the script with its detector's answers replaced."""
    faces_file, weights_dir, *flags = sys.argv[1:] if argv is None else argv
    answer_with(GivenFaces(Path(faces_file)))
    weights.PUBLISHED_DIR = Path(weights_dir)
    return run_pipeline.main(flags)


if __name__ == "__main__":
    sys.exit(cli.run(main))
