"""Drawn talking heads as face tracks: data to try train_syncnet.py on without any of one's own.

    python -m training.drawn_tracks --data_dir data/drawn
    python -m training.drawn_tracks --data_dir data/drawn_val --clips 6 --seconds 25 --seed 2

The heads babble: synthetic syllables (pulses through three resonators), hisses and pauses, no
language. Their lips follow that sound exactly (training/drawn/heads.py), so every offset is 0.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from scipy.signal import lfilter

from models.features import FRAME_RATE, SAMPLE_RATE, SAMPLES_PER_FRAME
from models.syncnet import CROP_PX
from pipeline import cli
from pipeline.errors import InputError
from pipeline.media import encode
from pipeline.progress import Progress, silent
from pipeline.store.workspace import Workspace
from training.drawn.heads import drawn_clip

SYLLABLE_S = (0.12, 0.34)
PAUSE_S = (0.15, 0.6)
PHRASE_SYLLABLES = (3, 9)
PITCH_HZ = (85.0, 240.0)  # of speakers; each moves around its own
FORMANTS_HZ = ((280.0, 850.0), (850.0, 2300.0), (2400.0, 3000.0))  # of vowels
BANDWIDTHS_HZ = (80.0, 110.0, 160.0)
HISS_S = (0.04, 0.13)
CLOSURE_S = (0.03, 0.09)  # of the lips before a syllable
RAMP_S = 0.025  # in which loudness rises and falls
PEAK = 12_000  # of int16
ROOM_NOISE = 8  # of int16


def babble(rng: np.random.Generator, *, seconds: float) -> np.ndarray:
    """Speech-like sound of one random speaker.

    Args:
        rng: source of chance.
        seconds: how long.

    Returns:
        (16000 seconds,) int16, mono at 16 kHz.
    """
    pitch_hz, tract = rng.uniform(*PITCH_HZ), rng.uniform(0.88, 1.14)
    length = round(seconds * SAMPLE_RATE)
    parts: list[np.ndarray] = []
    total = 0
    while total < length:
        phrase = [_silence(rng, PAUSE_S)]
        for _ in range(rng.integers(*PHRASE_SYLLABLES)):
            if rng.random() < 0.5:
                phrase.append(_silence(rng, CLOSURE_S))
            if rng.random() < 0.4:
                phrase.append(_hiss(rng))
            phrase.append(_vowel(rng, pitch_hz=pitch_hz, tract=tract))
        parts += phrase
        total += sum(map(len, phrase))
    sound = np.concatenate(parts)[:length]
    sound = sound * (PEAK / max(np.abs(sound).max(), 1e-9)) + rng.normal(0, ROOM_NOISE, length)
    return sound.clip(-32768, 32767).astype(np.int16)


def _silence(rng: np.random.Generator, length_s: tuple[float, float]) -> np.ndarray:
    return np.zeros(round(rng.uniform(*length_s) * SAMPLE_RATE))


def _hiss(rng: np.random.Generator) -> np.ndarray:
    noise = rng.normal(0, 1, round(rng.uniform(*HISS_S) * SAMPLE_RATE))
    high = noise - lfilter([1.0], [1.0, -0.7], noise) * 0.3
    return _ramped(high / high.std()) * rng.uniform(0.05, 0.2)


def _vowel(rng: np.random.Generator, *, pitch_hz: float, tract: float) -> np.ndarray:
    """One syllable's loud part, at a loudness of its own.

    Args:
        rng: source of chance.
        pitch_hz: of the speaker.
        tract: factor of the speaker's resonances: a short vocal tract has high ones.
    """
    count = round(rng.uniform(*SYLLABLE_S) * SAMPLE_RATE)
    glide = pitch_hz * np.exp(rng.normal(0, 0.12)) * np.linspace(1.06, 0.94, count)
    phase = np.cumsum(glide / SAMPLE_RATE)
    voice = np.diff(np.floor(phase), prepend=0.0)  # a pulse at each closing of the glottis
    voice = lfilter([1.0], [1.0, -0.9], voice)  # whose spectrum falls
    for (low, high), width_hz in zip(FORMANTS_HZ, BANDWIDTHS_HZ, strict=True):
        radius = np.exp(-np.pi * width_hz / SAMPLE_RATE)
        angle = 2 * np.pi * rng.uniform(low, high) * tract / SAMPLE_RATE
        denominator = [1.0, -2 * radius * np.cos(angle), radius**2]
        voice = lfilter([sum(denominator)], denominator, voice)
    return _ramped(voice / max(float(voice.std()), 1e-9)) * 10 ** (rng.uniform(-14, 0) / 20)


def _ramped(sound: np.ndarray) -> np.ndarray:
    ramp = min(round(RAMP_S * SAMPLE_RATE), len(sound) // 2)
    rise = 0.5 - 0.5 * np.cos(np.pi * (np.arange(ramp) + 0.5) / ramp)
    sound[:ramp] *= rise
    sound[len(sound) - ramp :] *= rise[::-1]
    return sound


def write_tracks(
    data_dir: Path, *, clips: int, seconds: float, seed: int, progress: Progress = silent
) -> list[Path]:
    """Writes drawn heads as run_pipeline.py leaves face tracks, a video each.

    Args:
        data_dir: `pycrop/drawn000/00000.avi` and so on are written here.
        clips: how many.
        seconds: length of each.
        seed: of everything random; another seed gives other people.
        progress: called after each.

    Returns:
        The files, in order.

    Raises:
        InputError: the folder cannot be written.
    """
    frames = round(seconds * FRAME_RATE)
    files = []
    for number in range(clips):
        rng = np.random.default_rng((seed, number))
        file = Workspace(data_dir, f"drawn{number:03d}").crop(0)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"--data_dir {data_dir} cannot be written ({error.strerror}); "
                "choose another folder."
            ) from error
        samples = babble(rng, seconds=frames * SAMPLES_PER_FRAME / SAMPLE_RATE)
        write_track(file, drawn_clip(rng, samples, frames=frames, size_px=CROP_PX), samples)
        files.append(file)
        progress("heads drawn", number + 1, clips)
    return files


def write_track(file: Path, pictures: np.ndarray, samples: np.ndarray) -> None:
    """Writes one face track with its sound.

    Args:
        file: `DATA_DIR/pycrop/REFERENCE/00000.avi` or the like, in a folder that is there.
        pictures: (T, 224, 224, 3) uint8 BGR.
        samples: (n,) int16 mono 16 kHz; none for a silent track.
    """
    with tempfile.TemporaryDirectory() as passing:
        sound = Path(passing) / "sound.s16"
        samples.tofile(sound)
        with encode.VideoWriter(
            file, size_px=(CROP_PX, CROP_PX), audio=sound if samples.size else None
        ) as writer:
            for picture in pictures:
                writer.write(picture)


def build_parser() -> argparse.ArgumentParser:
    """Flags of the command."""
    parser = cli.plain_parser(__doc__, program="python -m training.drawn_tracks")
    parser.add_argument("--data_dir", type=Path, default=Path("data/drawn"), help="Results folder.")
    parser.add_argument("--clips", type=int, default=40, help="How many, each a video of its own.")
    parser.add_argument("--seconds", type=float, default=8.0, help="Length of each.")
    parser.add_argument("--seed", type=int, default=1, help="Another seed gives other people.")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Writes the tracks and says where."""
    args = build_parser().parse_args(argv)
    if args.clips < 1 or not 1 <= args.seconds <= 600 or args.seed < 0:
        raise InputError(
            "--clips must be at least 1, --seconds 1 to 600 and --seed not negative; see --help."
        )
    with cli.progress_bars() as progress:
        files = write_tracks(
            args.data_dir,
            clips=args.clips,
            seconds=args.seconds,
            seed=args.seed,
            progress=progress,
        )
    print(f"{len(files)} clips of {args.seconds:g} s: {files[0]} to {files[-1]}")
    return 0


if __name__ == "__main__":
    sys.exit(cli.run(main))
