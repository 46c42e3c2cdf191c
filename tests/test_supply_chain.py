"""Installed packages: pinned, hashed, audited, and complete."""

import ast
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.conftest import REPO

CI = REPO / ".ci"
PIN = re.compile(r"^([A-Za-z0-9_.-]+)==([^\s;]+)", re.MULTILINE)
PRODUCT = ("pipeline", "models", "training", "data")
# What a package is called where it is imported.
IMPORTED_AS = {"opencv-python": "cv2", "ffmpeg-python": "ffmpeg"}
OPTIONAL = {"tensorboard", "pyarrow", "ray", "fsspec"}  # used where it is there


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _pins(path: Path) -> set[tuple[str, str]]:
    pins = PIN.findall(path.read_text(encoding="utf-8"))
    return {(_normal(name), version) for name, version in pins}


def _locked() -> dict[tuple[str, str], list[str]]:
    """Hashes of every version in the lock file."""
    text = (CI / "locked.txt").read_text(encoding="utf-8")
    blocks = re.split(r"^(?=\S)", text, flags=re.MULTILINE)
    locked = {}
    for block in blocks:
        if match := PIN.match(block):
            hashes = re.findall(r"--hash=sha256:([0-9a-f]{64})(?:\s|$)", block)
            locked[_normal(match[1]), match[2]] = hashes
    return locked


def test_everything_is_locked_by_hash() -> None:
    """Every pin but torch's is in the lock file, and every version there has its SHA-256."""
    expected = _pins(REPO / "requirements.txt") | _pins(CI / "requirements.txt")
    locked = _locked()
    missing = {pin for pin in expected if pin not in locked}
    assert {name for name, _ in missing} == {"torch"}, "run .ci/lock"
    assert all(locked.values()) and len(locked) > 40
    plain = [line for line in (REPO / "requirements.txt").read_text().splitlines() if line]
    assert all(line.startswith("#") or "==" in line for line in plain)


def test_the_makefile_installs_by_hash() -> None:
    """Hashes come first, and only torch and its CUDA libraries are left to the second command."""
    recipe = (REPO / "Makefile").read_text().partition(".venv/ready: ")[2].partition("\n\n")[0]
    first, second = (line for line in recipe.splitlines() if "pip install" in line)
    assert "--require-hashes" in first and "-r .ci/locked.txt" in first
    assert "-r requirements.txt -r .ci/requirements.txt" in second
    assert "requirements.txt .ci/requirements.txt .ci/locked.txt" in recipe.splitlines()[0]


def _imported() -> set[str]:
    files = [
        *REPO.glob("*.py"),
        *(file for folder_name in PRODUCT for file in (REPO / folder_name).rglob("*.py")),
    ]
    names = set()
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.partition(".")[0])
    own = {file.stem for file in REPO.glob("*.py")} | set(PRODUCT)
    return {name for name in names if name not in sys.stdlib_module_names | own}


def test_users_get_what_the_toolkit_needs_and_no_more() -> None:
    """Everything that is imported is in requirements.txt; tools for changes are not."""
    names = {name for name, _ in _pins(REPO / "requirements.txt")}
    modules = {IMPORTED_AS.get(name, name.replace("-", "_")) for name in names}
    assert _imported() - OPTIONAL <= modules
    tools = {name for name, _ in _pins(CI / "requirements.txt")}
    assert {"pytest", "ruff", "mypy", "pip-audit"} <= tools and not tools & names


# The audit.


@pytest.fixture
def audit() -> ModuleType:
    """.ci/audit.py as a module."""
    spec = importlib.util.spec_from_file_location("audit", CI / "audit.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _answer(*packages: dict[str, Any], code: int = 0, stderr: str = "") -> object:
    output = json.dumps({"dependencies": list(packages)}) if packages else ""
    return subprocess.CompletedProcess([], code, output, stderr)


SOUND = {"name": "tqdm", "version": "1.0", "vulns": []}
SKIPPED = {"name": "numpy", "skip_reason": "not found on PyPI"}
FAULTY = {
    "name": "pillow",
    "version": "9.0.0",
    "vulns": [{"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["9.0.1"]}],
}
DOWN = "requests.exceptions.ConnectionError: Max retries exceeded with url: /pypi/tqdm/json"


def _run(audit: ModuleType, monkeypatch: pytest.MonkeyPatch, **answers: object) -> int:
    monkeypatch.setattr(audit, "ask", lambda service: answers[service])
    return int(audit.main())


def test_a_known_vulnerability_fails(
    audit: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Named with the version that mends it; also where only the second service answers."""
    assert _run(audit, monkeypatch, pypi=_answer(SOUND, FAULTY, code=1)) == 1
    assert "pillow 9.0.0: PYSEC-1, mended in 9.0.1" in capsys.readouterr().err
    down = _answer(code=1, stderr=DOWN)
    assert _run(audit, monkeypatch, pypi=down, osv=_answer(FAULTY, code=1)) == 1


def test_no_network_is_reported_and_no_failure(
    audit: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody answers, or a mirror that knows no advisories: never "no known vulnerability"."""
    down = _answer(code=1, stderr=DOWN)
    for pypi in (down, _answer(SKIPPED, SKIPPED)):
        assert _run(audit, monkeypatch, pypi=pypi, osv=down) == 0
        output = capsys.readouterr().out
        assert "No advisory service could be reached: nothing was audited." in output
        assert "no known vulnerability" not in output


def test_the_audit_reports_its_packages(
    audit: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """How many packages, and which were not; one with a reason not to mind it passes."""
    assert _run(audit, monkeypatch, pypi=_answer(SOUND, SKIPPED)) == 0
    output = capsys.readouterr().out
    assert "no known vulnerability in 1 packages" in output and "does not know numpy" in output
    monkeypatch.setattr(audit, "IGNORED", {"CVE-1": "we open no such pictures"})
    assert _run(audit, monkeypatch, pypi=_answer(FAULTY, code=1)) == 0


def test_a_broken_audit_fails(audit: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tool that is not there or crashes is not the same as no vulnerability."""
    broken = _answer(code=1, stderr="No module named pip_audit")
    assert _run(audit, monkeypatch, pypi=broken) == 1


def test_builds_are_looked_up_by_their_public_version(audit: ModuleType) -> None:
    """Torch from a CPU wheel is 2.13.0+cpu, which no advisory speaks of."""
    pins = audit.installed().splitlines()
    assert any(pin.startswith("torch==") for pin in pins)
    assert pins and not any("+" in pin for pin in pins)


def test_the_gate_audits() -> None:
    """.ci/run calls what the Makefile calls audit, and a step that fails ends it."""
    steps = (CI / "run").read_text().splitlines()
    assert 'step "audit" 300 make audit' in steps and "set -eu" in steps
    assert (
        "audit: .venv/ready\n\t.venv/bin/python .ci/audit.py\n" in (REPO / "Makefile").read_text()
    )
