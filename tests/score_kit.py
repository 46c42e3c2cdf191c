"""Detectors and scorers from a network of a test."""

from typing import Any

import torch

from models.s3fd import S3FD
from models.syncnet import SyncNet
from models.weights import WeightsFile
from pipeline.faces.detector import FaceStream, S3FDDetector
from pipeline.sync.embeddings import SyncNetModel
from pipeline.sync.scorer import DEFAULT_SYNC, SyncOptions, SyncScorer

CPU = torch.device("cpu")
NO_FILE = WeightsFile("no_file", "0" * 64)


def stream_of(model: S3FD | Any, *, precision: str = "fp32", **options: Any) -> FaceStream:
    """A stream of frames through an S3FD on the CPU; options as of `FaceStream`."""
    return FaceStream(S3FDDetector(model, NO_FILE, device=CPU, precision=precision), **options)


def scorer_of(network: SyncNet, options: SyncOptions = DEFAULT_SYNC) -> SyncScorer:
    """A scorer with a SyncNet on the CPU."""
    return SyncScorer(options, device=CPU, model=SyncNetModel(network, NO_FILE, device=CPU))
