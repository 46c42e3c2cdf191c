"""Every promise of README's Security section names tests, and they are there and can fail."""

import ast
import re

import pytest

from tests.conftest import REPO

SECTION = (REPO / "README.md").read_text(encoding="utf-8").partition("\n## Security\n")[2]
SECTION = SECTION.partition("\n## ")[0]
ROWS = [line.strip("|").split("|") for line in SECTION.splitlines() if line.startswith("| ")][1:]
NAMED = re.compile(r"`(tests/\w+\.py)::(\w+)`")


def test_the_section_promises_something() -> None:
    """A threat model in words, and a table of promises."""
    assert len(ROWS) >= 10 and SECTION.index("strangers") < SECTION.index("| promise")
    assert len({row[0] for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0].strip()[:40])
def test_every_promise_names_tests_that_are_there(row: list[str]) -> None:
    """Each is a test of this suite, asserts something and is never skipped."""
    promise, tests = row
    named = NAMED.findall(tests)
    assert promise.strip() and named and not NAMED.sub("", tests).strip()
    for file, name in named:
        tree = ast.parse((REPO / file).read_text(encoding="utf-8"))
        functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert name in functions, f"{file} has no {name}"
        body = list(ast.walk(functions[name]))
        checks = any(isinstance(node, ast.Assert) for node in body)
        calls = [ast.unparse(node.func) for node in body if isinstance(node, ast.Call)]
        raises = any("raises" in call for call in calls)
        assert checks or raises, f"{name} asserts nothing"
        marks = " ".join(ast.unparse(mark) for mark in functions[name].decorator_list)
        assert not re.search(r"mark\.(skip|xfail|slow)", marks), f"{name} does not always run"
