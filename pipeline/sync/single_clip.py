"""One clip that is a face crop already: the SyncNet demo's two single-clip programs as a mode."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from models.features import SAMPLE_RATE, WINDOW_FRAMES
from models.files import partial_path
from models.syncnet import CROP_PX
from pipeline.errors import InputError, PipelineError
from pipeline.media import decode
from pipeline.progress import Progress, silent
from pipeline.store.files import check_output
from pipeline.store.provenance import identity
from pipeline.store.workspace import Workspace
from pipeline.sync.embedded import Embedded
from pipeline.sync.scorer import ClipScore, SyncScorer

LARGEST_CROP_ASPECT = 1.25  # of a face clip; longer or higher pictures are whole frames


def is_single_clip(
    video: Path | None,
    workspace: Workspace,
    *,
    save_features: Path | None,
    notice: Callable[[str], object],
) -> bool:
    """Whether a file is to be scored as one face clip, and not the tracks of a workspace.

    Args:
        video: the file the user named, None where the user named the reference.
        workspace: the workspace of that name.
        save_features: what the user asked for; only a face clip has it.
        notice: called with a sentence when `workspace` holds results of another video.

    Raises:
        InputError: save_features without a video.
    """
    if save_features is not None and video is None:
        raise InputError(
            "--save_features is for one face clip; give it as --videofile, without --reference."
        )
    if video is None:
        return False
    return save_features is not None or not _has_results_of(video, workspace, notice=notice)


def _has_results_of(video: Path, workspace: Workspace, *, notice: Callable[[str], object]) -> bool:
    if not workspace.has_results():
        return False
    record = workspace.read_record() or {}
    # Results of other programs do not say what they were made from: there the name decides.
    if "input" not in record or not video.is_file():
        return True
    if record["input"] == identity(video):
        return True
    notice(
        f"{workspace.folder('pywork')} holds results of another video ({record.get('file')}), "
        f"which --reference {workspace.reference} would score; {video} is taken for a face clip."
    )
    return False


def score_clip(
    clip: Path,
    scorer: SyncScorer,
    *,
    save_features: Path | None = None,
    notice: Callable[[str], object] = lambda _: None,
    progress: Progress = silent,
) -> ClipScore:
    """Scores one clip that is a face crop already; writes nothing that is not asked for.

    Args:
        clip: a 224x224 clip with its sound.
        scorer: compares lips and sound.
        save_features: `.npy` file to write, see `write_embedded`.
        notice: called with sentences the user should read.
        progress: called after each frame.

    Raises:
        InputError: the file is no video, silent or too short.
        PipelineError: the clip cannot be read, or the features cannot be written.
    """
    if save_features is not None:
        check_output(save_features, "--save_features", suffix=".npy")
    info = decode.probe(clip)
    if not info.width_px:
        raise InputError(f"{clip} has no video stream; give a file with a picture.")
    if not info.has_audio:
        raise InputError(f"{clip} has no sound: there is nothing to compare the lips with.")
    for sentence in _size_notices(clip, info):
        notice(sentence)
    embedded = scorer.embed(clip, with_features=save_features is not None, progress=progress)
    score = scorer.compare(embedded, file=clip.name)
    if not score.sync:
        raise InputError(
            f"{clip} is too short to score: it has {embedded.frames} frames and "
            f"{embedded.samples / SAMPLE_RATE:.2f} s of sound; give more than {WINDOW_FRAMES} "
            "frames with sound."
        )
    if save_features is not None:
        for path, array in write_embedded(save_features, embedded).items():
            notice(f"{path}: {array.shape[0]} windows of {array.shape[1]} values")
    return score


def _size_notices(video: Path, info: decode.MediaInfo) -> list[str]:
    width, height = info.width_px, info.height_px
    if (width, height) == (CROP_PX, CROP_PX):
        return []
    sentences = [f"{video} is {width}x{height} and is resized to {CROP_PX}x{CROP_PX}."]
    if max(width, height) > LARGEST_CROP_ASPECT * min(width, height):
        sentences.append(
            "That is no face clip's shape: unless a face fills the picture, the score means "
            "nothing; run run_pipeline.py on it first."
        )
    return sentences


def write_embedded(path: Path, embedded: Embedded) -> dict[Path, np.ndarray]:
    """Writes features and embeddings as three float32 arrays, all or none.

    Args:
        path: `NAME.npy`, for the lip features of every five frames, (frames - 4, F);
            `NAME.lip.npy` and `NAME.audio.npy` beside it get the embeddings of the windows that
            are scored, (windows, E).
        embedded: with features.

    Returns:
        What was written, by file.

    Raises:
        PipelineError: the files cannot be written.
    """
    assert embedded.features is not None, "embed_clip was not asked for features"
    arrays = {
        path.with_suffix(".lip.npy"): embedded.lips.numpy(),
        path.with_suffix(".audio.npy"): embedded.sound.numpy(),
        path: embedded.features.numpy(),
    }
    partials = {target: partial_path(target) for target in arrays}
    try:
        for target, array in arrays.items():
            with partials[target].open("wb") as file:
                np.save(file, array)
        for target, partial in partials.items():
            partial.replace(target)
    except OSError as error:
        raise PipelineError(
            f"{path} cannot be written ({error.strerror}); choose another folder."
        ) from error
    finally:
        for partial in partials.values():
            partial.unlink(missing_ok=True)
    return arrays
