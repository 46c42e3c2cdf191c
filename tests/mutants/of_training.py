"""Faults of training/ that the suite must notice."""

from tests.mutants.mutant import Mutant

MUTANTS: tuple[Mutant, ...] = ()
