"""What `pipeline/speakers/` must know of a network: to be run for every new one and copied there.

    python -m tests.benchmarks.fit_speakers --data_dir TRACKS_X

Of composed scenes (`speakers`), of people whom the network never saw: the evidence of frames on
which a face speaks and on which it does not, for OWN_MEAN, FOREIGN_MEAN and SPREAD of evidence.py;
and how often faces stand out by so much at shifts near the expected one and elsewhere, with their
own sound in a part of the scene and with none of it, for LEAST_NEAR_STANDING and LEAST_STANDING of
decide.py. `speakers --data_dir TRACKS_X` says what the other constants of decide.py do.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline import cli
from pipeline.speakers import evidence as lip_evidence
from pipeline.speakers.decide import NEAR_SHIFTS
from pipeline.speakers.evidence import Match
from pipeline.speakers.sound import audible_frames, listen
from pipeline.speakers.turns import find_turns
from pipeline.store.files import write_json
from pipeline.sync.scorer import SyncScorer
from tests.benchmarks import report
from tests.benchmarks.speakers import SCENES, Scene, distances, people_of, people_scenes

STANDINGS = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)
CLEAR_STANDING = 1.5  # of faces whose frames are looked at: their shift is known
LEAST_FRAMES = 50  # of either kind


@dataclass(frozen=True)
class Look:
    """One face of a scene.

    Attributes:
        speaks: it has a part in the sound.
        near: its best shift is near the expected one.
        standing: of that shift.
        means, spreads: of the evidence on frames of its own and on others; None where there are
            few of either, or the face is not clear.
    """

    speaks: bool
    near: bool
    standing: float
    means: tuple[float, float] | None
    spreads: tuple[float, float] | None


def looks(scene: Scene, scorer: SyncScorer) -> list[Look]:
    """The faces of a scene."""
    frames = len(scene.speaker)
    heard = listen(scene.samples, audible_frames(scene.samples, frames=frames))
    turns = find_turns(heard)
    faces = []
    for number, dists in enumerate(distances(scene, scorer)):
        evidence = lip_evidence.by_sound_frame(dists, frames=frames)
        match = lip_evidence.match(evidence, heard.audible, turns)
        own, other = (
            scene.audible & (scene.speaker == number),
            scene.audible & (scene.speaker != number),
        )
        faces.append(_look(match, match.of(evidence), own, other, shifts=dists.shape[1]))
    return faces


def _look(
    match: Match, evidence: np.ndarray, own: np.ndarray, other: np.ndarray, *, shifts: int
) -> Look:
    means = spreads = None
    if match.standing >= CLEAR_STANDING and min(own.sum(), other.sum()) >= LEAST_FRAMES:
        means = float(evidence[own].mean()), float(evidence[other].mean())
        spreads = float(evidence[own].std()), float(evidence[other].std())
    near = abs(match.column - shifts // 2) <= NEAR_SHIFTS
    return Look(bool(own.any()), near, match.standing, means, spreads)


def standing_rows(faces: list[Look]) -> list[tuple[float, ...]]:
    """(standing, own near, own elsewhere, foreign near, foreign elsewhere), percentages."""
    rows = []
    for least in STANDINGS:
        shares = [
            100 * np.mean([face.near == near and face.standing >= least for face in kind])
            for speaks in (True, False)
            for kind in [[face for face in faces if face.speaks == speaks]]
            for near in (True, False)
        ]
        rows.append((least, *map(float, shares)))
    return rows


def evidence_constants(faces: list[Look]) -> dict[str, float]:
    """OWN_MEAN, FOREIGN_MEAN and SPREAD, over faces."""
    means = np.array([face.means for face in faces if face.means])
    spreads = np.array([face.spreads for face in faces if face.spreads])
    own, foreign = means.mean(axis=0)
    return {"OWN_MEAN": own, "FOREIGN_MEAN": foreign, "SPREAD": float(spreads.mean())}


def build_parser() -> argparse.ArgumentParser:
    """Flags of the command."""
    parser = report.parser(__doc__)
    add = parser.add_argument
    add("--data_dir", type=Path, required=True, help="tracks of people the network never saw")
    add("--without", nargs="*", default=[], help="videos to leave out, as those with a voice-over")
    add("--scenes", type=int, default=96, help="of each kind")
    add("--seed", type=int, default=5, help="of everything random")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Prints both."""
    args = build_parser().parse_args(argv)
    scorer = SyncScorer(device="cpu")
    people = list(people_of(args.data_dir, scorer, without=args.without))
    faces: list[Look] = []
    for count, sounds in SCENES.values():
        rng = np.random.default_rng(args.seed)
        for scene in people_scenes(people, faces=count, sounds=sounds, count=args.scenes, rng=rng):
            faces += looks(scene, scorer)
    constants, rows = evidence_constants(faces), standing_rows(faces)
    report.print_table(("constant", "value"), list(constants.items()))
    titles = ("standing", "own, near, %", "own, elsewhere, %", "foreign, near, %")
    report.print_table((*titles, "foreign, elsewhere, %"), rows)
    if args.json:
        write_json(args.json, {"constants": constants, "standing": rows})
    return 0


if __name__ == "__main__":
    sys.exit(cli.run(main))
