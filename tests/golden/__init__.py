"""What the networks in the box see and say, in numbers: `python -m tests.golden` writes them anew."""
