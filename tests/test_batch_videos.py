"""Which videos a batch is of and what they are called; what a worker makes of one."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.batch.options import BatchOptions
from pipeline.batch.video import Stages
from pipeline.batch.videos import Shard, find_videos, local_file, name_videos, persons_of
from pipeline.errors import InputError, PipelineError
from pipeline.faces.detector import load_detector
from pipeline.faces.options import FaceOptions
from pipeline.faces.stage import find_faces
from pipeline.media import decode, encode, normalise
from pipeline.store.workspace import Workspace
from pipeline.sync.scorer import SyncScorer
from tests.conftest import FACE_OPTIONS
from tests.synthetic import ffmpeg


def _made(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def _names(folder: Path, *sources: str, shard: Shard | None = None) -> list[str]:
    videos = find_videos(sources, shard=shard)
    return [os.path.relpath(video.video, folder) for video in videos]


def test_a_folder_is_searched(tmp_path: Path) -> None:
    """With those in it; what is hidden or no video is left out."""
    _made(tmp_path, "b.mp4", "a/c.MKV", "notes.txt", ".hidden/d.mp4", "a/.e.mp4")
    assert _names(tmp_path, str(tmp_path)) == ["a/c.MKV", "b.mp4"]
    with pytest.raises(InputError, match="holds no video"):
        find_videos([str(_made(tmp_path / "empty", "x.txt"))])


def test_patterns_and_several_sources(tmp_path: Path) -> None:
    """Each video once, in the order of the sources."""
    _made(tmp_path, "a/1.mp4", "a/b/2.mp4", "3.avi")
    every = [str(tmp_path / "3.avi"), str(tmp_path / "**" / "*.mp4"), str(tmp_path)]
    assert sorted(_names(tmp_path, *every)) == ["3.avi", "a/1.mp4", "a/b/2.mp4"]
    assert _names(tmp_path, *every)[0] == "3.avi"
    with pytest.raises(InputError, match="fits no file"):
        find_videos([str(tmp_path / "*.webm")])
    with pytest.raises(InputError, match="is not there; give a list, a folder or a pattern"):
        find_videos([str(tmp_path / "none")])


def test_a_list_names_what_it_likes(tmp_path: Path) -> None:
    """Paths from its own folder, folders, patterns and addresses; a missing file is a row."""
    _made(tmp_path, "v/1.mp4", "v/2.mp4", "w/3.mp4", "odd[1].mp4")
    listed = tmp_path / "list.txt"
    listed.write_text("# mine\n\nv/1.mp4\nw\ngone.mp4\nodd[1].mp4\ns3://bucket/4.mp4\nv/*.mp4\n")
    videos = find_videos([str(listed)])
    names = [
        video.video if "://" in video.video else os.path.relpath(video.video, tmp_path)
        for video in videos
    ]
    assert names == [
        *("v/1.mp4", "w/3.mp4", "gone.mp4", "odd[1].mp4", "s3://bucket/4.mp4", "v/2.mp4")
    ]
    assert [video.bytes for video in videos] == [0, 0, None, 0, None, 0]
    listed.write_text("# nothing\n")
    with pytest.raises(InputError, match="names no video"):
        find_videos([str(listed)])


def test_a_list_of_windows_begins_with_its_first_video(tmp_path: Path) -> None:
    """Its editors write a mark before the text; names in other letters are names."""
    _made(tmp_path, "é.mp4")
    (tmp_path / "list.txt").write_text("é.mp4\r\n", encoding="utf-8-sig")
    assert _names(tmp_path, str(tmp_path / "list.txt")) == ["é.mp4"]


def test_a_video_is_told_by_when_its_content_was_written(tmp_path: Path) -> None:
    """A copy that keeps its time is the same video, another time is another one."""
    path = _made(tmp_path, "1.mp4") / "1.mp4"
    os.utime(path, ns=(5_000_000_000, 3_000_000_000))
    (video,) = find_videos([str(path)])
    assert (video.bytes, video.mtime_ns) == (0, 3_000_000_000)


def test_names_are_those_of_the_files_and_never_shared(tmp_path: Path) -> None:
    _made(tmp_path, "a/talk.mp4", "b/talk.mp4", "other.mp4", f"{'x' * 200}.mp4")
    references = {video.video: video.reference for video in find_videos([str(tmp_path)])}
    assert references[str(tmp_path / "other.mp4")] == "other"
    one, other = references[str(tmp_path / "a/talk.mp4")], references[str(tmp_path / "b/talk.mp4")]
    assert one != other and one.startswith("talk-") and other.startswith("talk-")
    assert len(set(references.values())) == 4
    for reference in references.values():
        Workspace(tmp_path, reference)  # refuses names that cannot be a folder's


def test_pieces_of_voxceleb2_are_named_after_person_and_video(tmp_path: Path) -> None:
    """Thousands of its files are called 00001.mp4; other layouts are what they were."""
    pieces = ("id00012/21Uxsk56VDQ/00001", "id00012/21Uxsk56VDQ/00002", "id00017/-x_y/00001")
    others = ("id00012/talk", "idol/21Uxsk56VDQ/00003", "id00012/21Uxsk56VDQ/7")
    _made(tmp_path, *(f"dev/mp4/{name}.mp4" for name in (*pieces, *others)))
    named = name_videos([str(tmp_path)])
    references = {os.path.relpath(path, tmp_path)[8:-4]: name for path, name in named.items()}
    assert [references[piece] for piece in pieces] == [
        *("id00012-21Uxsk56VDQ-00001", "id00012-21Uxsk56VDQ-00002", "id00017--x_y-00001")
    ]
    assert [references[other] for other in others] == ["talk", "00003", "7"]
    assert persons_of(named) == {
        **{"id00012-21Uxsk56VDQ-00001": "id00012", "id00012-21Uxsk56VDQ-00002": "id00012"},
        "id00017--x_y-00001": "id00017",
    }
    address = "s3://bucket/test/mp4/id00099/abc/00004.mp4"
    assert persons_of(name_videos([address])) == {"id00099-abc-00004": "id00099"}


def test_one_piece_of_voxceleb2_in_two_folders_has_two_names(tmp_path: Path) -> None:
    """And one person."""
    _made(tmp_path, "a/id00012/v/00001.mp4", "b/id00012/v/00001.mp4")
    persons = persons_of(name_videos([str(tmp_path)]))
    assert len(persons) == 2 and set(persons.values()) == {"id00012"}
    assert all(name.startswith("id00012-v-00001-") for name in persons)


def test_shards_are_all_of_it_once(tmp_path: Path) -> None:
    """And call a video as the whole does."""
    _made(tmp_path, *(f"{n % 3}/{n // 2}.mp4" for n in range(11)))
    whole = find_videos([str(tmp_path)])
    parts = [find_videos([str(tmp_path)], shard=Shard(index, 3)) for index in range(3)]
    assert sorted((v for part in parts for v in part), key=lambda v: v.video) == whole
    assert Shard(1, 3).manifest_stem == "batch-1-of-3" and Shard().manifest_stem == "batch"


def test_an_address_is_copied_and_removed(tmp_path: Path) -> None:
    """By fsspec; what is not there, or of no known kind, is one sentence."""
    source, folder = tmp_path / "talk one.mp4", tmp_path / "scratch"
    source.write_bytes(b"content")
    folder.mkdir()
    with local_file(f"file://{source}", folder) as copy:
        assert copy.read_bytes() == b"content" and copy != source and copy.name == source.name
    assert not list(folder.iterdir())
    for address, words in (
        (f"file://{tmp_path}/gone.mp4", "is not there"),
        ("nosuch://bucket/a.mp4", "cannot be opened"),
    ):
        with pytest.raises(InputError, match=words), local_file(address, folder):
            pass
    with local_file(str(source), folder) as same:
        assert same == source


# What a worker makes of a video.


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Stages:
    """With real models; nothing is kept."""
    scorer = SyncScorer(device="cpu")
    folder = tmp_path_factory.mktemp("stages")
    detector = load_detector(device=torch.device("cpu"))
    return Stages(FACE_OPTIONS, detector, scorer, "none", folder, folder, overwrite=False)


def _key(video: Path) -> dict[str, object]:
    return {"video": str(video), "reference": video.stem, "bytes": 1, "mtime_ns": 1}


def test_what_is_scored_in_memory_agrees_with_the_clips(
    stages: Stages, face_clip: Path, done: Workspace
) -> None:
    """Clips lose little when they are encoded: the same frame, and all figures nearly.

    So short a clip may lie at the very level from which an offset is reliable, on either side.
    """
    expected = stages.scorer.score(done.crop(0)).sync
    assert expected is not None
    line = stages.line(_key(face_clip))
    (row,) = line["tracks"]
    assert (line["status"], line["faces"], line["seconds"]) == ("done", 1, 1.2)
    assert row["offset_frames"] == expected.offset_frames and expected.probability is not None
    assert row["probability"] == pytest.approx(expected.probability, abs=0.05)
    assert row["min_dist"] == pytest.approx(expected.min_dist, rel=0.01)
    assert row["offset_ms"] == pytest.approx(expected.offset_ms, abs=10)
    assert (row["start_s"], row["end_s"]) == (0.0, 1.2)
    assert not [path for path in stages.scratch.rglob("*") if path.is_file()]


def test_what_is_scored_in_memory_is_what_was_cut(
    stages: Stages, face_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing differs from a clip that is stored without loss and read."""
    cut: list[np.ndarray] = []

    class Kept:
        def __init__(self, path: Path, **_: object) -> None:
            self.path = path

        def __enter__(self) -> "Kept":
            return self

        def __exit__(self, *error: object) -> None:
            self.path.write_bytes(b"clip")

        def write(self, frame: np.ndarray) -> None:
            cut.append(frame)

    monkeypatch.setattr(encode, "VideoWriter", Kept)
    work = Workspace(tmp_path, "face")
    find_faces(face_clip, work, FACE_OPTIONS, device="cpu", detector=stages.detector)
    pictures, sound, clip = tmp_path / "p.bgr", tmp_path / "s.s16", tmp_path / "clip.avi"
    pictures.write_bytes(b"".join(frame.tobytes() for frame in cut))
    decode.read_audio(work.audio)[: 640 * len(cut)].tofile(sound)
    ffmpeg(
        *("-f", "rawvideo", "-pix_fmt", "bgr24", "-s", "224x224", "-r", "25", "-i", pictures),
        *("-f", "s16le", "-ar", "16000", "-ac", "1", "-i", sound),
        *("-c:v", "ffv1", "-pix_fmt", "bgr0", "-c:a", "pcm_s16le", clip),
    )
    expected = stages.scorer.score(clip).sync
    (row,) = stages.line(_key(face_clip))["tracks"]
    assert expected is not None
    names = ("offset_frames", "min_dist", "confidence", "margin", "reliable")
    assert [row[name] for name in names] == [getattr(expected, name) for name in names]


