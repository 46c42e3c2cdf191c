"""The four stages as Python functions: what the scripts do, with their options as keywords.

    from pipeline import dub, find_faces, label, score, verdict_of

    faces = find_faces("talk.mp4", work="data/work")
    for track in score(faces):
        print(track.track, track.start_s, track.offset_ms, track.confidence, track.reliable)
    print(verdict_of(faces).sentence)
    label(faces)
    dub(faces, tracks=[0], audio="new.wav")

Everything is silent: sentences that the scripts print are warnings here, and `progress` takes a
function that is called with how far a step is. Errors are `ToolkitError`s.
"""

import contextlib
import inspect
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from pipeline.correction import stage as correct_stage
from pipeline.correction.stage import Corrected
from pipeline.dubbing import stage as dubbing_stage
from pipeline.dubbing.choose import DubOptions, check_audio
from pipeline.dubbing.stage import Dubbed
from pipeline.errors import InputError, ToolkitError
from pipeline.faces import stage as faces_stage
from pipeline.faces.detector import Detector
from pipeline.faces.options import FaceOptions
from pipeline.faces.stage import Faces
from pipeline.labelling import label as label_workspace
from pipeline.page.write import report as write_report
from pipeline.progress import Progress, silent
from pipeline.store.workspace import Workspace
from pipeline.sync import single_clip
from pipeline.sync import stage as sync_stage
from pipeline.sync.report import TrackScore
from pipeline.sync.scorer import ClipScore, SyncOptions, SyncScorer
from pipeline.verdict.video import VideoVerdict, read_verdict

Device = str | torch.device
FUNCTIONS = {
    "run_pipeline.py": "find_faces",
    "run_syncnet.py": "score",
    "run_visualise.py": "label",
    "run_wav2lip.py": "dub",
}  # by the script whose stage they are
SWITCHES = ("overwrite", "score", "per_shot")  # flags without a value
PACKAGE = Path(__file__).parent  # whose lines no warning is of
PARAMETERS = {"correct": "out", "videofile": "video"}  # flags that have another name here


def find_faces(
    video: str | Path,
    work: str | Path = "data/work",
    *,
    reference: str = "",
    device: Device = "auto",
    overwrite: bool = False,
    detector: str | Detector = "auto",
    progress: Progress = silent,
    **options: Any,
) -> Faces:
    """Finds the shots and faces of a video and cuts a clip of every face.

    Args:
        video: anything ffmpeg reads.
        work: results folder; it gets pyavi/, pycrop/, pywork/ and pyframes/.
        reference: name of the video's results in it; empty takes the file's name.
        device: where the detector runs, unless a loaded one is given.
        overwrite: make everything again, and replace results of another input or other settings.
        detector: "auto", "s3fd" or "small"; or a loaded one, for many videos.
        progress: called after each frame.
        **options: other fields of `FaceOptions`.

    Returns:
        The faces; complete results of the same video and options are kept.

    Raises:
        InputError: the video cannot be used, an option means nothing, or other results are in the
            way.
        PipelineError: decoding or writing failed.
        WeightsError: the detector's file is absent or does not fit.
    """
    with _python_words():
        workspace = Workspace(Path(work), reference or Path(video).stem)
        name = detector if isinstance(detector, str) else "auto"
        faces = faces_stage.find_faces(
            Path(video),
            workspace,
            FaceOptions(detector=name, **options),
            device=device,
            overwrite=overwrite,
            detector=None if isinstance(detector, str) else detector,
            progress=progress,
        )
    for notice in faces.notices:
        _warn(notice)
    return faces


