"""Folders that Wav2Lip's networks are trained on: run_pipeline.py's, and a preprocessed_root."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.io import wavfile

from models.features import FRAME_RATE, SAMPLES_PER_FRAME
from models.wav2lip import FACE_PX
from pipeline.errors import InputError, PipelineError
from pipeline.faces.tracks import CropPath, Track
from pipeline.media import decode
from pipeline.store.workspace import Workspace
from training.batches.face_batches import LEAST_FRAMES, face_batch
from training.data import face_data, preprocessed, samples
from training.data.face_data import FaceSource, load_faces
from training.data.faces import TYPICAL_ASPECT, track_box
from training.drawn_tracks import babble, write_track
from training.objectives.teacher import Taught


def _speech(frames: int) -> np.ndarray:
    return babble(np.random.default_rng(1), seconds=frames / FRAME_RATE)


def _source(cache: Path, **options: int | list[str]) -> FaceSource:
    plain = FaceSource(cache, cache_gb=1.0, min_confidence=1.0, max_offset=10, least_frames=5)
    return replace(plain, **options)  # type: ignore[arg-type]


def test_the_shape_of_a_face_is_its_tracks(tmp_path: Path) -> None:
    """Width by height of the median box; a track that is not there is asked for again."""
    work = Workspace(tmp_path / "work", "talk")
    assert face_data.box_aspect(work.crop(0)) == TYPICAL_ASPECT
    work.folder("pywork").mkdir(parents=True)
    boxes = np.tile([10.0, 10.0, 70.0, 110.0], (9, 1))
    boxes[3] = (0, 0, 100, 100)
    path = CropPath(*np.ones((3, 9)))
    work.write_tracks([Track(np.arange(9), boxes)], [path])
    assert face_data.box_aspect(work.crop(0)) == pytest.approx(0.6)
    with pytest.raises(PipelineError, match=r"has no track 00001; run run_pipeline\.py again"):
        face_data.box_aspect(work.crop(1))


def test_tracks_are_aligned_and_short_ones_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Offsets that run_syncnet.py found, shapes of the tracks, what a teacher says, by name."""
    work = Workspace(tmp_path / "work", "talk")
    for name in ("pycrop", "pywork"):
        work.folder(name).mkdir(parents=True)
    for number, frames in enumerate((30, 8, 30)):
        pictures = np.full((frames, 224, 224, 3), 90, np.uint8)
        write_track(work.crop(number), pictures, _speech(frames))
    table = ["FILENAME\tOFFSET\tCONF", "00000.avi\t3\t4.0", "00001.avi\t0\t4.0", "00002.avi\t0\t.5"]
    work.offsets_text.write_text("\n".join(table) + "\n")
    calls: list[Path] = []

    def teacher(files: list[Path]) -> dict[str, Taught]:
        calls.extend(files)
        return {samples.clip_name(file): Taught(*np.zeros((2, 9, 4))) for file in files}

    source = _source(tmp_path / "cache")
    (face,) = load_faces([tmp_path / "work"], source, teacher=teacher, say=True)
    assert calls == [work.crop(0)] and face.taught is not None
    assert face.clip.offset_ms == 120 and face.starts[0] == 3
    assert face.box == track_box(TYPICAL_ASPECT)
    output = capsys.readouterr().out
    assert "1 of 3 clips" in output and "work/talk/00001: too short (8 frames)" in output
    assert "work/talk/00002: low confidence (0.5)" in output
    with pytest.raises(InputError, match=r"No clip is long enough for a window; .*00000: too shor"):
        load_faces([tmp_path / "work"], replace(source, least_frames=25))
    with pytest.raises(InputError, match="work is no preprocessed_root; give --val instead"):
        load_faces([tmp_path / "work"], replace(source, video_names=["a/b"]))


# A preprocessed_root of Wav2Lip.


