"""Chosen tracks of a video given new mouths for new audio: what run_wav2lip.py does, in order."""

import functools
from collections.abc import Iterator
from dataclasses import asdict, astuple, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch

from models import folding, weights
from models.errors import InvalidOption
from models.options import check_choice, check_fields, check_number
from models.precision import precision_name
from models.syncnet import PUBLISHED as PUBLISHED_SYNCNET
from models.weights import WeightsUsed
from pipeline import cli
from pipeline.dub import generate, source_frames
from pipeline.dub.driving_audio import Voice, read_voice
from pipeline.dub.face_path import FacePath, Pads
from pipeline.dub.generate import Generator, Part
from pipeline.dub.score import score_dubbed
from pipeline.dub.source_frames import Fit
from pipeline.errors import InputError
from pipeline.faces.tracks import Track
from pipeline.media import decode
from pipeline.media.mp4 import Mp4Writer, Sound
from pipeline.store import provenance, workspace
from pipeline.store.workspace import Workspace
from pipeline.sync import speaking

TrackWord = Literal["all", "speaking"]
TRACK_WORDS: tuple[str, ...] = get_args(TrackWord)


@dataclass(frozen=True)
class DubOptions:
    """Settings of one run; names are those of the flags.

    Attributes:
        audio: file for each track number; None stands for all that have no own.
        tracks: "all", "speaking", or numbers.
        fit: whether the video or the audio says how long the output is; "loop" as audio, but a
            video that is too short goes back and forth instead of standing still.
        pads: added to the detector's boxes.
        blend: only mouth and jaw, without an edge; else the whole face as upstream pastes it.
        silence_gate: mouths close where nobody speaks.
        keep_background: dB at which the video's own sound stays underneath other sound; None
            leaves it out.
        checkpoint: generator weights, or "auto".
        batch_size: faces in one pass.
    """

    audio: dict[int | None, Path] = field(default_factory=dict)
    tracks: TrackWord | tuple[int, ...] = "all"
    fit: Fit = "video"
    pads: Pads = field(default_factory=Pads)
    blend: bool = True
    silence_gate: bool = True
    keep_background: float | None = None
    checkpoint: str | Path = "auto"
    batch_size: int = 16

    def __post_init__(self) -> None:
        check_fields(self)
        if not isinstance(self.audio, dict):
            raise InvalidOption("audio", self.audio, "files by track number")
        for number in self.audio:
            check_number("audio", number, whole=True, least=0, optional=True)
        check_tracks(self.tracks)
        check_number("batch_size", self.batch_size, least=1)


def check_tracks(tracks: object) -> None:
    """Checks what says which tracks are meant.

    Raises:
        InputError: it is neither a word for them nor a tuple of numbers, or names one twice.
    """
    if not isinstance(tracks, tuple | list) or not tracks:
        check_choice("tracks", tracks, TRACK_WORDS, others=("track numbers",))
        return
    for number in tracks:
        check_number("tracks", number, whole=True, least=0)
    if len(set(tracks)) < len(tracks):
        raise InvalidOption("tracks", tracks, "every number once")


@dataclass(frozen=True)
class Dubbed:
    """What a run made.

    Attributes:
        video: the file.
        frames: how many it has.
        regenerated: frames with a new mouth, by track.
        notices: sentences for the user.
        scores: of each track before and after, where they were asked for.
    """

    video: Path
    frames: int
    regenerated: dict[int, int]
    notices: list[str]
    scores: dict[str, dict[str, Any]]

    def report(self) -> Iterator[str]:
        """Lines for the user."""
        yield from self.notices
        for number, count in sorted(self.regenerated.items()):
            yield f"track {number}: new mouth on {count} of {self.frames} frames"
        for track, pair in self.scores.items():
            for name in ("original", "regenerated"):
                found = pair[name]
                shown = (
                    f"LSE-D {found['lse_d']:.3f}, LSE-C {found['lse_c']:.3f}, "
                    f"offset {found['offset_frames']}"
                    if found
                    else "nothing to compare"
                )
                yield f"track {track} {name}: {shown}"
        if not self.regenerated:
            yield "No frame was changed: the chosen tracks are not on any frame shown."
        yield f"{self.frames} frames in {self.video}"


