"""What a run of the first stage takes along of the results that later stages made before."""

from pathlib import Path

import numpy as np

from pipeline.faces.stage import _keep_later_results
from pipeline.faces.tracks import CropPath, Track
from pipeline.store.workspace import FOLDERS, Workspace


def _workspace(data_dir: Path, *, frames: int) -> Workspace:
    """Results with one track and a file of the first stage."""
    work = Workspace(data_dir, "talk")
    for name in FOLDERS:
        work.folder(name).mkdir(parents=True)
    same = np.full(frames, 40.0)
    boxes = np.tile([20.0, 20.0, 60.0, 60.0], (frames, 1))
    work.write_tracks([Track(np.arange(frames), boxes)], [CropPath(same, same, same / 2)])
    work.record.write_text(f"of {data_dir.name}")
    return work


def _names(work: Workspace) -> set[str]:
    return {path.name for name in ("pyavi", "pywork") for path in work.folder(name).iterdir()}


def test_of_the_same_tracks_later_results_stay(tmp_path: Path) -> None:
    """But neither what is made again, nor what passed through: hidden files and folders."""
    old, new = (_workspace(tmp_path / name, frames=30) for name in ("old", "new"))
    old.offsets_json.write_text("[]")
    old.dubbed_video.write_text("mouths")
    (old.folder("pywork") / ".offsets.json.incoming").write_text("half")
    (old.folder("pywork") / "notes").mkdir()
    _keep_later_results(old, new)
    kept = {old.offsets_json.name, old.dubbed_video.name}
    assert _names(new) == {new.tracks.name, new.record.name, *kept}
    assert new.record.read_text() == "of new" and new.dubbed_video.read_text() == "mouths"


def test_of_other_tracks_nothing_stays(tmp_path: Path) -> None:
    """Offsets and mouths are of a face that may be another one now."""
    old, new = (_workspace(tmp_path / str(frames), frames=frames) for frames in (30, 31))
    old.offsets_json.write_text("[]")
    _keep_later_results(old, new)
    assert _names(new) == {new.tracks.name, new.record.name}
    old.tracks.unlink()
    _keep_later_results(old, new)
    assert _names(new) == {new.tracks.name, new.record.name}
