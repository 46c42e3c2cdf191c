"""Structure of the code: small folders and files, no circular imports, small import times."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPO

PACKAGES = ("models", "pipeline", "training")
FOLDERS = [
    folder
    for package in ("pipeline", "training")
    for folder in [REPO / package, *(REPO / package).rglob("*")]
    if folder.is_dir() and list(folder.glob("*.py"))
]
FILES = [*REPO.glob("*.py"), *(file for name in PACKAGES for file in (REPO / name).rglob("*.py"))]
MOST_FILES, MOST_LINES = 9, 400


def _name(file: Path) -> str:
    parts = file.relative_to(REPO).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {_name(file): file for file in FILES}


def _at_import(tree: ast.Module) -> list[ast.Import | ast.ImportFrom]:
    """Imports that run when the module is loaded: not those in functions or for types only."""
    imports: list[ast.Import | ast.ImportFrom] = []
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            imports.append(node)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)
    return imports


def _imported(file: Path) -> set[str]:
    """Our own modules that a file imports."""
    names = set()
    for node in _at_import(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif node.module and not node.level:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names & MODULES.keys()


GRAPH = {name: _imported(file) for name, file in MODULES.items()}


def test_there_is_no_circle_among_imports() -> None:
    """Modules can be put in an order in which each needs only those before it."""
    rest = {name: needs - {name} for name, needs in GRAPH.items()}
    while ready := {name for name, needs in rest.items() if not needs & rest.keys()}:
        rest = {name: needs for name, needs in rest.items() if name not in ready}
    assert not rest, f"these import each other: {sorted(rest)}"


def test_the_graph_sees_imports() -> None:
    """The import graph is not empty; else the check for circles would prove nothing."""
    assert "pipeline.sync.scorer" in GRAPH["pipeline.sync.stage"]
    assert "models.features" in GRAPH["pipeline.sync.offset"] and len(GRAPH) > 100


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.relative_to(REPO)))
def test_folders_are_small(folder: Path) -> None:
    assert len(list(folder.glob("*.py"))) <= MOST_FILES


def test_files_are_short() -> None:
    long = {_name(file): len(file.read_text("utf-8").splitlines()) for file in FILES}
    assert not {name: lines for name, lines in long.items() if lines > MOST_LINES}


# Filled frame by frame, or by the state of a pickle.
MUTABLE = {"_Face", "_Run", "Look", "_Dtype"}


def test_dataclasses_are_frozen() -> None:
    """Options and results are not changed after they were made."""
    others = {
        node.name
        for file in FILES
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.ClassDef)
        for mark in map(ast.unparse, node.decorator_list)
        if mark.startswith("dataclass") and "frozen=True" not in mark
    }
    assert others == MUTABLE


def test_layers_know_only_those_below() -> None:
    """models/ knows neither pipeline/ nor training/; stages know no command line."""
    for name, needs in GRAPH.items():
        roots = {need.split(".")[0] for need in needs}
        if name.startswith("models"):
            assert not roots & {"pipeline", "training"}, name
        if name.startswith("pipeline"):
            assert "training" not in roots, name
            if not name.startswith("pipeline.evaluate") and not name.endswith("__main__"):
                assert "pipeline.cli" not in needs or name == "pipeline.cli", name


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("pipeline", {"torch", "numpy", "ffmpeg", "cv2"}),
        ("pipeline.errors", {"torch", "numpy", "ffmpeg", "cv2"}),
        ("pipeline.store.files", {"torch", "ffmpeg", "imageio_ffmpeg", "argparse", "cv2"}),
        ("pipeline.store.workspace", {"torch", "ffmpeg", "imageio_ffmpeg", "scenedetect"}),
    ],
)
def test_small_modules_load_little(module: str, unwanted: set[str]) -> None:
    code = f"import sys, {module}; print(*sorted(set(sys.modules) & {unwanted!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr
