"""Who of two faces speaks, and does nobody when the voice is off screen?

    python -m tests.benchmarks.speakers --data_dir VAL_TRACKS --without v005 v028

Faces of two people side by side, the sound alternating between their own sounds in turns of 2 to
5 s without a pause; both mouths go on moving. `turns`: only the two; `turns, off screen`: a third
person's sound has a share in the turns; `off screen`: a third person's sound throughout;
`one face`: one face, whose own sound and somebody else's alternate. Drawn heads, which listen with
closed lips, are composed the same way. Counted are audible frames: on how many of those of a face
on screen the right one is said to speak, and on how many of the others nobody.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from models.features import FRAME_RATE, SAMPLES_PER_FRAME
from pipeline import cli
from pipeline.media import decode
from pipeline.speakers.sound import audible_frames
from pipeline.speakers.video import ScoredTrack, who_speaks_in_video
from pipeline.store.files import write_json
from pipeline.store.workspace import Workspace
from pipeline.sync import embeddings
from pipeline.sync.offset import window_count
from pipeline.sync.scorer import SyncScorer
from tests.benchmarks import report
from training.drawn.heads import drawn_clip
from training.drawn_tracks import babble

TURN_S = (2.0, 5.0)
LONGEST_S, SHORTEST_S = 40.0, 12.0
RIGHT_BAR, NOBODY_BAR = 0.92, 0.95
DRAWN_S = 20.0
COLUMNS = ("scenes", "number", "right_percent", "nobody_percent")
LEVEL = 2500.0  # root mean square of everybody's audible sound
SCENES = {"turns": (2, "faces"), "turns, off screen": (2, "all"), "off screen": (2, "third")}
SCENES |= {"one face": (1, "all")}  # faces, and whose sounds alternate


@dataclass(frozen=True)
class Person:
    """A face and its own sound.

    Attributes:
        name: of the clip.
        lips: (windows, E) embeddings.
        samples: (n,) int16.
        frames: how many both have.
    """

    name: str
    lips: torch.Tensor
    samples: np.ndarray
    frames: int


@dataclass(frozen=True)
class Scene:
    """A composed shot.

    Attributes:
        lips: of each face.
        samples: (n,) int16 sound.
        speaker: (frames,) number of the face that speaks; the number of faces for nobody.
        audible: (frames,) bool: in the speaker's own sound.
    """

    lips: list[torch.Tensor]
    samples: np.ndarray
    speaker: np.ndarray
    audible: np.ndarray


def people_of(data_dir: Path, scorer: SyncScorer, *, without: list[str]) -> Iterator[Person]:
    """The longest track of every video whose own sound is reliably its own."""
    for folder in sorted((data_dir / "pycrop").iterdir()):
        clips = Workspace(data_dir, folder.name).crops()
        if folder.name in without or not clips:
            continue
        clip = max(clips, key=lambda path: path.stat().st_size)
        embedded = scorer.embed(clip)
        sync = scorer.compare(embedded, file=clip.name).sync
        if sync is None or not sync.reliable or embedded.frames < SHORTEST_S * FRAME_RATE:
            print(f"{folder.name}: left out, short or not reliably in its own sound")
            continue
        yield Person(folder.name, embedded.lips, decode.read_audio(clip), embedded.frames)


def compose(people: list[Person], *, faces: int, sounds: str, rng: np.random.Generator) -> Scene:
    """Faces beside each other, and a sound that alternates.

    Args:
        people: those with a face, then one more.
        faces: how many have a face.
        sounds: whose alternate: "faces", "all", or those of the "third" only.
        rng: source of chance.
    """
    frames = min([round(LONGEST_S * FRAME_RATE), *(person.frames for person in people)])
    voices = {"faces": range(faces), "all": range(faces + 1), "third": [faces]}[sounds]
    speaker = np.zeros(frames, int)
    first, last = 0, -1
    while first < frames:
        others = [voice for voice in voices if voice != last or len(voices) == 1]
        last = int(rng.choice(others))
        end = first + round(rng.uniform(*TURN_S) * FRAME_RATE)
        speaker[first:end] = last
        first = end
    lips, samples, audible = [], np.zeros(frames * SAMPLES_PER_FRAME), np.zeros(frames, bool)
    for number, person in enumerate([*people[:faces], people[-1]]):
        start = int(rng.integers(person.frames - frames + 1))
        own = person.samples[start * SAMPLES_PER_FRAME :][: len(samples)].astype(float)
        own = np.pad(own, (0, len(samples) - len(own)))
        heard = audible_frames(own, frames=frames)
        level = np.sqrt(np.square(own.reshape(frames, -1)[heard]).mean())
        mine = np.repeat(speaker == number, SAMPLES_PER_FRAME)
        samples[mine] = own[mine] * LEVEL / max(level, 1.0)
        audible |= heard & (speaker == number)
        lips.append(person.lips[start : start + window_count(frames, len(samples))])
    mixed = samples.clip(-32768, 32767).astype(np.int16)
    return Scene(lips[:faces], mixed, speaker, audible)


def draw(
    scorer: SyncScorer, *, faces: int, sounds: str, seconds: float, rng: np.random.Generator
) -> Scene:
    """A composed shot of drawn heads that open their mouths in their own turns only."""
    frames = round(seconds * FRAME_RATE)
    people = [
        Person(str(n), torch.zeros(frames, 1), babble(rng, seconds=seconds), frames)
        for n in range(faces + 1)
    ]
    scene = compose(people, faces=faces, sounds=sounds, rng=rng)
    lips = []
    for number in range(faces):
        mine = np.repeat(scene.speaker == number, SAMPLES_PER_FRAME)
        own = np.where(mine, scene.samples, 0).astype(np.int16)
        embedder = scorer.lip_embedder()
        for crop in drawn_clip(rng, own, frames=frames):
            embedder.add(crop)
        lips.append(embedder.finish()[: window_count(frames, len(scene.samples))])
    return Scene(lips, scene.samples, scene.speaker, scene.audible)


def distances(scene: Scene, scorer: SyncScorer) -> list[np.ndarray]:
    """(windows, shifts) of each face and the sound."""
    features = scorer.model.sound_features(scene.samples)
    sound = scorer.model.embed_sound(features, batch_size=scorer.options.batch_size)
    vshift = scorer.options.vshift
    return [embeddings.distances(lips, sound[: len(lips)], vshift=vshift) for lips in scene.lips]


def people_scenes(
    people: list[Person], *, faces: int, sounds: str, count: int, rng: np.random.Generator
) -> Iterator[Scene]:
    """So many scenes of people drawn at random; as for `compose`."""
    for _ in range(count):
        chosen = [people[n] for n in rng.choice(len(people), faces + 1, replace=False)]
        yield compose(chosen, faces=faces, sounds=sounds, rng=rng)


def counted(scene: Scene, scorer: SyncScorer) -> np.ndarray:
    """[right, of, nobody, of]: frames of the scene as `who_speaks_in_video` decides them."""
    frames, faces = len(scene.speaker), len(scene.lips)
    tracks = [ScoredTrack(0, frames, dists) for dists in distances(scene, scorer)]
    decided = who_speaks_in_video(tracks, scene.samples, frames=frames, frame_rate=FRAME_RATE)
    speaks = np.array([track.speaks for track in decided.tracks])
    right = np.where(speaks.any(axis=0), speaks.argmax(axis=0), faces) == scene.speaker
    on_screen = scene.audible & (scene.speaker < faces)
    off_screen = scene.audible & (scene.speaker == faces)
    return np.array(
        [right[on_screen].sum(), on_screen.sum(), right[off_screen].sum(), off_screen.sum()]
    )


def shares(counts: list[np.ndarray]) -> list[float]:
    """Percentages of right frames, and of those of nobody; NaN where there are none."""
    right, on_screen, nobody, off_screen = np.sum(counts, axis=0)
    return [
        100 * right / on_screen if on_screen else float("nan"),
        100 * nobody / off_screen if off_screen else float("nan"),
    ]


def build_parser() -> argparse.ArgumentParser:
    """Flags of the command."""
    parser = report.parser(__doc__)
    add = parser.add_argument
    add("--data_dir", type=Path, help="tracks of people; without it, drawn heads only")
    add("--without", nargs="*", default=[], help="videos to leave out, as those with a voice-over")
    add("--scenes", type=int, default=24, help="of each kind, of people")
    add("--drawn", type=int, default=4, help="of each kind, of drawn heads")
    add("--seed", type=int, default=1, help="of everything random")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Prints a table of all scenes, and says whether the bars are reached."""
    args = build_parser().parse_args(argv)
    scorer = SyncScorer(device="cpu")
    people = list(people_of(args.data_dir, scorer, without=args.without)) if args.data_dir else []
    rows, met = [], True
    for kind, (faces, sounds) in SCENES.items():
        rng = np.random.default_rng(args.seed)
        scenes: dict[str, list[np.ndarray]] = {"people": [], "drawn": []}
        count = args.scenes if len(people) > faces else 0
        of_people = people_scenes(people, faces=faces, sounds=sounds, count=count, rng=rng)
        scenes["people"] = [counted(scene, scorer) for scene in of_people]
        for _ in range(args.drawn):
            scene = draw(scorer, faces=faces, sounds=sounds, seconds=DRAWN_S, rng=rng)
            scenes["drawn"].append(counted(scene, scorer))
        for who, counts in scenes.items():
            if counts:
                right, nobody = shares(counts)
                rows.append((f"{kind}, {who}", len(counts), right, nobody))
                met &= not (right < 100 * RIGHT_BAR or nobody < 100 * NOBODY_BAR)
    report.print_table(("scenes", "number", "right speaker, %", "nobody, %"), rows)
    print(f"bars: {100 * RIGHT_BAR:g} and {100 * NOBODY_BAR:g} %: {'ok' if met else 'MISSED'}")
    if args.json:
        write_json(args.json, [dict(zip(COLUMNS, row, strict=True)) for row in rows])
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(cli.run(main))
