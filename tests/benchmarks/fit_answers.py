"""Prints what somebody else's sound reaches by chance: where constants of the answers are from.

    python -m tests.benchmarks.fit_answers --data_dir TRACKS [--cache FOLDER]

TRACKS are of people the network was not trained on, and none of those the answers are measured on.
For each length: the lead of the best offset within five seconds that one in a hundred, two hundred
and five hundred pairs exceed, and how many `peak.Peak.reliable` claims; then how many a step or a
drift is claimed for, with their own sound as well, where a few real ones are among them.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from pipeline import cli
from pipeline.errors import InputError
from pipeline.evidence.blocks import Evidence, evidence_of
from pipeline.evidence.over_time import over_time
from pipeline.evidence.peak import peak
from pipeline.store.files import write_json
from pipeline.sync.scorer import SyncOptions, SyncScorer
from tests.benchmarks import answers_kit as kit
from tests.benchmarks import fit_steps, fit_tracks, report

WINDOWS = (75, 100, 125, 175, 250, 500)
QUANTILES = (0.99, 0.995, 0.998)
STEP_COLUMNS = ("cost", "at cut", "lead", "found within %", "found at cut %", "claimed %")
TRACK_COLUMNS = ("windows", "others", "near %", "far %", "own right %", "moved right %")


def foreign_pair(
    sources: Sequence[kit.Source], windows: int, random: np.random.Generator
) -> Evidence:
    """So many windows of one clip with as many of another video's sound."""
    lips, sound = kit.strangers(sources, random)
    return evidence_of(
        kit.excerpt(lips.lips, windows, random),
        kit.excerpt(sound.sound, windows, random),
        np.ones(windows, bool),
    )


def leads(sources: Sequence[kit.Source], *, pairs: int, seed: int) -> list[list[float]]:
    """A row per length: pairs, leads at each quantile, share that is claimed in percent."""
    rows: list[list[float]] = []
    random = np.random.default_rng(seed)
    for windows in WINDOWS:
        long = [source for source in sources if len(source.lips) >= windows]
        if len({source.video for source in long}) < 2:
            continue
        peaks = [peak(foreign_pair(long, windows, random)) for _ in range(pairs)]
        values = np.array([best.lead for best in peaks if best])
        claimed = 100 * float(np.mean([bool(best and best.reliable) for best in peaks]))
        rows.append([windows, pairs, *(float(np.quantile(values, q)) for q in QUANTILES), claimed])
    return rows


def kinds(evidence: Sequence[Evidence]) -> dict[str, float]:
    """Shares in percent that are called a step, a drift, constant."""
    behaviours = [behaviour.kind for one in evidence if (behaviour := over_time(one))]
    count = max(1, len(evidence))
    return {kind: 100 * behaviours.count(kind) / count for kind in ("step", "drift", "constant")}


def main(argv: list[str] | None = None) -> int:
    """Measures, prints, writes."""
    parser = report.parser(__doc__)
    parser.add_argument("--data_dir", type=Path, help="of run_pipeline.py; none: only the cache")
    parser.add_argument("--cache", type=Path, help="folder that keeps the embeddings")
    parser.add_argument("--pairs", type=int, default=1000, help="of each length")
    parser.add_argument("--seed", type=int, default=1, help="of everything random")
    args = parser.parse_args(argv)
    scorer = SyncScorer(SyncOptions(), device="cpu")
    if args.data_dir:
        sources = kit.of_folder(args.data_dir, scorer, cache=args.cache)
    elif args.cache:
        sources = kit.of_embeddings(args.cache)
    else:
        raise InputError("Neither --data_dir nor --cache was given; give one of them.")
    rows = leads(sources, pairs=args.pairs, seed=args.seed)
    report.print_table(("windows", "pairs", "99 %", "99.5 %", "99.8 %", "claimed %"), rows)
    pieces = list(fit_tracks.pieces(sources, scorer, pairs=args.pairs, seed=args.seed))
    levels = fit_tracks.fit(pieces)
    of_tracks = fit_tracks.rows(pieces, levels)
    print("pipeline/evidence/limits.py:", levels)
    report.print_table(TRACK_COLUMNS, of_tracks)
    of_steps = fit_steps.rows(
        fit_steps.cases(sources, scorer, strangers=args.pairs // 4, seed=args.seed)
    )
    print("pipeline/evidence/limits.py:", fit_steps.fit(of_steps))
    report.print_table(STEP_COLUMNS, of_steps)
    random = np.random.default_rng(args.seed)
    long = [source for source in sources if len(source.lips) >= WINDOWS[-1]]
    made: dict[str, Callable[[], list[Evidence]]] = {
        "somebody else's sound": lambda: [
            foreign_pair(long, WINDOWS[-1], random) for _ in range(args.pairs // 4)
        ],
        "own sound": lambda: [
            evidence_of(one.lips, one.sound, np.ones(len(one.lips), bool)) for one in long
        ],
    }
    courses = {name: kinds(make()) for name, make in made.items()}
    report.print_table(
        ("20 s and more", "step %", "drift %", "constant %"),
        [(name, *shares.values()) for name, shares in courses.items()],
    )
    if args.json:
        write_json(
            args.json,
            {
                "leads": rows,
                "courses": courses,
                "levels": asdict(levels),
                "tracks": of_tracks,
                "steps": of_steps,
            },
        )
    return 0


if __name__ == "__main__":
    sys.exit(cli.run(main))
