"""Commands of README and docs/: each one parses; those of a first visit run as they are typed."""

import argparse
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPO
from tests.readme_kit import README, Block, blocks, pages, python_blocks, started
from tests.synthetic import ffmpeg

# Run as typed, in this order: the others train, which takes hours.
FIRST_VISIT = ("Your own video", "New mouths")
MAKE_TARGETS = {"demo", "test", "matrix", "mutants", "nightly", "audit"}
LONGEST_README = 150  # lines
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
PROGRAMS = re.compile(r"(?<![\w./])(?:run|train)_\w+\.py\b|(?<![\w./])docs/\w+\.md\b")


class Parsed(Exception):
    """The flags were understood."""


def _starts_python(block: Block) -> bool:
    return "python" in block.text


@pytest.mark.filterwarnings("ignore:.*found in sys.modules")  # of other tests, which is fine
@pytest.mark.parametrize(
    "block",
    [*filter(_starts_python, blocks())],
    ids=lambda block: f"{block.file.name}: {block.text.splitlines()[0][:60]}",
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
    """`make` knows every target that README and docs/ name, and README has those people need."""
    in_readme, targets = (
        _make_targets([block for block in blocks() if block.file == README]),
        _make_targets(blocks()),
    )
    assert in_readme >= MAKE_TARGETS
    for target in targets:
        done = subprocess.run(["make", "-n", target], cwd=REPO, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def _make_targets(of: list[Block]) -> set[str]:
    return {
        line.split()[1]
        for block in of
        for line in block.text.splitlines()
        if line.startswith("make ")
    }


def test_readme_is_short() -> None:
    """README has at most 150 lines."""
    assert len(README.read_text("utf-8").splitlines()) <= LONGEST_README


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_links_lead_to_files(page: Path) -> None:
    """Relative links and the headings they name; programs and pages named in the text."""
    text = page.read_text("utf-8")
    for link in LINK.findall(text):
        if "://" in link:
            continue
        name, _, heading = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.is_file() and REPO in target.parents, f"{page.name}: {link}"
        assert not heading or heading in _anchors(target), f"{page.name}: {link}"
    for name in PROGRAMS.findall(text):
        assert (REPO / name).is_file(), f"{page.name}: {name}"


def test_every_page_is_linked_from_readme() -> None:
    """README links every page of docs/."""
    linked = {(REPO / link.partition("#")[0]) for link in LINK.findall(README.read_text("utf-8"))}
    assert linked >= {page for page in pages() if page != README}


def _anchors(page: Path) -> set[str]:
    """Anchors of the headings of a page, as GitHub makes them."""
    anchors, fenced = set(), False
    for line in page.read_text("utf-8").splitlines():
        fenced ^= line.startswith("```")
        if line.startswith("#") and not fenced:
            words = re.sub(r"[^\w\- ]", "", line.lstrip("#").strip().lower())
            anchors.add(words.replace(" ", "-"))
    return anchors


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

    typed_blocks = [
        block
        for block in blocks()
        if block.file == README and block.section in FIRST_VISIT and _starts_python(block)
    ]
    assert {block.section for block in typed_blocks} == set(FIRST_VISIT)
    for block in typed_blocks:
        if "face.avi" in block.text:
            typed("cp data/work/pycrop/talk/00000.avi face.avi; mkdir VIDEOS; cp face.avi VIDEOS")
        typed(block.text)
    results = checkout / "data" / "work"
    offsets = json.loads((results / "pywork/talk/offsets.json").read_text())
    assert [row["file"] for row in offsets] == ["00000.avi", "00001.avi", "00002.avi"]
    for name in ("video_out.avi", "video_wav2lip.mp4"):
        assert (results / "pyavi/talk" / name).stat().st_size > 100_000
    assert (checkout / "lips.npy").stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_python_of_readme_runs_as_written(checkout: Path) -> None:
    """In a folder with a video, new sound and a face clip, block by block, each on its own."""
    first = checkout / "first"
    flags = ("--videofile", "talk.mp4", "--data_dir", str(first), "--keep_frames", "no")
    subprocess.run([sys.executable, "run_pipeline.py", *flags], cwd=checkout, check=True)
    shutil.copy(first / "pycrop/talk/00000.avi", checkout / "face.avi")
    blocks = python_blocks(README)
    assert blocks
    for block in blocks:
        done = subprocess.run(
            [sys.executable, "-"],
            input=block.text,
            cwd=checkout,
            env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, f"{block.text}\n{done.stdout}\n{done.stderr}"
    folder = checkout / "data/work/pyavi/talk"
    for name in ("video_out.avi", "video_wav2lip.mp4"):
        assert (folder / name).stat().st_size > 100_000
