"""Commands for the results of a page, ready to be typed into a shell."""

import shlex
from dataclasses import dataclass

from pipeline.page.results import Results
from pipeline.page.verdict import Verdict


@dataclass(frozen=True)
class Command:
    """A line to type, and what it does.

    Attributes:
        purpose: what it does.
        words: of the line, as a shell takes them; the page breaks it between words only.
    """

    purpose: str
    words: tuple[str, ...]


def commands_of(results: Results, verdict: Verdict) -> list[Command]:
    """What to do about the video: correct it, re-mouth those who speak."""
    commands = []
    if verdict.correctable:
        commands.append(_correct(results, per_shot=verdict.per_shot))
    speakers = [track.track for track in results.tracks if track.speech_s]
    if speakers:
        numbers = ",".join(map(str, speakers))
        commands.append(
            Command(
                "New mouths for whoever speaks, for new sound",
                _words(results, "run_wav2lip.py", {"audio": "new.wav", "tracks": numbers}),
            )
        )
    return commands


def dub_command(results: Results, track: int) -> Command:
    """New mouths for one track."""
    words = _words(results, "run_wav2lip.py", {"audio": "new.wav", "tracks": str(track)})
    return Command("A new mouth for this face", words)


def _correct(results: Results, *, per_shot: bool) -> Command:
    name = f"{results.workspace.reference}_corrected.mp4"
    flags = {"correct": name} | ({"per_shot": ""} if per_shot else {})
    purpose = "A copy with the sound moved" + (", each shot by itself" if per_shot else "")
    return Command(purpose, _words(results, "run_syncnet.py", flags))


def _words(results: Results, script: str, flags: dict[str, str]) -> tuple[str, ...]:
    where = {
        "reference": results.workspace.reference,
        "data_dir": str(results.workspace.data_dir),
    }
    words = ["python", script]
    for name, value in (where | flags).items():
        if value.startswith("-"):  # else it would be taken for a flag
            words.append(f"--{name}={value}")
        else:
            words += [f"--{name}", value] if value else [f"--{name}"]
    return tuple(map(shlex.quote, words))