def _video(folder: Path, numbers: list[int], *, seconds: float) -> None:
    """Frame n is a picture of brightness n, of a size of its own; the sound is stereo, 44.1 kHz."""
    folder.mkdir(parents=True)
    for n in numbers:
        cv2.imwrite(str(folder / f"{n}.jpg"), np.full((90 + n, 80 + n % 7, 3), n, np.uint8))
    rng = np.random.default_rng(len(numbers))
    sound = rng.integers(-9000, 9000, (round(44_100 * seconds), 2), dtype=np.int16)
    wavfile.write(folder / "audio.wav", 44_100, sound)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two videos; one has frames without a face."""
    _video(tmp_path / "pre" / "anna" / "00001", [*range(20), *range(24, 40)], seconds=1.6)
    _video(tmp_path / "pre" / "carl" / "00007", list(range(30)), seconds=1.2)
    return tmp_path / "pre"


def test_a_preprocessed_root_is_read_as_it_is(root: Path, tmp_path: Path) -> None:
    """Faces of different sizes, a gap in their numbers, sound of any rate."""
    anna, carl = load_faces([root], _source(tmp_path / "cache"))
    assert (anna.clip.name, carl.clip.name) == ("pre/anna/00001", "pre/carl/00007")
    assert anna.clip.pictures.shape == (40, 3, FACE_PX, FACE_PX)
    assert len(anna.clip.samples) == 40 * SAMPLES_PER_FRAME and anna.clip.offset_ms == 0
    levels = anna.clip.pictures.mean(axis=(1, 2, 3))
    there = np.isin(np.arange(40), range(20, 24), invert=True)
    assert levels[there] == pytest.approx(np.arange(40)[there], abs=1)
    assert anna.shows_face is not None and anna.shows_face.tolist() == there.tolist()
    starts = set(anna.starts.tolist())
    assert {0, 15, 24, 28} <= starts and not starts & set(range(16, 24))
    batch = face_batch([anna], seed=1, step=0, size=12, augmented=False)
    for windows in (batch.target, batch.reference):
        numbers = (windows.mean(dim=(2, 3, 4)) * 255).round().numpy()
        assert (np.diff(numbers) == 1).all()
    assert preprocessed.is_root(root) and not preprocessed.is_root(root / "anna")
    (root / "pycrop").mkdir()
    assert not preprocessed.is_root(root)


def test_a_file_list_chooses_and_what_is_missing_is_named(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A number may follow the name; a listed folder that is not there is left out by name."""
    (tmp_path / "train.txt").write_text("carl/00007 42\n\nanna/00009\n")
    names = preprocessed.listed_videos(tmp_path / "train.txt")
    assert names == ["carl/00007 42", "anna/00009"]
    source = _source(tmp_path / "cache", video_names=names)
    _video(tmp_path / "more" / "dora" / "00001", list(range(30)), seconds=1.2)
    for roots in ([root], [root, tmp_path / "more"]):
        (carl,) = load_faces(roots, source, say=True)
        output = capsys.readouterr().out
        assert carl.clip.name == "pre/carl/00007" and "1 of 2 clips" in output
        assert "pre/anna/00009: unreadable (no pictures in" in output
    with pytest.raises(InputError, match=r"None of 1 videos can be used: pre/x/y: unreadable"):
        load_faces([root], replace(source, video_names=["x/y"]))
    (tmp_path / "empty.txt").write_text("\n")
    for name, reason in (("empty.txt", "lists no video"), ("no.txt", "cannot be read (No such")):
        with pytest.raises(InputError) as caught:
            preprocessed.listed_videos(tmp_path / name)
        assert reason in str(caught.value) and "see --filelists" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("my talk/00 1\ncarl/00007\n", ["my talk/00 1", "carl/00007"]),
        ("my talk/00 1 42\ncarl/00007\t42\n", ["my talk/00 1", "carl/00007"]),
        ("\ufeffcarl/00007\r\nmy talk\\00 1\r\n", ["carl/00007", "my talk/00 1"]),
        ('"my talk/00 1/"\n  ./carl/00007/  \n\ncarl/00007\n', ["my talk/00 1", "carl/00007"]),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le"])