def score(
    faces: Faces | Workspace,
    *,
    scorer: SyncScorer | None = None,
    device: Device = "auto",
    progress: Progress = silent,
    **options: Any,
) -> list[TrackScore]:
    """Measures for every track by how much sound and lips are apart, and writes it down.

    Args:
        faces: of `find_faces`, or the workspace they are in.
        scorer: to score with, for many videos; None loads one.
        device: where the network runs, without a scorer.
        progress: called after each track.
        **options: fields of `SyncOptions`, without a scorer.

    Returns:
        A score per track, in their order.

    Raises:
        InputError: there are no results of `find_faces`, or a track's clip is gone.
        PipelineError: a clip cannot be read.
        WeightsError: the weights file is absent or does not fit.
    """
    with _python_words():
        scorer = _scorer(scorer, device, options)
        return sync_stage.score_tracks(_workspace(faces), scorer, notice=_warn, progress=progress)


def verdict_of(faces: Faces | Workspace) -> VideoVerdict:
    """What all tracks say of the video together: in sync or not, and why.

    Args:
        faces: scored, or the workspace they are in.

    Raises:
        InputError: the faces are not scored, or the verdict is damaged.
    """
    with _python_words():
        return read_verdict(_workspace(faces).verdict)


def correct(
    faces: Faces | Workspace,
    *,
    out: str | Path,
    per_shot: bool = False,
    video: str | Path | None = None,
    scorer: SyncScorer | None = None,
    device: Device = "auto",
    progress: Progress = silent,
    **options: Any,
) -> Corrected:
    """Writes a copy of a scored video with its sound in sync, and scores it again.

    Args:
        faces: scored, or the workspace they are in.
        out: file to write; its suffix says which container. The picture is copied bit for bit.
        per_shot: each shot by its own offset; else by the video's offset, steps or drift.
        video: where the input of `find_faces` is now; None: where it was.
        scorer, device, options: as for `score`.
        progress: called after each track that is scored again.

    Raises:
        InputError: the faces are not scored, the video is gone or was changed, or `out` is it or
            cannot hold its picture.
        PipelineError: no offset is reliable, or reading or writing failed.
        WeightsError: the weights file is absent or does not fit.
    """
    with _python_words():
        return correct_stage.correct(
            _workspace(faces),
            Path(out),
            scorer=_scorer(scorer, device, options),
            per_shot=per_shot,
            video=None if video is None else Path(video),
            progress=progress,
        )


def score_clip(
    clip: str | Path,
    *,
    scorer: SyncScorer | None = None,
    device: Device = "auto",
    save_features: str | Path | None = None,
    progress: Progress = silent,
    **options: Any,
) -> ClipScore:
    """Scores one clip that is a face crop already.

    Args:
        clip: a 224x224 clip with its sound.
        scorer, device, options: as for `score`.
        save_features: `.npy` file for the lip features; the embeddings are written beside it.
        progress: called after each frame.

    Raises:
        InputError: the file is no video, silent or too short.
        PipelineError: the clip cannot be read, or the features cannot be written.
        WeightsError: the weights file is absent or does not fit.
    """
    with _python_words():
        return single_clip.score_clip(
            Path(clip),
            _scorer(scorer, device, options),
            save_features=None if save_features is None else Path(save_features),
            notice=_warn,
            progress=progress,
        )


def label(
    faces: Faces | Workspace, *, frame_rate: int | None = None, progress: Progress = silent
) -> Path:
    """Draws every tracked face on the video: red for silent lips, green for the speaker.

    Beside it are the same video for browsers, video_out.mp4, and a page about it, report.html.

    Args:
        faces: scored, or the workspace they are in.
        frame_rate: of the workspace; None takes the recorded one.
        progress: called after each frame.

    Returns:
        The video, video_out.avi.

    Raises:
        InputError: the faces are not scored, or video.avi was removed.
        PipelineError: encoding failed.
    """
    with _python_words():
        workspace = _workspace(faces)
        label_workspace(workspace, frame_rate=frame_rate, progress=progress)
        return workspace.labelled_video


