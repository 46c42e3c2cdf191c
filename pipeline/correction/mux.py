"""The corrected file: the picture and all other streams copied, the moved sounds beside them."""

from dataclasses import dataclass
from pathlib import Path

from pipeline.correction.container import Container, Encoding, encoding_of, takes
from pipeline.correction.plan import Plan
from pipeline.correction.sound import (
    Decoded,
    decode_sounds,
    other_streams,
    stretch_filters,
    write_moved,
)
from pipeline.correction.streams import Header, Stream, read_header
from pipeline.errors import InputError
from pipeline.media import process
from pipeline.media.probe import MediaInfo
from pipeline.media.process import decodable_codecs, input_words


@dataclass(frozen=True)
class Job:
    """A copy that is to be written.

    Attributes:
        source: the original.
        info: its probe.
        header: its header.
        out: what the copy will be called.
        target: the file that is written.
        container: its kind.
        folder: for passing files.
    """

    source: Path
    info: MediaInfo
    header: Header
    out: Path
    target: Path
    container: Container
    folder: Path


@dataclass(frozen=True)
class Copy:
    """What was written.

    Attributes:
        notices: sentences for the user: what was left out or changed.
        sounds: number among the copy's sounds, by that among the source's.
        extents_s: when each sound of the source starts and ends, seconds of the video; none where
            the sounds were copied.
    """

    notices: list[str]
    sounds: dict[int, int]
    extents_s: dict[int, tuple[float, float]]


@dataclass(frozen=True)
class _Sound:
    """A moved sound of the copy: its stream in the source, and how it is encoded from which file.

    A copied one has neither.
    """

    stream: Stream
    wav: Path | None = None
    encoding: Encoding | None = None
    filters: str = ""


def write_copy(
    source: Path,
    info: MediaInfo,
    plan: Plan,
    *,
    out: Path,
    target: Path,
    container: Container,
    folder: Path,
) -> Copy:
    """Writes a file with its sound put right; its picture is copied bit for bit.

    Args:
        source: the file.
        info: its probe.
        plan: what is done with its sounds, all of them alike.
        out: what the copy will be called, for sentences.
        target: file to write.
        container: its kind.
        folder: an existing folder for passing files.

    Raises:
        InputError: the container cannot hold the picture, or its turn.
        PipelineError: reading or writing failed.
    """
    job = Job(source, info, read_header(source), out, target, container, folder)
    _check_avi(job)
    copies, notices = _other_streams_held(job)
    extents_s: dict[int, tuple[float, float]] = {}
    sounds = _copied_sounds(job, plan)
    if sounds is None:
        sounds, extents_s, more = _moved_sounds(job, plan)
        notices += more
    process.run(_words(job, copies, sounds), f"Writing {out}", source=source, files=[target])
    _check_turn(job)
    numbers = {stream.index: n for n, stream in enumerate(job.header.sounds)}
    order = {numbers[index]: n for n, index in enumerate(sorted(sounds))}
    return Copy(notices, order, extents_s)


def _check_avi(job: Job) -> None:
    """Refuses to copy a picture between an AVI and a file with times.

    AVI counts pictures in the order of decoding, so nothing can start late in one, and of reordered
    pictures out of one nobody knows when each is shown.

    Raises:
        InputError: it would be moved.
    """
    from_avi, to_avi = job.info.format_name == "avi", job.container.format == "avi"
    reordered = job.info.first_picture_us != job.info.zero_us
    if from_avi != to_avi and (to_avi or reordered):
        raise InputError(
            f"The picture of {job.source} cannot be copied into {job.out}, as AVI stores no times; "
            f"give a name that ends in {job.source.suffix}."
        )


def _other_streams_held(job: Job) -> tuple[dict[int, str], list[str]]:
    """How each stream that is no sound is held, and what is left out."""
    copies: dict[int, str] = {}
    notices = []
    has_picture = False
    for stream in job.header.streams:
        if stream.kind == "Audio" or stream.is_remade:
            continue
        encoder = takes(job.container, job.source, stream, job.folder)
        is_picture = stream.kind == "Video" and not stream.is_cover and not has_picture
        has_picture |= is_picture
        if encoder is not None:
            copies[stream.index] = encoder
        elif is_picture:
            raise InputError(
                f"{job.out} cannot hold the picture of {job.source} ({stream.codec}) as it is; "
                f"give a name that ends in {job.source.suffix} or .mkv."
            )
        else:
            notices.append(
                f"{job.out.suffix} cannot hold stream {stream.index} of {job.source} "
                f"({stream.kind}, {stream.codec}): it is left out."
            )
    return copies, notices


