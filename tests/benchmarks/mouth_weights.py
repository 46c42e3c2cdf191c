"""Weights of the choice of own mouths, tried one by one on people of the training corpus.

    python -m tests.benchmarks.mouth_weights --data TRACKS --try opening=0,4 --try join=0.3,1

Every person gets the speech of another one, and the own speech again from mouths a second away. A
setting is good enough where flicker is at most 1.2 for nine of ten people; of these the best has
most of LSE-C against real (no more than all of it counts), of the correlation of own speech's
openings with the real ones, of sharpness (the same), and least identity distance above 1. Pictures
are measured before they are encoded.
"""

import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy.io import wavfile

from models import folding, weights
from models.device import torch_device
from models.features import FRAME_RATE, SAMPLE_RATE
from pipeline.dubbing.driving_audio import Voice, read_voice
from pipeline.dubbing.generate import DubTrack, Generator
from pipeline.errors import InputError
from pipeline.faces.crops import crop_face, recorded_crop_scale
from pipeline.media import decode
from pipeline.store.files import write_json
from pipeline.sync.scorer import SyncOptions, SyncScorer
from pipeline.texture.library import Library
from pipeline.texture.plan import Texture, shown_texture
from pipeline.texture.selection import Weights
from pipeline.texture.sentence import Sentence
from tests.benchmarks import report
from training.evaluate import dubbed_mouths, mouth_figures
from training.evaluate.dubbed_mouths import Distant, Speaker
from training.evaluate.mouth_figures import Look, identity_distance

FLICKER_BAR, FLICKER_PERCENTILE = 1.2, 90


@dataclass(frozen=True)
class Line:
    """What one face is to say, and its own mouths: all that weights do not change."""

    part: DubTrack
    sentence: Sentence
    library: Library
    samples: np.ndarray  # (n,) int16 of the voice

    def texture(self, choice: Weights, scorer: SyncScorer) -> Texture:
        """The new mouths by some weights."""
        own = self.sentence.chosen(self.library, scorer.model, self.samples, weights=choice)
        return shown_texture(self.sentence, self.library, own)


@dataclass(frozen=True)
class Person:
    """A face, what it says, and its figures as it is."""

    speaker: Speaker
    foreign: Line
    own: Line
    look: Look
    features: np.ndarray
    lse_c: float
    openings: np.ndarray  # of the frames of `own`


def build_parser() -> Any:
    """Flags of the script."""
    parser = report.parser(__doc__)
    add = parser.add_argument
    add("--data", type=Path, required=True, help="results folder of run_pipeline.py")
    add("--people", type=int, default=10, help="the first so many with 10 s and own mouths")
    add("--skip", type=int, default=0, help="people left out before them")
    add("--seconds", type=float, default=6.0, help="of speech that each gets")
    add("--initial_model", default="auto", help="SyncNet that judges")
    add("--try", dest="tries", action="append", default=[], help="WEIGHT=VALUE,VALUE; one of many")
    return parser


def settings(tries: list[str]) -> dict[str, Weights]:
    """The weights as they are, and each of the others alone.

    Raises:
        InputError: there is no such weight, or a value is no number.
    """
    names = {field.name for field in fields(Weights)}
    found = {"as they are": Weights()}
    for text in tries:
        name, _, values = text.partition("=")
        if name not in names:
            raise InputError(f"--try {text}: the weights are {', '.join(sorted(names))}.")
        try:
            numbers = [float(value) for value in values.split(",")]
        except ValueError:
            raise InputError(f"--try {text}: values are numbers, as in join=0.3,1.") from None
        for number in numbers:
            found[f"{name}={number:g}"] = replace(Weights(), **{name: number})
    return found


def _pictures(speaker: Speaker, buffers: Any) -> Any:
    """BGR frames of yuv420p buffers, with where the face is."""
    width, height = speaker.source.size_px
    for index, buffer in enumerate(buffers):
        region = speaker.path.at(index / speaker.source.frame_rate)
        if region is not None:
            planes = buffer.reshape(height * 3 // 2, width)
            yield index, cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_I420), region


def _measured(
    speaker: Speaker, buffers: Any, speech: np.ndarray, scorer: SyncScorer
) -> tuple[Look, np.ndarray, float]:
    """Look, lip features and LSE-C of the first seconds of a face."""
    look, embedder = Look(), scorer.model.lip_embedder(batch_size=20, with_features=True)
    scale, ticks = recorded_crop_scale(speaker.workspace), 0
    for index, frame, region in _pictures(speaker, buffers):
        look.add(frame, region)
        time_s = index / speaker.source.frame_rate
        while ticks <= (time_s - speaker.path.start_s) * FRAME_RATE:
            x, y, s = speaker.crop.at(speaker.path.position(time_s))
            embedder.add(crop_face(frame, x=x, y=y, s=s, crop_scale=scale))
            ticks += 1
    sync = scorer.score_lips(embedder.finish(), speech)
    assert sync is not None and embedder.features is not None
    return look, embedder.features.numpy(), sync.confidence


def _line(
    speaker: Speaker, voice: Voice, draw: Any, scorer: SyncScorer, stack: ExitStack, args: Any
) -> Line:
    part = dubbed_mouths.beginning(speaker, voice, seconds=args.seconds)
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    planner = dubbed_mouths.planner_of(
        speaker, part, folder=folder, stack=stack, device=scorer.device
    )
    source = speaker.source
    info = decode.probe(source.path, audio_stream=source.audio_stream)
    sound = decode.read_audio(source.path, info=info)
    library = planner.gather(dubbed_mouths.planes(source), sound)[part.track]
    frames = round((speaker.path.start_s + args.seconds) * source.frame_rate)
    sentence = planner.sentences(draw, frames=frames, fit="video")[part.track]
    return Line(part, sentence, library, voice.samples())


