"""Which ffmpeg is run, and which release it is taken for."""

from pathlib import Path

import imageio_ffmpeg
import pytest

from pipeline.errors import InputError
from pipeline.media import process


def _found_path() -> str:
    """The ffmpeg of a new process; a process looks for it once."""
    return process.find_ffmpeg.__wrapped__()


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """A program that is named, one on PATH, and the wheel's."""
    paths = {}
    for name in ("named", "path", "wheel"):
        paths[name] = tmp_path / name / "ffmpeg"
        paths[name].parent.mkdir()
        paths[name].write_text("#!/bin/sh\n")
        paths[name].chmod(0o755)
    monkeypatch.setenv("FFMPEG_BINARY", str(paths["named"]))
    monkeypatch.setenv("PATH", str(paths["path"].parent))
    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", lambda: str(paths["wheel"]))
    return paths


def test_named_ffmpeg_goes_before_path_and_path_before_the_wheels(
    programs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _found_path() == str(programs["named"])
    monkeypatch.setenv("FFMPEG_BINARY", "")
    assert _found_path() == str(programs["path"])
    monkeypatch.delenv("FFMPEG_BINARY")
    assert _found_path() == str(programs["path"])
    programs["path"].unlink()
    assert _found_path() == str(programs["wheel"])


@pytest.mark.usefixtures("programs")
def test_named_ffmpeg_that_is_no_program_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rather than another one taken in its place."""
    (tmp_path / "text").write_text("no program")
    for wrong in (tmp_path / "text", tmp_path / "absent", tmp_path):
        monkeypatch.setenv("FFMPEG_BINARY", str(wrong))
        with pytest.raises(InputError, match=f"FFMPEG_BINARY={wrong} is not a program"):
            _found_path()


def test_no_ffmpeg_at_all_says_how_to_get_one(
    programs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def none() -> str:
        raise RuntimeError

    monkeypatch.delenv("FFMPEG_BINARY")
    programs["path"].unlink()
    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", none)
    with pytest.raises(InputError, match=r"There is no ffmpeg: install it .* pip install"):
        _found_path()


@pytest.mark.parametrize(
    ("words", "older"),
    [
        ("ffmpeg version 5.0.3 Copyright", True),
        ("ffmpeg version 5.1.9-0+deb12u1 Copyright", False),
        ("ffmpeg version 4.4.2-0ubuntu0.22.04.1 Copyright", True),
        ("ffmpeg version n7.1 Copyright", False),
        ("ffmpeg version 10.0-static Copyright", False),
        ("ffmpeg version N-113007-g8d24a28d06 Copyright", False),
        ("ffmpeg version git-2020-01-01 Copyright", False),
    ],
)
def test_releases_are_compared_as_numbers(
    words: str, older: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames are kept by an option that was renamed in 5.1; builds without a number are new."""
    monkeypatch.setattr(process, "ffmpeg_version", lambda: words)
    assert process.older_than(5, 1) == older
    option = {"vsync": "0"} if older else {"fps_mode": "passthrough"}
    assert process.every_frame.__wrapped__() == option
