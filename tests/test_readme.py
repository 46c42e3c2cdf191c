"""README's commands: each one parses, and those of a first visit run as they are typed."""

import argparse
import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPO
from tests.readme_kit import Block, blocks, started
from tests.synthetic import ffmpeg

# Run as typed, in this order: the others train, which takes hours.
FIRST_VISIT = ("Do lips and sound belong together?", "New mouths")
MAKE_TARGETS = {"demo", "test", "matrix", "audit"}


class Parsed(Exception):
    """The flags were understood."""


def _starts_python(block: Block) -> bool:
    return "python" in block.text


@pytest.mark.filterwarnings("ignore:.*found in sys.modules")  # of other tests, which is fine
@pytest.mark.parametrize(
    "block", [*filter(_starts_python, blocks())], ids=lambda block: block.text.split("\n")[0][:60]
)
def test_flags_of_every_command_exist(
    block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Typed into a shell, each command of a block is one its script understands."""
    understood = argparse.ArgumentParser.parse_args

    def parse_and_stop(parser: argparse.ArgumentParser, *args: object, **_: object) -> None:
        understood(parser, *args)  # type: ignore[call-overload]
        raise Parsed

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_and_stop)
    commands = started(block.text, tmp_path)
    assert len(commands) >= block.text.count("python ") - block.text.count('="python')
    for program, *flags in commands:
        with pytest.raises(Parsed):
            if program == "-m":
                runpy.run_module(flags[0])["main"](flags[1:])
            else:
                monkeypatch.setattr(sys, "argv", [program, *flags])
                runpy.run_path(str(REPO / program))["main"](*([flags] if flags else []))


def test_make_targets_exist() -> None:
    """`make` knows every target that README names."""
    targets = {
        line.split()[1]
        for block in blocks()
        for line in block.text.splitlines()
        if line.startswith("make ")
    }
    assert targets >= MAKE_TARGETS
    for target in targets:
        done = subprocess.run(["make", "-n", target], cwd=REPO, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


@pytest.fixture
def checkout(tmp_path: Path, example: Path) -> Path:
    """The repository as a new user has it, with a video of three faces of its own."""
    for path in REPO.iterdir():
        if path.name not in (".git", ".venv", "data"):
            (tmp_path / path.name).symlink_to(path)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / "data").mkdir()
    cut = ("-ss", "7.6", "-i", example, "-t", "8.8", "-c:v", "libx264", "-crf", "16")
    ffmpeg(*cut, "-c:a", "aac", tmp_path / "talk.mp4")
    for name in ("new.wav", "a.wav", "b.wav"):
        ffmpeg("-i", example, "-t", "8.8", "-vn", tmp_path / name)
    return tmp_path


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_commands_of_a_first_visit_run_as_typed(checkout: Path) -> None:
    """From the video to video_out.avi, a crop by itself, a folder, and new mouths."""
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}

    def typed(text: str) -> str:
        done = subprocess.run(
            ["sh", "-e", "-c", text],
            cwd=checkout,
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    for block in blocks():
        if block.section in FIRST_VISIT and _starts_python(block):
            if "crop.avi" in block.text:
                typed(
                    "cp data/work/pycrop/talk/00000.avi crop.avi; mkdir VIDEOS; cp crop.avi VIDEOS"
                )
            typed(block.text)
    results = checkout / "data" / "work"
    offsets = json.loads((results / "pywork/talk/offsets.json").read_text())
    assert [row["file"] for row in offsets] == ["00000.avi", "00001.avi", "00002.avi"]
    for name in ("video_out.avi", "video_wav2lip.mp4"):
        assert (results / "pyavi/talk" / name).stat().st_size > 100_000
    assert (checkout / "lips.npy").stat().st_size > 10_000
