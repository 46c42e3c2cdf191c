"""Lip-sync toolkit: faces of a video, offset of their sound, who speaks, new mouths.

Nothing is loaded before it is used: `import pipeline` takes milliseconds. See api.py.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.errors import InputError, PipelineError, ToolkitError, WeightsError
    from pipeline.api import correct, dub, find_faces, label, report, score, score_clip, verdict_of
    from pipeline.correction.stage import Corrected
    from pipeline.dubbing.choose import DubOptions
    from pipeline.dubbing.stage import Dubbed
    from pipeline.faces.options import FaceOptions
    from pipeline.faces.stage import Faces
    from pipeline.store.workspace import Workspace
    from pipeline.sync.report import TrackScore
    from pipeline.sync.scorer import ClipScore, SyncOptions, SyncScorer
    from pipeline.verdict.video import VideoVerdict

__all__ = [
    "ClipScore",
    "Corrected",
    "DubOptions",
    "Dubbed",
    "FaceOptions",
    "Faces",
    "InputError",
    "PipelineError",
    "SyncOptions",
    "SyncScorer",
    "ToolkitError",
    "TrackScore",
    "VideoVerdict",
    "WeightsError",
    "Workspace",
    "correct",
    "dub",
    "find_faces",
    "label",
    "report",
    "score",
    "score_clip",
    "verdict_of",
]

_MODULES = {
    **dict.fromkeys(
        ("correct", "dub", "find_faces", "label", "report", "score", "score_clip", "verdict_of"),
        "pipeline.api",
    ),
    **dict.fromkeys(
        ("InputError", "PipelineError", "ToolkitError", "WeightsError"), "models.errors"
    ),
    **dict.fromkeys(("ClipScore", "SyncOptions", "SyncScorer"), "pipeline.sync.scorer"),
    "Corrected": "pipeline.correction.stage",
    "DubOptions": "pipeline.dubbing.choose",
    "Dubbed": "pipeline.dubbing.stage",
    "FaceOptions": "pipeline.faces.options",
    "Faces": "pipeline.faces.stage",
    "TrackScore": "pipeline.sync.report",
    "VideoVerdict": "pipeline.verdict.video",
    "Workspace": "pipeline.store.workspace",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
