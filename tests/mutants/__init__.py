"""Small faults that the suite must notice: `python -m tests.mutants` (make mutants)."""
