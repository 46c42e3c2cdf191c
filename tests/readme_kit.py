"""The command lines of README.md and docs/, and a shell that lists the commands they start."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import REPO

# Stands in for every Python of a block: writes down what it was asked.
STUB = """#!{python}
import json, sys
with open({log!r}, "a") as log:
    log.write(json.dumps(sys.argv[1:]) + "\\n")
"""


README = REPO / "README.md"
PYTHON_FENCE = "```python"


@dataclass(frozen=True)
class Block:
    """Lines that stand together.

    Attributes:
        file: where they are.
        section: the heading above them.
        text: the lines, as a user would copy them.
    """

    file: Path
    section: str
    text: str


def pages() -> list[Path]:
    """README.md and every file of docs/."""
    return [README, *sorted((REPO / "docs").glob("*.md"))]


def blocks() -> list[Block]:
    """Every indented block of README.md and docs/, in order; what is fenced is no command."""
    return [Block(file, *block) for file in pages() for block in _indented(file)]


def python_blocks(file: Path) -> list[Block]:
    """Every fenced block of Python in a file, in order."""
    blocks: list[Block] = []
    section, lines, fence = "", [""], ""
    for line in file.read_text("utf-8").splitlines():
        if line.startswith("```"):
            if fence == PYTHON_FENCE:
                blocks.append(Block(file, section, "".join(lines)))
            fence, lines = "" if fence else line.strip(), []
        elif fence:
            lines.append(line + "\n")
        elif line.startswith("#"):
            section = line.strip("# ")
    return blocks


def _indented(file: Path) -> list[tuple[str, str]]:
    """Section and text of each indented block."""
    commands: list[tuple[str, str]] = []
    section, lines, fenced = "", [], False
    for line in [*file.read_text("utf-8").splitlines(), ""]:
        if line.startswith("```"):
            fenced = not fenced
        elif line.startswith("#") and not fenced:
            section = line.strip("# ")
        if line.startswith("    ") and not fenced:
            lines.append(line[4:])
        elif lines:
            commands.append((section, "\n".join(lines) + "\n"))
            lines = []
    return commands


def started(text: str, folder: Path, **variables: str) -> list[list[str]]:
    """What a block starts in Python, each as its arguments, when typed into a shell in `folder`.

    Args:
        text: of the block.
        folder: the shell's.
        variables: of the environment.
    """
    log, names = folder / "started", (folder / "bin" / "python", folder / ".venv/bin/python")
    log.unlink(missing_ok=True)
    for name in names:
        name.parent.mkdir(parents=True, exist_ok=True)
        name.write_text(STUB.format(python=sys.executable, log=str(log)))
        name.chmod(0o755)
    for video in ("VIDEOS/a.mp4", "CORPUS/train/b.mp4"):
        (folder / video).parent.mkdir(parents=True, exist_ok=True)
        (folder / video).touch()
    subprocess.run(
        ["sh", "-e", "-c", text],
        cwd=folder,
        env=variables | {"PATH": f"{folder / 'bin'}:/usr/bin:/bin"},
        check=True,
        timeout=60,
    )
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
