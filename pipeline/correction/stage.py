"""The original video with the lag of its sound removed: what run_syncnet.py --correct does."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from models.files import partial_path
from models.options import check_switch
from pipeline.correction.again import Stretches, moved_stretches, score_again
from pipeline.correction.container import container_of
from pipeline.correction.mux import Copy, write_copy
from pipeline.correction.plan import Plan, make_plan
from pipeline.errors import InputError
from pipeline.media.probe import MediaInfo, probe
from pipeline.progress import Progress, silent
from pipeline.store.files import check_output
from pipeline.store.provenance import is_file_of
from pipeline.store.workspace import Workspace
from pipeline.sync.scorer import SyncScorer
from pipeline.verdict.video import VideoVerdict, read_verdict


@dataclass(frozen=True)
class Corrected:
    """A corrected copy.

    Attributes:
        video: the file.
        plan: what was done with its sound.
        before, after: what the faces say of the original, and of the copy.
        notices: sentences for the user.
    """

    video: Path
    plan: Plan
    before: VideoVerdict
    after: VideoVerdict
    notices: list[str]

    @property
    def residual_ms(self) -> float | None:
        """By how much the sound of the copy still leads (> 0) or lags; None: it cannot be told."""
        return self.after.offset_ms

    def report(self) -> Iterator[str]:
        """Lines for the user."""
        yield from self.notices
        yield from self.plan.report()
        if self.residual_ms is None:
            yield f"Scored again, the offset cannot be told: {self.after.sentence}"
        else:
            yield f"Residual, scored again: {self.residual_ms:+.0f} ms. {self.after.sentence}"
        yield f"Corrected copy in {self.video}"


def correct(
    workspace: Workspace,
    out: Path,
    *,
    scorer: SyncScorer,
    per_shot: bool = False,
    video: Path | None = None,
    progress: Progress = silent,
) -> Corrected:
    """Writes a copy of a scored video with its sound in sync, and scores it again.

    Args:
        workspace: scored by run_syncnet.py.
        out: file to write; its suffix says which container.
        scorer: scores the copy.
        per_shot: each shot by its own offset.
        video: where the input of run_pipeline.py is now; None: where it was.
        progress: called after each clip that is scored again.

    Raises:
        InputError: the video is gone, was changed, or is `out` itself, or the container cannot
            hold its picture.
        PipelineError: no offset is reliable, or reading or writing failed.
    """
    check_switch("per_shot", per_shot)
    with workspace.opened():
        source = check(workspace, out, video=video)
        container = container_of(out)
        before = read_verdict(workspace.verdict)
        plan = make_plan(before, per_shot=per_shot)
        record = workspace.read_record() or {}
        number = (record.get("sound") or {}).get("audio_stream", 0)
        info = probe(source, audio_stream=number)
        target = partial_path(out)
        try:
            with workspace.collecting() as staging:
                copy = write_copy(
                    source,
                    info,
                    plan,
                    out=out,
                    target=target,
                    container=container,
                    folder=staging.scratch,
                )
                again = staging.scratch / "again"
                again.mkdir()
                after = score_again(
                    workspace,
                    target,
                    again,
                    scorer,
                    audio_stream=_scored_sound(source, info, number, copy),
                    missing_s=_missing_s(workspace, plan, copy.extents_s.get(number)),
                    progress=progress,
                )
            target.replace(out)
        finally:
            target.unlink(missing_ok=True)
    return Corrected(out, plan, before, after, copy.notices)


def check(workspace: Workspace, out: Path, *, video: Path | None) -> Path:
    """Checks that a copy can be written: before the work, not after it.

    Args:
        workspace: of the video.
        out: file to write.
        video: where the input of run_pipeline.py is now; None: where it was.

    Returns:
        The input.

    Raises:
        InputError: as of `correct`.
    """
    container_of(out)
    check_output(out, "--correct")
    source = find_input(workspace, video)
    if out.exists() and out.samefile(source):
        raise InputError(f"--correct {out} is the video itself; give the copy another name.")
    return source


def find_input(workspace: Workspace, video: Path | None) -> Path:
    """The video that run_pipeline.py was given, unchanged.

    Args:
        workspace: of the video.
        video: looked at before the path where it was.

    Raises:
        InputError: it is not there, or was changed; or the results are another program's.
    """
    identity = (workspace.read_record() or {}).get("input")
    recorded = workspace.input_paths()
    if not identity or not recorded:
        raise InputError(
            f"{workspace.record} does not say of which video it is; run run_pipeline.py on the "
            "video with --overwrite first."
        )
    candidates = [path for path in (video, *recorded) if path is not None]
    path = next((path for path in candidates if path.is_file()), None)
    if path is None:
        raise InputError(
            f"{candidates[0]} is not there any more; --videofile can say where the video is now."
        )
    if not is_file_of(path, identity):
        raise InputError(
            f"{path} was changed since run_pipeline.py worked on it, or is another video; run it "
            "again with --overwrite, or give the video it was by --videofile."
        )
    return path


def _scored_sound(source: Path, info: MediaInfo, number: int, copy: Copy) -> int:
    """Number of the scored sound among those of the copy."""
    if number not in copy.sounds:
        raise InputError(
            f"The sound of {source} ({info.sound.codec}) cannot be written by this ffmpeg in such "
            "a file; give --correct a name that ends in .mkv."
        )
    return copy.sounds[number]


def _missing_s(workspace: Workspace, plan: Plan, extent_s: tuple[float, float] | None) -> Stretches:
    """Stretches of the copy without sound; those of the original where its sound was copied."""
    record = workspace.read_record() or {}
    missing_s = [tuple(stretch) for stretch in (record.get("sound") or {}).get("missing_s", [])]
    if extent_s is None:
        return missing_s
    end_s = record.get("counts", {}).get("frames", 0) / workspace.read_frame_rate()
    return moved_stretches(missing_s, plan, extent_s=extent_s, end_s=end_s)
