"""Who speaks when as files: speaking.json for programs, speakers.rttm for tools on speakers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

SCORE_DIGITS, TIME_DIGITS = 2, 3
LEAST_SCORE = 0.01  # so that the sign of a score is the decision

Stretches = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class TrackSpeech:
    """When one track speaks.

    Attributes:
        track: its number.
        start_frame: of the video at which it begins.
        scores: (frames of the track,) float: how sure it is that it speaks on each frame, between
            -10 and 10; above 0 where it does.
        speech_s: (start, end) of when it speaks, seconds of the video.
    """

    track: int
    start_frame: int
    scores: np.ndarray
    speech_s: Stretches

    @property
    def speaks(self) -> np.ndarray:
        """(frames of the track,) bool."""
        return np.asarray(self.scores > 0)


@dataclass(frozen=True)
class Speaking:
    """Who speaks when in a video.

    Attributes:
        frame_rate: of its frames, per second.
        frames: how many the video has.
        tracks: in their order.
        nobody_s: (start, end) of audible sound for which no face on screen speaks, seconds.
    """

    frame_rate: int
    frames: int
    tracks: tuple[TrackSpeech, ...]
    nobody_s: Stretches


def signed_scores(scores: np.ndarray, speaks: np.ndarray) -> np.ndarray:
    """Scores whose sign is the decision, as written down.

    Args:
        scores: (frames,) float.
        speaks: (frames,) bool: where pauses are closed and short bursts dropped.
    """
    size = np.maximum(np.abs(scores), LEAST_SCORE)
    rounded: np.ndarray = np.where(speaks, size, -size).round(SCORE_DIGITS)
    return rounded


def to_json(speaking: Speaking) -> dict[str, Any]:
    """The content of speaking.json; docs/formats.md says what each field is."""
    return {
        "frame_rate": speaking.frame_rate,
        "frames": speaking.frames,
        "tracks": [
            {
                "track": track.track,
                "start_frame": track.start_frame,
                "scores": track.scores.tolist(),
                "speech_s": _rounded(track.speech_s),
            }
            for track in speaking.tracks
        ],
        "nobody_s": _rounded(speaking.nobody_s),
    }


def from_json(content: Any) -> Speaking:
    """The inverse of `to_json`.

    Raises:
        LookupError, TypeError or ValueError: it is not what `to_json` gives.
    """
    return Speaking(
        frame_rate=int(content["frame_rate"]),
        frames=int(content["frames"]),
        tracks=tuple(
            TrackSpeech(
                track=int(row["track"]),
                start_frame=int(row["start_frame"]),
                scores=np.array(row["scores"], float).reshape(-1),
                speech_s=_stretches(row["speech_s"]),
            )
            for row in content["tracks"]
        ),
        nobody_s=_stretches(content["nobody_s"]),
    )


def rttm(reference: str, speech_s: Sequence[tuple[int, Stretches]]) -> str:
    """NIST's RTTM: a line per stretch of speech, the track is the speaker.

    Args:
        reference: of the video; spaces in it become underscores, as columns end at spaces.
        speech_s: number and stretches of each track.
    """
    return "".join(
        f"SPEAKER {'_'.join(reference.split())} 1 {start_s:.3f} {end_s - start_s:.3f} "
        f"<NA> <NA> track_{track} <NA> <NA>\n"
        for track, stretches in speech_s
        for start_s, end_s in stretches
    )


def _rounded(stretches_s: Stretches) -> list[list[float]]:
    return [[round(start, TIME_DIGITS), round(end, TIME_DIGITS)] for start, end in stretches_s]


def _stretches(rows: Any) -> Stretches:
    return tuple((float(start), float(end)) for start, end in rows)
