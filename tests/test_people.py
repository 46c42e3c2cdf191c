"""Who is on which video: people.csv as a batch writes it, a selection copies it, training reads."""

import json
import shutil
from pathlib import Path

import pytest

import run_batch
from pipeline.errors import InputError
from pipeline.select import people
from pipeline.select.__main__ import main as select_main
from tests.batch_kit import batch
from tests.conftest import FACE_OPTIONS
from training.data import people as training_people
from training.data import samples


def _voxceleb2(folder: Path, *pieces: str, copies_of: Path | None = None) -> Path:
    """A folder `dev/mp4` of pieces; empty ones, which only the worker of tests reads."""
    for piece in pieces:
        file = folder / "dev" / "mp4" / f"{piece}.mp4"
        file.parent.mkdir(parents=True)
        if copies_of:
            shutil.copyfile(copies_of, file)
        else:
            file.write_bytes(b"face")
    return folder / "dev" / "mp4"


def test_persons_are_added_and_what_is_known_stays(tmp_path: Path) -> None:
    """Sorted, readable by all; no file without persons, and none is written without need."""
    people.add(tmp_path, {})
    assert not list(tmp_path.iterdir()) and people.read(tmp_path) == {}
    people.add(tmp_path, {"b": "Bob", "a, too": "Ann"})
    file = tmp_path / people.FILE
    assert file.read_text() == 'reference,person\n"a, too",Ann\nb,Bob\n'
    assert file.stat().st_mode & 0o777 == 0o644
    file.write_text("person,reference,note\nBert,b,my own word\n")
    people.add(tmp_path, {"b": "Bob", "c": "Cleo"})
    assert people.read(tmp_path) == {"b": "Bert", "c": "Cleo"}
    before = file.stat().st_mtime_ns
    people.add(tmp_path, {"b": "Bob"})
    assert file.stat().st_mtime_ns == before and [*tmp_path.iterdir()] == [file]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name,who\na,Ann\n", "needs the columns reference and person"),
        ("reference,person\na,Ann\na,Bob\n", "names two persons for a"),
    ],
)
def test_a_file_that_is_none_is_refused(text: str, words: str, tmp_path: Path) -> None:
    """Before it is written anew, too."""
    (tmp_path / people.FILE).write_text(text)
    for use in (people.read, lambda folder: people.add(folder, {"z": "Zoe"})):
        with pytest.raises(InputError, match=words):
            use(tmp_path)
    assert (tmp_path / people.FILE).read_text() == text


def test_a_batch_of_voxceleb2_says_who_is_on_which_video(tmp_path: Path) -> None:
    """Of the whole list, whatever the shard; a batch of other videos says nothing."""
    videos = _voxceleb2(tmp_path, "id00012/abc/00001", "id00017/xyz/00001")
    batch(videos, tmp_path / "data")
    assert people.read(tmp_path / "data") == {
        **{"id00012-abc-00001": "id00012", "id00017-xyz-00001": "id00017"}
    }
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "talk.mp4").write_bytes(b"face")
    batch(tmp_path / "plain", tmp_path / "other")
    assert not (tmp_path / "other" / people.FILE).exists()


def test_voxceleb2_becomes_a_training_set_by_person(
    face_clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """run_batch.py on copies of a video in its layout, then pipeline.select, with copies too."""
    pieces = ("id00012/abc/00001", "id00012/def/00007", "id00017/xyz/00001")
    videos = _voxceleb2(tmp_path, *pieces, copies_of=face_clip)
    data = tmp_path / "data"
    flags = ["--videos", str(videos), "--data_dir", str(data), "--workers", "1"]
    flags += ["--device", "cpu", "--min_track", str(FACE_OPTIONS.min_track)]
    assert run_batch.main(flags) == 0
    assert "3 videos, 0 failed" in capsys.readouterr().out
    words = ["--data_dir", str(data), "--out", str(tmp_path / "out"), "--duplicates", "--in_sync"]
    words += ["--min_confidence", "-1", "--max_offset", "15", "--min_seconds", "0"]
    assert select_main(words) == 0
    rows = (tmp_path / "out" / "selection.jsonl").read_text().splitlines()
    selected = {json.loads(row)["reference"] for row in rows if json.loads(row)["selected"]}
    assert selected
    for source, folder in ((tmp_path / "out" / "clips.txt", "out"), (data, "data")):
        persons = training_people.read([source])
        assert {samples.clip_name(file).rpartition("/")[0] for file in samples.clip_files([source])}
        assert persons.items() >= {
            (f"{folder}/{reference}", reference[:7]) for reference in selected
        }