def report(faces: Faces | Workspace, *, frame_rate: int | None = None) -> Path:
    """Writes a page about a scored video; `label` does so, too, beside drawing the faces.

    Args:
        faces: scored, or the workspace they are in.
        frame_rate: of the workspace; None takes the recorded one.

    Returns:
        The page, report.html.

    Raises:
        InputError: the faces are not scored, or a file of theirs is damaged.
    """
    with _python_words():
        workspace = _workspace(faces)
        write_report(workspace, frame_rate=frame_rate)
        return workspace.report_page


def dub(
    faces: Faces | Workspace,
    *,
    tracks: str | Sequence[int] = "all",
    audio: str | Path | Mapping[int, str | Path] | None = None,
    video: str | Path | None = None,
    score: bool = False,
    device: Device = "auto",
    progress: Progress = silent,
    **options: Any,
) -> Dubbed:
    """Gives chosen faces new mouths for new audio.

    Args:
        faces: of `find_faces`, or the workspace they are in.
        tracks: numbers, "all" or "speaking".
        audio: a file for all, or files by track number; None takes the video's own sound with its
            measured offset taken out.
        video: where the input of `find_faces` is now; None: where it was.
        score: compare lips and sound before and after.
        device: where the networks run.
        progress: called after each frame.
        **options: other fields of `DubOptions`.

    Raises:
        InputError: there is no such track or file, or no sound in it.
        PipelineError: reading or writing failed.
        WeightsError: the generator's file is absent or does not fit.
    """
    with _python_words():
        settings = DubOptions(
            tracks=tracks if isinstance(tracks, str) else tuple(tracks),  # type: ignore[arg-type]
            audio=_audio_files(audio),
            **options,
        )
        return dubbing_stage.dub(
            _workspace(faces),
            settings,
            device=device,
            video=None if video is None else Path(video),
            score=score,
            progress=progress,
        )


def _workspace(faces: Faces | Workspace) -> Workspace:
    return faces if isinstance(faces, Workspace) else faces.workspace


def _scorer(scorer: SyncScorer | None, device: Device, options: dict[str, Any]) -> SyncScorer:
    if scorer is None:
        return SyncScorer(SyncOptions(**options), device=device)
    if options:
        raise InputError(f"{next(iter(options))} is an option of the scorer that was given.")
    return scorer


def _audio_files(
    audio: str | Path | Mapping[int, str | Path] | None,
) -> dict[int | None, Path]:
    """Files by track number, None for the one that is for all."""
    if audio is None:
        return {}
    by_track = audio if isinstance(audio, Mapping) else {None: audio}
    return {number: check_audio(Path(file)) for number, file in by_track.items()}


def _warn(sentence: str) -> None:
    """A warning of the line that called the toolkit, from however deep inside."""
    inside, frame = 1, inspect.currentframe()
    while frame and Path(frame.f_code.co_filename).is_relative_to(PACKAGE):
        inside, frame = inside + 1, frame.f_back
    warnings.warn(sentence, stacklevel=inside)


@contextlib.contextmanager
def _python_words() -> Iterator[None]:
    """Makes errors speak of functions and parameters, not of scripts and flags."""
    try:
        yield
    except ToolkitError as error:
        error.args = (python_words(str(error)),)
        raise


def python_words(sentence: str) -> str:
    """A script's sentence in the words of this module.

    `run run_syncnet.py --reference talk first` becomes `call score first`, and `add --overwrite`
    becomes `add overwrite=True`.
    """
    for script, function in FUNCTIONS.items():
        sentence = sentence.replace(f"run {script}", f"call {function}")
        sentence = sentence.replace(script, function)
    sentence = re.sub(r" --reference (?!is|cannot)\S+ first", " first", sentence)
    return re.sub(r"(?<!\.sh )--([a-z][a-z_]+)", _parameter, sentence)


def _parameter(flag: "re.Match[str]") -> str:
    return f"{flag[1]}=True" if flag[1] in SWITCHES else PARAMETERS.get(flag[1], flag[1])
