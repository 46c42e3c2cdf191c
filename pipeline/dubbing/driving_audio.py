"""Features of the driving audio, with a silence gate: mel, and cepstra for who hears these."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.ndimage import binary_dilation, uniform_filter1d

from models import features, speech2vid, voice
from models.features import (
    COLUMN_SAMPLES,
    COLUMN_STEP,
    MEL_LIMIT,
    MEL_RATE,
    MEL_STEP,
    MEL_WINDOW_COLUMNS,
    SAMPLE_RATE,
)
from pipeline.errors import InputError
from pipeline.media import decode

# Percentiles of the level over time: loud speech of this recording, and the noise of its pauses.
SPEECH_PERCENTILE, PAUSE_PERCENTILE = 95, 10
SILENCE_BELOW_SPEECH_DB = (35.0, 20.0)  # always silence from, never silence above
ABOVE_PAUSES_DB = 6.0  # between these two: speech stands out of the pauses by so much
QUIETEST_SPEECH_DB = -60.0  # below full scale; a recording without anything louder is silence
LEVEL_S = 0.04  # the level is that of so long a stretch
FULL_SCALE = 32_768  # of int16
HANGOVER_S = 0.12  # kept before and after speech: lips part before they sound


@dataclass(frozen=True)
class Voice:
    """Sound for one mouth, and for the ears.

    Attributes:
        path: file it comes from.
        delay_s: its start on the output's clock; below 0 its beginning is cut off.
        mel: (80, 16 + columns + 16) float32, the file from its own start between two silences as
            long as a window: lips close before they speak and after.
        duration_s: of the file.
        cepstra: (12, columns) float32 where the generator hears these, see models/speech2vid.py.
        audio_stream: index among the file's sound streams; None for the one players take.
    """

    path: Path
    delay_s: float
    mel: np.ndarray
    duration_s: float
    cepstra: np.ndarray | None = None
    audio_stream: int | None = None

    @property
    def end_s(self) -> float:
        """When it ends on the output's clock."""
        return self.delay_s + self.duration_s

    def samples(self) -> np.ndarray:
        """(n,) int16 of the same sound as it is in the file, mono 16 kHz, from its own start."""
        return _samples(self.path, self.audio_stream)

    def windows(self, times_s: np.ndarray) -> np.ndarray:
        """What the generator hears at some times of the output.

        Args:
            times_s: (N,) on the output's clock.

        Returns:
            `mel_windows`, or (N, 1, 12, 20) float32 where there are cepstra; silence before the
            sound starts and after it has ended.
        """
        if self.cepstra is None:
            return self.mel_windows(times_s)
        return speech2vid.windows_around(self.cepstra, np.asarray(times_s) - self.delay_s)

    def mel_windows(self, times_s: np.ndarray) -> np.ndarray:
        """The mel features from some times of the output on.

        Args:
            times_s: (N,) on the output's clock.

        Returns:
            (N, 1, 80, 16) float32.
        """
        last = self.mel.shape[1] - MEL_WINDOW_COLUMNS
        own_s = np.asarray(times_s) - self.delay_s + MEL_WINDOW_COLUMNS / MEL_RATE
        own_s = own_s.clip(0, last / MEL_RATE)
        # Only the columns asked for: `mel_windows` copies what it is given.
        first = int(own_s.min() * MEL_RATE)
        end = int(own_s.max() * MEL_RATE) + MEL_WINDOW_COLUMNS + 1
        return features.mel_windows(self.mel[:, first:end], own_s - first / MEL_RATE)


def read_voice(
    path: Path,
    *,
    delay_s: float = 0.0,
    silence_gate: bool = True,
    audio_stream: int | None = None,
    with_cepstra: bool = False,
    separate_voice: bool = False,
) -> Voice:
    """Reads a sound file, or the sound of a video.

    Args:
        path: anything ffmpeg reads as audio.
        delay_s: when it starts on the output's clock.
        silence_gate: replace pauses by silence, so that the mouth closes there instead of
            following background noise.
        audio_stream: index among its sound streams; None for the one players take.
        with_cepstra: for a generator that hears these.
        separate_voice: take out what plays behind the voice, for generators that were trained so.

    Raises:
        InputError: there is no sound in it.
    """
    samples = _samples(path, audio_stream)
    if not samples.size:
        raise InputError(f"{path} has no sound; give a file with some to --audio.")
    if separate_voice:
        samples = voice.separate_voice(samples)
    mel = features.mel(samples, silence_columns=MEL_WINDOW_COLUMNS)
    cepstra = speech2vid.cepstra(features.mfcc(samples)) if with_cepstra else None
    if silence_gate:
        spoken = speech(samples)
        mel[:, MEL_WINDOW_COLUMNS:-MEL_WINDOW_COLUMNS][:, ~spoken] = -MEL_LIMIT
        if cepstra is not None:
            middles = np.arange(cepstra.shape[1]) * COLUMN_STEP + COLUMN_SAMPLES // 2
            cepstra[:, ~spoken[(middles // MEL_STEP).clip(max=len(spoken) - 1)]] = 0
    return Voice(path, delay_s, mel, len(samples) / SAMPLE_RATE, cepstra, audio_stream)


def _samples(path: Path, audio_stream: int | None) -> np.ndarray:
    return decode.read_audio(path, info=decode.probe(path, audio_stream=audio_stream))


def speech(samples: np.ndarray) -> np.ndarray:
    """Where somebody speaks, by level alone.

    Args:
        samples: (n,) int16 mono 16 kHz.

    Returns:
        (1 + n // 200,) bool, one value per mel column.
    """
    blocks = samples[: len(samples) // MEL_STEP * MEL_STEP].reshape(-1, MEL_STEP)
    rest = samples[blocks.size :].astype(np.float32)
    # Without a copy of all samples as floats: hours of sound are read here.
    energy = np.append(np.einsum("ij,ij->i", blocks, blocks, dtype=np.float32), rest @ rest)
    level = uniform_filter1d(energy / (MEL_STEP * FULL_SCALE**2), max(1, round(LEVEL_S * MEL_RATE)))
    level_db = 10 * np.log10(level + 1e-12)
    reach = round(HANGOVER_S * MEL_RATE)
    spoken: np.ndarray = binary_dilation(
        level_db > _speech_from_db(level_db), np.ones(2 * reach + 1, bool)
    )
    return spoken


def _speech_from_db(level_db: np.ndarray) -> float:
    audible = level_db[level_db > QUIETEST_SPEECH_DB]
    if not audible.size:
        return QUIETEST_SPEECH_DB
    loud, pauses = np.percentile(audible, [SPEECH_PERCENTILE, PAUSE_PERCENTILE])
    lowest, highest = (loud - below for below in SILENCE_BELOW_SPEECH_DB)
    return max(float(np.clip(pauses + ABOVE_PAUSES_DB, lowest, highest)), QUIETEST_SPEECH_DB)
