"""What is dubbed: the settings, the source, the chosen tracks and what they say."""

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from models.errors import InvalidOption
from models.options import check_choice, check_fields, check_number
from models.syncnet import PUBLISHED as PUBLISHED_SYNCNET
from pipeline.dubbing import source_frames
from pipeline.dubbing.driving_audio import Voice, read_voice
from pipeline.dubbing.face_path import Pads
from pipeline.dubbing.source_frames import Fit
from pipeline.errors import InputError
from pipeline.faces.tracks import Track
from pipeline.media import decode
from pipeline.media.mp4 import Sound
from pipeline.speakers.one_face import speaking
from pipeline.store.provenance import is_file_of
from pipeline.store.workspace import Workspace

TrackWord = Literal["all", "speaking"]
TRACK_WORDS: tuple[str, ...] = get_args(TrackWord)
TextureWord = Literal["own", "none"]
TEXTURES: tuple[str, ...] = get_args(TextureWord)


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
        texture: whose pixels new mouths have: "own" takes the person's from other frames, "none"
            shows what the generator draws.
        texture_video: file of the same person with more of such frames; None takes the track's.
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
    texture: TextureWord = "own"
    texture_video: Path | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        check_choice("texture", self.texture, TEXTURES)
        if not isinstance(self.audio, dict):
            raise InvalidOption("audio", self.audio, "files by track number")
        for number in self.audio:
            check_number("audio", number, whole=True, least=0, optional=True)
        check_tracks(self.tracks)
        check_number("batch_size", self.batch_size, least=1)


def check_audio(file: Path) -> Path:
    """A file of new sound, as it was given.

    Raises:
        InputError: it is not there.
    """
    if not file.is_file():
        raise InputError(f"--audio {file} is not a file; give the path of a sound or video.")
    return file


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

    @property
    def claimed_frames(self) -> int | None:
        """How many it has at its rate by its header; None where that says nothing."""
        return round(self.duration_s * self.frame_rate) if self.duration_s else None


def find_source(workspace: Workspace, video_file: Path | None = None) -> tuple[Source, list[str]]:
    """The input of run_pipeline.py, else video.avi of the workspace.

    Args:
        workspace: where run_pipeline.py has been.
        video_file: looked at before the path where the input was.

    Returns:
        The video, and sentences for the user.

    Raises:
        InputError: there is neither, or `given` is another video.
    """
    record, notices = workspace.read_record() or {}, []
    path = workspace.video
    if recorded := workspace.input_paths():
        identity = record.get("input", {})
        if video_file is not None and video_file.is_file() and not is_file_of(video_file, identity):
            raise InputError(
                f"{video_file} is not what run_pipeline.py was given for {workspace.reference}; "
                "run it again, or leave --videofile out."
            )
        candidates = [file for file in (video_file, *recorded) if file]
        path = next((file for file in candidates if is_file_of(file, identity)), workspace.video)
        if path == workspace.video:
            notices = [
                f"{candidates[0]} is gone or changed: {workspace.video} is dubbed instead; "
                "--videofile can say where it is now."
            ]
    if not path.is_file():
        raise InputError(f"{path} is not there; run run_pipeline.py again with --overwrite.")
    # video.avi carries only the sound that was used.
    audio_stream = (
        (record.get("sound") or {}).get("audio_stream") if path != workspace.video else None
    )
    info = decode.probe(path, audio_stream=audio_stream)
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


def choose(
    workspace: Workspace, tracks: list[Track], selection: TrackWord | tuple[int, ...]
) -> dict[int, np.ndarray]:
    """Chosen tracks, and on which of its frames each is regenerated.

    Returns:
        Track number to (frames,) bool.

    Raises:
        InputError: `selection` means nothing, there is no such track, or none speaks.
    """
    check_tracks(selection)
    if not tracks:
        raise InputError(f"{workspace.tracks} holds no track; see the output of run_pipeline.py.")
    if selection == "speaking":
        return _speakers(workspace, tracks)
    numbers = tuple(range(len(tracks))) if isinstance(selection, str) else selection
    for number in numbers:
        if not 0 <= number < len(tracks):
            raise InputError(
                f"--tracks {number}: {workspace.reference} has tracks 0 to {len(tracks) - 1}."
            )
    return {number: np.ones(len(tracks[number].frames), bool) for number in numbers}