def test_file_list_of_any_editor_finds_folders_with_spaces(
    root: Path, tmp_path: Path, text: str, names: list[str], encoding: str
) -> None:
    """Byte-order mark, CRLF, backslashes, quotes, a number after the name."""
    _video(root / "my talk" / "00 1", list(range(30)), seconds=1.2)
    (root / "my talk" / "00").mkdir()  # a name is as long as it can be
    if encoding != "utf-8":
        text = "\ufeff" + text.removeprefix("\ufeff")
    (tmp_path / "train.txt").write_bytes(text.encode(encoding))
    videos = preprocessed.listed_videos(tmp_path / "train.txt")
    assert preprocessed.video_folders([root], videos) == [root / name for name in names]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"anna/00001/0.jpg\n", r"lists files \(anna/00001/0\.jpg\); it is to list their folders"),
        (b"my talk/00001/0.JPG\n", r"lists files \(my talk/00001/0\.JPG\)"),
        (b"anna.mp4 3\n", r"lists files \(anna\.mp4 3\)"),
        (b"\xe4nna/00001\n", r"is no text in UTF-8; see --filelists"),
        (b"\xef\xbb\xbf\r\n", r"lists no video"),
    ],
)
def test_file_list_of_something_else_is_refused(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    """In one sentence."""
    (tmp_path / "train.txt").write_bytes(content)
    with pytest.raises(InputError, match=reason):
        preprocessed.listed_videos(tmp_path / "train.txt")


def test_clip_without_its_track_is_left_out_with_its_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The others are used."""
    work = Workspace(tmp_path / "work", "talk")
    for name in ("pycrop", "pywork"):
        work.folder(name).mkdir(parents=True)
    for number in (0, 7):
        write_track(work.crop(number), np.full((40, 224, 224, 3), 90, np.uint8), _speech(40))
    boxes = np.tile([10.0, 10.0, 70.0, 110.0], (40, 1))
    work.write_tracks([Track(np.arange(40), boxes)], [CropPath(*np.ones((3, 40)))])
    (face,) = load_faces([tmp_path / "work"], _source(tmp_path / "cache"), say=True)
    assert face.clip.name == "work/talk/00000"
    assert "work/talk/00007: without its track (" in capsys.readouterr().out


def test_generator_needs_clips_whose_reference_is_not_the_target(
    root: Path, tmp_path: Path
) -> None:
    """From 35 frames on; in the shortest, whatever is drawn, another window is the reference."""
    for frames in (34, 35):
        _video(root / "short" / f"{frames}", list(range(frames)), seconds=2)
    names = ["short/34", "short/35"]
    source = _source(tmp_path / "cache", video_names=names, least_frames=LEAST_FRAMES)
    (face,) = load_faces([root], source)
    assert face.clip.frames == 35
    batch = face_batch([face], seed=1, step=0, size=40, augmented=False)
    apart = (batch.target - batch.reference).mean(dim=(1, 2, 3, 4)) * 255
    assert float(apart.abs().min()) > 10


def test_people_of_a_people_csv_are_on_the_faces(root: Path, tmp_path: Path) -> None:
    """By the folder that holds the videos of one."""
    (root / "people.csv").write_text("reference,person\nanna,p1\ncarl,p1\n")
    faces = load_faces([root], _source(tmp_path / "cache"))
    assert [face.clip.who for face in faces] == ["p1", "p1"]


def test_a_broken_picture_is_named(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The video it is of is left out; so is one whose sound is gone, or no sound."""
    (root / "anna" / "00001" / "7.jpg").write_bytes(b"\xff\xd8 and no more")
    _video(root / "carl" / "00008", list(range(30)), seconds=1.2)
    (root / "carl" / "00008" / "audio.wav").write_bytes(b"RIFF")
    (carl,) = load_faces([root], _source(tmp_path / "cache"), say=True)
    output = capsys.readouterr().out
    assert carl.clip.name == "pre/carl/00007" and "1 of 3 clips" in output
    assert "pre/anna/00001: unreadable (" in output and "7.jpg is no picture)" in output
    assert "pre/carl/00008: unreadable (" in output
    with pytest.raises(InputError, match="is no preprocessed_root as the other folders are"):
        load_faces([root, tmp_path], _source(tmp_path / "cache"))


def test_pictures_without_sound_are_of_no_use(root: Path, tmp_path: Path) -> None:
    """Pictures after the end of the sound, a date as a number among them, are not read."""
    cv2.imwrite(str(root / "carl" / "00007" / "20200823.jpg"), np.zeros((9, 9, 3), np.uint8))
    _video(root / "dora" / "00001", [50, 51], seconds=1.2)
    faces, left_out = preprocessed.load_videos(
        [root], video_names=None, cache=tmp_path / "cache", cache_gb=1.0
    )
    assert [face.clip.frames for face in faces] == [40, 30]
    assert "no picture while there is sound" in left_out["pre/dora/00001"]


def test_decoded_faces_are_found_again_unless_they_have_changed(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another number for a picture is another clip."""
    read: list[Path] = []
    original = decode.read_audio

    def counting(path: Path) -> np.ndarray:
        read.append(path)
        return original(path)

    monkeypatch.setattr(decode, "read_audio", counting)
    source = _source(tmp_path / "cache", video_names=["carl/00007"])
    for _ in range(2):
        (before,) = load_faces([root], source)
    assert len(read) == 1
    folder = root / "carl" / "00007"
    (folder / "12.jpg").rename(folder / "30.jpg")
    (after,) = load_faces([root], source)
    assert len(read) == 2 and before.clip.frames == after.clip.frames == 30
    assert after.shows_face is not None and not after.shows_face[12]