@dataclass(frozen=True)
class Source:
    """The video that is dubbed: the user's own file while it is there and unchanged.

    Attributes:
        path: of the file.
        frame_rate: of the output; every frame of the source has a place at it.
        size_px: (width, height).
        colour, sar: how its pixels stand for colours, and their width to height.
        audio_stream: index of the sound run_pipeline.py used among its sounds; None without any.
        duration_s: the header's claim.
    """

    path: Path
    frame_rate: float
    size_px: tuple[int, int]
    colour: decode.Colour
    sar: Fraction
    audio_stream: int | None
    duration_s: float | None


def dub(
    place: Workspace,
    options: DubOptions,
    *,
    device: torch.device,
    video: Path | None = None,
    score: bool = False,
) -> Dubbed:
    """Writes video_wav2lip.mp4 and wav2lip.json.

    Args:
        place: where run_pipeline.py has been (and run_syncnet.py, for the measured offset and for
            "speaking").
        options: settings.
        device: where the networks run.
        video: where the input of run_pipeline.py is now; None: where it was.
        score: compare lips and sound before and after, too.

    Raises:
        InputError: a stage is missing, there is no such track, or an audio file has no sound.
        PipelineError: reading or writing failed.
    """
    with place.opened():
        source, notices = find_source(place, video)
        tracks = [track for track, _ in place.read_tracks(frame_size_px=source.size_px)]
        chosen = choose(place, tracks, options.tracks)
        voices, sounds = _voices(place, source, chosen, options)
        notices += _corrections(source, sounds)
        parts = _parts(place, source, tracks, voices, chosen, options)
        frames = _length(source, voices, options.fit)
        model, used = weights.load_wav2lip(options.checkpoint, device=device)
        generator = Generator(folding.fold_batch_norms(model), device, options.batch_size)
        with place.collecting() as staging:
            written, counts = _render(
                staging, source, parts, sounds, generator, frames=frames, options=options
            )
            result = Dubbed(place.dubbed_video, written, counts, notices, scores={})
            record = _record(result, source, sounds, options) | _made_by(model, used, device)
            workspace.write_json(staging.dubbed_record, record)
            place.commit_files(
                f"pyavi/{place.dubbed_video.name}", f"pywork/{place.dubbed_record.name}"
            )
        if score:
            result.scores.update(score_dubbed(place, place.dubbed_video, voices, device=device))
            workspace.write_json(place.dubbed_record, record | {"scores": result.scores})
    return result


def find_source(place: Workspace, given: Path | None = None) -> tuple[Source, list[str]]:
    """The input of run_pipeline.py, else video.avi of the workspace.

    Args:
        place: where run_pipeline.py has been.
        given: looked at before the place where the input was.

    Returns:
        The video, and sentences for the user.

    Raises:
        InputError: there is neither, or `given` is another video.
    """
    record, notices = place.read_record() or {}, []
    path = place.video
    if original := record.get("file"):
        identity = record.get("input", {})
        if given is not None and given.is_file() and not _is_input(given, identity):
            raise InputError(
                f"{given} is not what run_pipeline.py was given for {place.reference}; "
                "run it again, or leave --videofile out."
            )
        places = [file for file in (given, *_recorded_places(place, original)) if file is not None]
        path = next((file for file in places if _is_input(file, identity)), place.video)
        if path == place.video:
            notices = [
                f"{places[0]} is gone or changed: {place.video} is dubbed instead; "
                "--videofile can say where it is now."
            ]
    if not path.is_file():
        raise InputError(f"{path} is not there; run run_pipeline.py again with --overwrite.")
    # video.avi carries only the sound that was used.
    used = (record.get("sound") or {}).get("audio_stream") if path != place.video else None
    info = decode.probe(path, audio_stream=used)
    source = Source(
        path=path,
        frame_rate=float(_output_rate(path, info)),
        size_px=(info.width_px, info.height_px),
        colour=info.colour,
        sar=info.sar,
        audio_stream=info.audio_stream,
        duration_s=info.duration_s,
    )
    return source, notices


def _output_rate(path: Path, info: decode.MediaInfo) -> Fraction:
    stated = source_frames.exact_rate(info.frame_rate) if info.frame_rate else None
    return source_frames.output_rate(decode.frame_times_s(path, info=info), stated_rate=stated)