def _copied_sounds(job: Job, plan: Plan) -> dict[int, _Sound] | None:
    """The sounds as they are, where they may stay and the container holds them; else None."""
    if not plan.stays:
        return None
    for stream in job.header.sounds:
        if takes(job.container, job.source, stream, job.folder) != "copy":
            return None
    return {stream.index: _Sound(stream) for stream in job.header.sounds}


def _moved_sounds(
    job: Job, plan: Plan
) -> tuple[dict[int, _Sound], dict[int, tuple[float, float]], list[str]]:
    """Every sound moved, when each was heard, and what is left out or encoded otherwise."""
    numbers = {stream.index: n for n, stream in enumerate(job.header.sounds)}
    usable = [stream for stream in job.header.sounds if stream.codec in decodable_codecs()]
    omitted = [stream for stream in job.header.sounds if stream not in usable]
    decoded, zero_s = decode_sounds(job.source, job.header, usable, job.folder)
    sounds, extents_s, notices = {}, {}, []
    for stream, sound in zip(usable, decoded, strict=True):
        encoding = encoding_of(job.container, stream, sound, job.folder)
        if encoding is None:
            omitted.append(stream)
            continue
        if encoding.codec != stream.codec:
            notices.append(
                f"Sound {numbers[stream.index]} of {job.source} ({stream.codec}) becomes "
                f"{encoding.codec}: {job.out.suffix} or this ffmpeg has no other."
            )
        extents_s[numbers[stream.index]] = sound.extent_s(zero_s)
        sounds[stream.index] = _moved(job, plan, stream, sound, encoding, zero_s=zero_s)
        sound.wav.unlink()
    notices += [
        f"Sound {numbers[stream.index]} of {job.source} ({stream.codec}) cannot be moved: it is "
        "left out."
        for stream in omitted
    ]
    return sounds, extents_s, notices


def _moved(
    job: Job, plan: Plan, stream: Stream, sound: Decoded, encoding: Encoding, *, zero_s: float
) -> _Sound:
    skip_samples = 0 if job.container.marks_lead else encoding.encoder.lead_samples
    wav = job.folder / f"moved{stream.index}.wav"
    write_moved(sound, plan, wav, zero_s=zero_s, skip_samples=skip_samples)
    filters = ""
    if plan.speed != 1:
        filters = stretch_filters(sound, plan.speed, samples=sound.samples - skip_samples)
    return _Sound(stream, wav, encoding, filters)


def _words(job: Job, copies: dict[int, str], sounds: dict[int, _Sound]) -> list[str | Path]:
    """ffmpeg's command line; streams keep their order."""
    inputs: list[str | Path] = [*input_words(job.source)]
    outputs: list[str | Path] = ["-map_metadata", "0", "-map_chapters", "0"]
    copied: list[int] = []
    files = 1
    for number, index in enumerate(sorted([*copies, *sounds])):
        sound = sounds.get(index)
        if sound is None or sound.wav is None or sound.encoding is None:
            copied.append(index)
            outputs += ["-map", f"0:{index}", f"-c:{number}", copies.get(index, "copy")]
        else:
            # The lengths in its header are those before it was moved.
            inputs += ["-f", "wav", "-ignore_length", "1", *input_words(sound.wav)]
            outputs += ["-map", f"{files}:a:0", *sound.encoding.words(number)]
            outputs += [f"-disposition:{number}", "+".join(sound.stream.dispositions) or "0"]
            outputs += [f"-filter:{number}", sound.filters] if sound.filters else []
            files += 1
        outputs += [f"-map_metadata:s:{number}", f"0:s:{index}"]
    outputs += ["-max_muxing_queue_size", "4096", *job.container.words(job.header), job.target]
    return [*inputs, *outputs, *other_streams(job.header, copied)]


def _check_turn(job: Job) -> None:
    """Refuses a copy that would be played lying on its side.

    Raises:
        InputError: the container has no word for it, or this ffmpeg does not write it.
    """
    if read_header(job.target).turned != job.header.turned:
        raise InputError(
            f"{job.out} cannot say that the picture of {job.source} is turned "
            f"({job.header.turned}); give a name that ends in .mp4 or .mov."
        )