def test_videos_without_sound_or_face_are_lines(
    stages: Stages, no_face_clip: Path, tmp_path: Path, face_clip: Path
) -> None:
    line = stages.line(_key(no_face_clip))
    assert (line["status"], line["faces"], line["tracks"]) == ("done", 0, [])
    assert "no face was found" in line["reason"] and line["sound_print"]
    silent = tmp_path / "silent.mp4"
    ffmpeg("-i", face_clip, "-an", "-c", "copy", silent)
    line = stages.line(_key(silent))
    (row,) = line["tracks"]
    assert row["offset_ms"] is None and "no sound" in row["warning"]
    assert line["sound_print"] is None
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"nothing")
    line = stages.line(_key(broken))
    assert line["status"] == "failed" and "is not a video" in line["reason"]


# Frames that are held.


@pytest.mark.parametrize("enough", [True, False])
def test_frames_in_memory_are_those_of_the_file(
    enough: bool, face_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where all fit nothing is decoded twice; where not, none stay."""
    info = decode.probe(face_clip)
    size = 30 * info.width_px * info.height_px * 3
    decoding = normalise.Normalisation(
        face_clip,
        info,
        avi=None,
        wav=tmp_path / "a.wav",
        pictures=None,
        hold_bytes=size - (0 if enough else 1),
    )
    first = [frame.copy() for frame in decoding]
    assert len(decoding._held) == (30 if enough else 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.wav"]
    if enough:
        monkeypatch.setattr(normalise, "raw_frames", None)
    assert all(np.array_equal(a, b) for a, b in zip(first, decoding.again(), strict=True))


def test_options_of_a_batch_keep_to_the_clock() -> None:
    with pytest.raises(PipelineError, match="--frame_rate 25 only"):
        BatchOptions(faces=FaceOptions(frame_rate=30))