def _recorded_places(place: Workspace, original: str) -> list[Path]:
    """Where the input may be: older records hold a path from where the run was started."""
    folders = [] if Path(original).is_absolute() else place.data_dir.resolve().parents
    return [Path(original), *(folder / original for folder in folders)]


def _is_input(file: Path, identity: dict[str, Any]) -> bool:
    return (
        file.is_file()
        and file.stat().st_size == identity.get("bytes")
        and weights.sha256(file) == identity.get("sha256")
    )


def choose(
    place: Workspace, tracks: list[Track], wanted: TrackWord | tuple[int, ...]
) -> dict[int, np.ndarray]:
    """Chosen tracks, and on which of its frames each is regenerated.

    Returns:
        Track number to (frames,) bool.

    Raises:
        InputError: `wanted` means nothing, there is no such track, or none speaks.
    """
    check_tracks(wanted)
    if not tracks:
        raise InputError(f"{place.tracks} holds no track; see what run_pipeline.py said.")
    if wanted == "speaking":
        return _speakers(place, tracks)
    numbers = tuple(range(len(tracks))) if isinstance(wanted, str) else wanted
    for number in numbers:
        if not 0 <= number < len(tracks):
            raise InputError(
                f"--tracks {number}: {place.reference} has tracks 0 to {len(tracks) - 1}."
            )
    return {number: np.ones(len(tracks[number].frames), bool) for number in numbers}


def _speakers(place: Workspace, tracks: list[Track]) -> dict[int, np.ndarray]:
    rows, scored = place.read_offsets(), place.read_distances()
    if not len(rows) == len(scored) == len(tracks):
        raise InputError(
            f"{len(tracks)} tracks but scores for {len(scored)}; run run_syncnet.py again."
        )
    found = {}
    row_of = {row.get("track"): row for row in rows}
    if row_of.keys() != set(range(len(tracks))):
        raise InputError(f"{place.offsets_json} has other tracks; run run_syncnet.py again.")
    for number, (track, dists) in enumerate(zip(tracks, scored, strict=True)):
        row = row_of[number]
        spoken = speaking.speaking(
            dists,
            frames=len(track.frames),
            reliable_confidence=float(
                row.get("reliable_confidence") or PUBLISHED_SYNCNET.reliable_confidence
            ),  # an older offsets.json does not say it
            reliable_margin=float(row.get("reliable_margin") or 0),
            frame_rate=place.read_frame_rate(),
        )
        if spoken.any():
            found[number] = spoken
    if not found:
        raise InputError(f"No track of {place.reference} speaks; choose some by --tracks.")
    return found


def _voices(
    place: Workspace, source: Source, chosen: dict[int, np.ndarray], options: DubOptions
) -> tuple[dict[int, Voice], list[Sound]]:
    """The voice of every chosen track, and what is heard in the output."""
    unknown = [n for n in options.audio if n is not None and n not in chosen]
    if unknown:
        raise InputError(f"--audio {unknown[0]}=...: track {unknown[0]} is not among --tracks.")
    given = {number: options.audio.get(number, options.audio.get(None)) for number in chosen}
    own = [number for number, path in given.items() if path is None]
    if own and source.audio_stream is None:
        raise InputError(f"{source.path} has no sound; give some by --audio.")
    own_delay_s = _own_delay_s(place, own)
    own_sound = Sound(source.path, own_delay_s, audio_stream=source.audio_stream)
    sound_of = {
        number: Sound(path) if path is not None else own_sound for number, path in given.items()
    }
    voices = {
        sound: read_voice(
            sound.path,
            delay_s=sound.delay_s,
            silence_gate=options.silence_gate,
            audio_stream=sound.audio_stream,
        )
        for sound in dict.fromkeys(sound_of.values())
    }
    sounds = list(voices)
    if options.keep_background is not None and source.audio_stream is not None and not own:
        sounds.append(Sound(source.path, 0.0, options.keep_background, source.audio_stream))
    return {number: voices[sound] for number, sound in sound_of.items()}, sounds


