"""The command `python -m pipeline.evaluate`."""

import sys

from pipeline import cli
from pipeline.evaluate.folder import main

if __name__ == "__main__":
    sys.exit(cli.run(main))
