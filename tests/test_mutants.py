"""The list of mutants fits the code: each text occurs once, each test exists."""

import pytest

from tests.conftest import REPO
from tests.mutants.__main__ import MUTANTS
from tests.mutants.mutant import Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.fault)
def test_each_fault_can_be_made(mutant: Mutant) -> None:
    text = (REPO / mutant.file).read_text("utf-8")
    assert text.count(mutant.before) == 1
    assert mutant.before != mutant.after
    compile(text.replace(mutant.before, mutant.after), mutant.file, "exec")
    for test in mutant.tests:
        file, _, name = test.partition("::")
        source = (REPO / file).read_text("utf-8")
        assert not name or f"def {name.partition('[')[0]}(" in source


def test_faults_have_names_of_their_own() -> None:
    names = [mutant.fault for mutant in MUTANTS]
    assert len(set(names)) == len(names)
