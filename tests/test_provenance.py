"""Which file is the one that was recorded."""

from pathlib import Path

from pipeline.store.provenance import identity, is_file_of


def test_a_file_is_known_by_its_content_wherever_it_lies(tmp_path: Path) -> None:
    """Not one of another length, nor of the same length, nor one that is gone."""
    video, moved = tmp_path / "a.mp4", tmp_path / "b.mkv"
    video.write_bytes(b"abc")
    moved.write_bytes(b"abc")
    recorded = identity(video)
    assert recorded == {
        "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "bytes": 3,
    }
    assert is_file_of(moved, recorded)
    for other in (b"abd", b"abcd", b""):
        moved.write_bytes(other)
        assert not is_file_of(moved, recorded)
    assert not is_file_of(tmp_path / "gone.mp4", recorded)
    assert not is_file_of(tmp_path, recorded)
    assert not is_file_of(video, {})
