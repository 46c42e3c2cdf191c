"""Numbers of the bundled networks; `python -m tests.golden` writes them anew."""