def _speakers(workspace: Workspace, tracks: list[Track]) -> dict[int, np.ndarray]:
    rows, scored = workspace.read_offsets(), workspace.read_distances()
    if not len(rows) == len(scored) == len(tracks):
        raise InputError(
            f"{len(tracks)} tracks but scores for {len(scored)}; run run_syncnet.py again."
        )
    speaking_frames = {}
    row_of = {row.get("track"): row for row in rows}
    if row_of.keys() != set(range(len(tracks))):
        raise InputError(f"{workspace.offsets_json} has other tracks; run run_syncnet.py again.")
    decided = workspace.read_speaking()
    if decided and [len(track.scores) for track in decided.tracks] != [
        len(track.frames) for track in tracks
    ]:
        raise InputError(f"{workspace.speaking} has other tracks; run run_syncnet.py again.")
    for number, (track, dists) in enumerate(zip(tracks, scored, strict=True)):
        row = row_of[number]
        if decided:
            spoken = decided.tracks[number].speaks
        else:
            spoken = speaking(
                dists,
                frames=len(track.frames),
                reliable_confidence=float(
                    row.get("reliable_confidence") or PUBLISHED_SYNCNET.reliable_confidence
                ),  # an older offsets.json does not say it
                reliable_margin=float(row.get("reliable_margin") or 0),
                frame_rate=workspace.read_frame_rate(),
            )
        if spoken.any():
            speaking_frames[number] = spoken
    if not speaking_frames:
        raise InputError(f"No track of {workspace.reference} speaks; choose some by --tracks.")
    return speaking_frames


def voices_of(
    workspace: Workspace,
    source: Source,
    chosen: dict[int, np.ndarray],
    options: DubOptions,
    *,
    with_cepstra: bool = False,
    separate_voice: bool = False,
) -> tuple[dict[int, Voice], list[Sound]]:
    """The voice of every chosen track, as its generator hears it, and the sounds of the output."""
    unknown = [n for n in options.audio if n is not None and n not in chosen]
    if unknown:
        raise InputError(f"--audio {unknown[0]}=...: track {unknown[0]} is not among --tracks.")
    files = {number: options.audio.get(number, options.audio.get(None)) for number in chosen}
    own = [number for number, path in files.items() if path is None]
    if own and source.audio_stream is None:
        raise InputError(f"{source.path} has no sound; give some by --audio.")
    own_delay_s = _own_delay_s(workspace, own)
    own_sound = Sound(source.path, own_delay_s, audio_stream=source.audio_stream)
    sound_of = {
        number: Sound(path) if path is not None else own_sound for number, path in files.items()
    }
    voices = {
        sound: read_voice(
            sound.path,
            delay_s=sound.delay_s,
            silence_gate=options.silence_gate,
            audio_stream=sound.audio_stream,
            with_cepstra=with_cepstra,
            separate_voice=separate_voice,
        )
        for sound in dict.fromkeys(sound_of.values())
    }
    sounds = list(voices)
    if options.keep_background is not None and source.audio_stream is not None and not own:
        sounds.append(Sound(source.path, 0.0, options.keep_background, source.audio_stream))
    return {number: voices[sound] for number, sound in sound_of.items()}, sounds


def _own_delay_s(workspace: Workspace, tracks: list[int]) -> float:
    """By how much the video's own sound must come later to be in sync with the surest track.

    One delay for all tracks: the output has one sound, which every mouth follows.
    """
    if not tracks or not workspace.offsets_json.is_file():
        return 0.0
    rows = [
        row
        for row in workspace.read_offsets()
        if row.get("track") in tracks and row.get("reliable")
    ]
    if not rows:
        return 0.0
    # An offset above 0 says that the sound leads.
    return float(max(rows, key=lambda row: row["confidence"])["offset_ms"]) / 1000


def corrections(source: Source, sounds: list[Sound]) -> list[str]:
    return [
        f"The sound of {source.path} comes {abs(sound.delay_s) * 1000:.0f} ms "
        f"{'later' if sound.delay_s > 0 else 'earlier'}, as its lips do."
        for sound in sounds
        if sound.delay_s
    ]
