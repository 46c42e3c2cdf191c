"""Numbers of the networks in the box; `python -m tests.golden` writes them anew."""
