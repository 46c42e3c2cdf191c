"""Makes each fault of the list in a copy of the repository and runs the tests that must notice it.

    python -m tests.mutants                     # make mutants
    python -m tests.mutants --match "grey|RTTM" # some of them

A fault is killed when its tests fail. The same tests pass on the unchanged copy first: a test that
always fails kills nothing. The working tree itself is never touched.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.conftest import REPO
from tests.mutants.mutant import Mutant
from tests.mutants.of_answers import MUTANTS as OF_ANSWERS
from tests.mutants.of_batch import MUTANTS as OF_BATCH
from tests.mutants.of_chance import MUTANTS as OF_CHANCE
from tests.mutants.of_composition import MUTANTS as OF_COMPOSITION
from tests.mutants.of_correction import MUTANTS as OF_CORRECTION
from tests.mutants.of_covers import MUTANTS as OF_COVERS
from tests.mutants.of_drawing import MUTANTS as OF_DRAWING
from tests.mutants.of_dubbing import MUTANTS as OF_DUBBING
from tests.mutants.of_everything import MUTANTS as OF_EVERYTHING
from tests.mutants.of_everything_in_training import MUTANTS as OF_EVERYTHING_IN_TRAINING
from tests.mutants.of_family import MUTANTS as OF_FAMILY
from tests.mutants.of_generators import MUTANTS as OF_GENERATORS
from tests.mutants.of_media import MUTANTS as OF_MEDIA
from tests.mutants.of_models import MUTANTS as OF_MODELS
from tests.mutants.of_mouths import MUTANTS as OF_MOUTHS
from tests.mutants.of_page import MUTANTS as OF_PAGE
from tests.mutants.of_pipeline import MUTANTS as OF_PIPELINE
from tests.mutants.of_reliability import MUTANTS as OF_RELIABILITY
from tests.mutants.of_stores import MUTANTS as OF_STORES
from tests.mutants.of_teaching import MUTANTS as OF_TEACHING
from tests.mutants.of_texture import MUTANTS as OF_TEXTURE
from tests.mutants.of_training import MUTANTS as OF_TRAINING
from tests.mutants.of_verdict import MUTANTS as OF_VERDICT
from tests.mutants.of_voices import MUTANTS as OF_VOICES
from tests.mutants.of_words import MUTANTS as OF_WORDS

MUTANTS: tuple[Mutant, ...] = (
    *OF_PIPELINE,
    *OF_CORRECTION,
    *OF_PAGE,
    *OF_MODELS,
    *OF_RELIABILITY,
    *OF_TRAINING,
    *OF_FAMILY,
    *OF_GENERATORS,
    *OF_BATCH,
    *OF_TEXTURE,
    *OF_ANSWERS,
    *OF_WORDS,
    *OF_VERDICT,
    *OF_VOICES,
    *OF_TEACHING,
    *OF_COVERS,
    *OF_CHANCE,
    *OF_STORES,
    *OF_MOUTHS,
    *OF_MEDIA,
    *OF_DRAWING,
    *OF_DUBBING,
    *OF_COMPOSITION,
    *OF_EVERYTHING,
    *OF_EVERYTHING_IN_TRAINING,
)
LIMIT_S = 900


def copy_of_the_tree(folder: Path) -> Path:
    """Copies every file that git would commit, and those it does not know yet."""
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPO,
        capture_output=True,
        check=True,
    ).stdout.split(b"\0")
    for name in filter(None, names):
        source = REPO / os.fsdecode(name)
        if source.is_file():
            target = folder / os.fsdecode(name)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    return folder


def run_tests(root: Path, tests: tuple[str, ...]) -> tuple[int, str]:
    """Exit code of pytest in `root` (-1: out of time) and its last line."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    # The shared data is named from the working tree: beside the copy there is none.
    shared = os.environ.get("SYNC_SHARED", str(REPO.parent / "shared"))
    environment = os.environ | {"OMP_NUM_THREADS": "1", "SYNC_SHARED": shared}
    try:
        done = subprocess.run(
            command, cwd=root, env=environment, capture_output=True, text=True, timeout=LIMIT_S
        )
    except subprocess.TimeoutExpired:
        return -1, f"more than {LIMIT_S} s"
    lines = [line for line in done.stdout.splitlines() if line.strip()] or [done.stderr.strip()]
    failures = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    return done.returncode, (failures or lines)[-1]


def replay(mutant: Mutant) -> tuple[bool, str]:
    """Whether the fault is noticed, and by which test."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        root = copy_of_the_tree(Path(folder))
        mutant.change(root)
        code, summary = run_tests(root, mutant.tests)
    return code in (1, -1), summary


def main(argv: list[str] | None = None) -> int:
    """Prints a line for each fault; fails where one survives or a test fails without any fault."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--match", default="", help="regular expression on fault or file")
    parser.add_argument("--workers", type=int, default=2, help="copies tested at once")
    args = parser.parse_args(argv)
    chosen = [
        mutant for mutant in MUTANTS if re.search(args.match, f"{mutant.file} {mutant.fault}")
    ]
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        root = copy_of_the_tree(Path(folder))
        tests = tuple(dict.fromkeys(test for mutant in chosen for test in mutant.tests))
        code, summary = run_tests(root, tests)
    if code != 0:
        print(f"the tests fail without any fault: {summary}")
        return 1
    survivors = 0
    with ThreadPoolExecutor(max_workers=args.workers) as pool:
        for mutant, (killed, summary) in zip(chosen, pool.map(replay, chosen), strict=True):
            survivors += not killed
            verdict = "killed  " if killed else "SURVIVED"
            print(f"{verdict}  {mutant.file}: {mutant.fault}  [{summary[:120]}]", flush=True)
    print(f"{len(chosen) - survivors} of {len(chosen)} killed, {time.monotonic() - started:.0f} s")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