def _own_delay_s(place: Workspace, tracks: list[int]) -> float:
    """By how much the video's own sound must come later to be in sync with the surest track.

    One delay for all: the sound is heard once, and every mouth follows what is heard.
    """
    if not tracks or not place.offsets_json.is_file():
        return 0.0
    rows = [
        row for row in place.read_offsets() if row.get("track") in tracks and row.get("reliable")
    ]
    if not rows:
        return 0.0
    # An offset above 0 says that the sound leads.
    return float(max(rows, key=lambda row: row["confidence"])["offset_ms"]) / 1000


def _corrections(source: Source, sounds: list[Sound]) -> list[str]:
    return [
        f"The sound of {source.path} comes {abs(sound.delay_s) * 1000:.0f} ms "
        f"{'later' if sound.delay_s > 0 else 'earlier'}, as its lips do."
        for sound in sounds
        if sound.delay_s
    ]


def _parts(
    place: Workspace,
    source: Source,
    tracks: list[Track],
    voices: dict[int, Voice],
    chosen: dict[int, np.ndarray],
    options: DubOptions,
) -> list[Part]:
    width, height = source.size_px
    if max(astuple(options.pads)) > max(width, height):
        raise InputError(f"--pads reach beyond a picture of {width}x{height}; see --help.")
    rate = place.read_frame_rate()
    return [
        Part(
            number,
            FacePath(
                tracks[number], frame_rate=rate, pads=options.pads, frame_size_px=source.size_px
            ),
            voices[number],
            spoken,
        )
        for number, spoken in chosen.items()
    ]


def _length(source: Source, voices: dict[int, Voice], fit: Fit) -> int | None:
    if fit == "video":
        return None
    return max(1, round(max(voice.end_s for voice in voices.values()) * source.frame_rate))


def _render(
    staging: Workspace,
    source: Source,
    parts: list[Part],
    sounds: list[Sound],
    generator: Generator,
    *,
    frames: int | None,
    options: DubOptions,
) -> tuple[int, dict[int, int]]:
    """Writes the video; gives how many frames it has, and how many were changed by track."""
    rate, kept = source.frame_rate, staging.scratch / "shown"
    kept.mkdir()
    shown = source_frames.playback(
        source.path,
        frame_rate=rate,
        frames=frames,
        fit=options.fit,
        kept=kept,
        read=functools.partial(decode.read_planes, size_px=source.size_px),
    )
    made = generate.regenerated(
        shown,
        parts,
        generator,
        size_px=source.size_px,
        frame_rate=rate,
        matrix=source.colour.matrix,
        blended=options.blend,
    )
    return _write(staging, source, made, sounds, total=frames)


def _write(
    staging: Workspace,
    source: Source,
    made: Iterator[tuple[np.ndarray, list[int]]],
    sounds: list[Sound],
    *,
    total: int | None,
) -> tuple[int, dict[int, int]]:
    counts: dict[int, int] = {}
    written = 0
    guess = round(source.duration_s * source.frame_rate) if source.duration_s else None
    with (
        Mp4Writer(
            staging.dubbed_video,
            size_px=source.size_px,
            frame_rate=source.frame_rate,
            sounds=sounds,
            pixels="yuv420p",
            colour=source.colour,
            sar=source.sar,
        ) as writer,
        cli.progress("new mouths", total or guess) as bar,
    ):
        for buffer, changed in made:
            writer.write(buffer)
            written += 1
            for number in changed:
                counts[number] = counts.get(number, 0) + 1
            bar.update(1)
    return written, counts


def _made_by(model: torch.nn.Module, used: WeightsUsed, device: torch.device) -> dict[str, Any]:
    """Weights, resolved precision, device, versions: how the mouths were made."""
    return {
        "generator": asdict(used),
        "precision": precision_name(next((p.dtype for p in model.parameters()), torch.float32)),
        "device": str(device),
        "versions": provenance.versions(),
    }


def _record(
    result: Dubbed, source: Source, sounds: list[Sound], options: DubOptions
) -> dict[str, Any]:
    settings = asdict(options) | {
        "audio": {
            "all" if number is None else str(number): str(path)
            for number, path in options.audio.items()
        },
        "checkpoint": str(options.checkpoint),
    }
    return {
        "source": str(source.path),
        "frame_rate": source.frame_rate,
        "frames": result.frames,
        "regenerated": {str(track): count for track, count in result.regenerated.items()},
        "sounds": [asdict(sound) | {"path": str(sound.path)} for sound in sounds],
        "settings": settings,
        "notices": result.notices,
    }