def person(
    speaker: Speaker,
    stranger: Speaker,
    generator: Generator,
    scorers: tuple[SyncScorer, SyncScorer],
    stack: ExitStack,
    args: Any,
) -> Person | None:
    """All that does not depend on weights; None where there are too few own mouths."""
    judge, chooser = scorers
    speech = stranger.samples()[: round(args.seconds * SAMPLE_RATE)]
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    before = np.zeros(round(speaker.path.start_s * SAMPLE_RATE), np.int16)
    wavfile.write(folder / "speech.wav", SAMPLE_RATE, np.concatenate([before, speech]))
    voice = read_voice(folder / "speech.wav")
    foreign = _line(speaker, voice, generator.draw, chooser, stack, args)
    if foreign.library.reason:
        return None
    own_voice = read_voice(speaker.source.path, audio_stream=speaker.source.audio_stream)
    own = _line(speaker, own_voice, Distant(speaker, generator).draw, chooser, stack, args)
    frames = round((speaker.path.start_s + args.seconds) * speaker.source.frame_rate)
    real = [buffer.copy() for _, buffer in zip(range(frames), _planes(speaker), strict=False)]
    sound = speaker.samples()[: len(speech)]
    look, features, lse_c = _measured(speaker, real, sound, judge)
    return Person(speaker, foreign, own, look, features, lse_c, own.sentence.real_openings())


def _planes(speaker: Speaker) -> Any:
    return dubbed_mouths.planes(speaker.source)


def tried(
    who: Person, choice: Weights, generator: Generator, scorers: tuple[SyncScorer, SyncScorer]
) -> dict[str, float]:
    """The figures of one person by some weights."""
    judge, chooser = scorers
    speaker, line = who.speaker, who.foreign
    texture = line.texture(choice, chooser)
    assert texture.own is not None
    end_s = len(line.sentence.positions) / speaker.source.frame_rate + speaker.path.start_s
    made = dubbed_mouths.regenerated(
        speaker.source, replace(line.part, texture=texture), generator, end_s
    )
    speech = line.samples[round(speaker.path.start_s * SAMPLE_RATE) :]
    look, features, lse_c = _measured(speaker, (buffer for buffer, _ in made), speech, judge)
    again = who.own.sentence.chosen(who.own.library, chooser.model, who.own.samples, weights=choice)
    opened = mouth_figures.opening_figures(who.openings, who.own.library.traits.opening[again])
    return {
        "flicker": look.flicker / who.look.flicker,
        "sharpness": look.sharpness / who.look.sharpness,
        "lse_c": lse_c / who.lse_c,
        "identity": identity_distance(who.features, features),
        "joins_per_s": len(line.sentence.joins(line.library, texture.own))
        * speaker.source.frame_rate
        / len(texture.own),
        "real_flicker": who.look.flicker,
        **opened,
    }


def merit(rows: list[dict[str, float]]) -> float:
    """See the text at the top; below 0 where flicker is above its bar."""
    if np.percentile([row["flicker"] for row in rows], FLICKER_PERCENTILE) > FLICKER_BAR:
        return -1.0
    lse_c = min(float(np.mean([row["lse_c"] for row in rows])), 1.0)
    sharp = min(float(np.median([row["sharpness"] for row in rows])), 1.0)
    strange = max(float(np.median([row["identity"] for row in rows])) - 1, 0.0)
    opening = float(np.mean([row["opening"] for row in rows if "opening" in row] or [0.0]))
    return lse_c + opening + sharp - strange


def main(argv: list[str] | None = None) -> int:
    """Prints a row for every setting, and which is best."""
    args = build_parser().parse_args(argv)
    choices = settings(args.tries)
    device = torch_device("cpu")
    model, _ = weights.load_wav2lip("auto", device=device)
    generator = Generator(folding.fold_batch_norms(model), device, batch_size=32)
    scorers = SyncScorer(SyncOptions(args.initial_model), device=device), SyncScorer(device=device)
    everybody = dubbed_mouths.speakers([args.data])[args.skip :]
    figures: dict[str, dict[str, dict[str, float]]] = {name: {} for name in choices}
    done = 0
    for number, speaker in enumerate(everybody):
        if done == args.people:
            break
        if number and speaker.workspace.reference == everybody[number - 1].workspace.reference:
            continue  # another shot of the same person
        stranger = everybody[(number + len(everybody) // 2) % len(everybody)]
        with ExitStack() as stack:
            who = person(speaker, stranger, generator, scorers, stack, args)
            if who is None:
                continue
            done += 1
            for name, choice in choices.items():
                figures[name][speaker.name] = tried(who, choice, generator, scorers)
                row = {key: round(value, 2) for key, value in figures[name][speaker.name].items()}
                print(speaker.name, name, row, flush=True)
    columns = ["flicker", "sharpness", "lse_c", "identity", "opening"]
    columns += ["closed_missed", "open_missed", "joins_per_s"]
    report.print_table(
        ("weights", "merit", "worst flicker", *columns),
        [
            (
                name,
                merit(list(rows.values())),
                max(row["flicker"] for row in rows.values()),
                *(
                    float(np.median([row[column] for row in rows.values() if column in row]))
                    for column in columns
                ),
            )
            for name, rows in figures.items()
        ],
    )
    best = max(figures, key=lambda name: merit(list(figures[name].values())))
    print(f"best: {best}")
    if args.json:
        write_json(args.json, figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
