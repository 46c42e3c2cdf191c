"""New mouths as run_wav2lip.py makes them, measured on the video that comes out.

Every face that is long enough is dubbed with the speech of another one. Sound and video are those
of the data folders; nothing is written there.
"""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from scipy.io import wavfile

from models.features import FRAME_RATE, SAMPLE_RATE
from pipeline.dubbing import choose, face_path, generate, stage
from pipeline.dubbing.choose import DubOptions, Source
from pipeline.dubbing.driving_audio import Voice, read_voice
from pipeline.dubbing.face_path import FacePath, Pads, Region
from pipeline.dubbing.generate import DubTrack, Generator
from pipeline.errors import InputError
from pipeline.faces.crops import crop_face, recorded_crop_scale
from pipeline.faces.tracks import CropPath, Track
from pipeline.media import decode, yuv
from pipeline.store.files import write_json
from pipeline.store.workspace import FOLDERS, Workspace
from pipeline.sync.scorer import SyncScorer
from pipeline.texture import traits
from pipeline.texture.library import FacePaths
from pipeline.texture.plan import Planner, TexturedFace
from training.evaluate import choices, mouth_figures
from training.evaluate.choices import Choices
from training.evaluate.mouth_figures import Look, identity_distance

SPEECH_S = 10.0  # of foreign speech, and the shortest track that gets it
LIKENESS_STEP_FRAMES = 3  # every so many are compared with the real ones


@dataclass(frozen=True)
class Speaker:
    """One track of a data folder, and its video.

    Attributes:
        workspace: it is in.
        number: of the track.
        track, crop: where it is.
        source: the video.
        path: where its face is.
    """

    workspace: Workspace
    number: int
    track: Track
    crop: CropPath
    source: Source
    path: FacePath

    @property
    def name(self) -> str:
        """Reference and number."""
        return f"{self.workspace.reference}/{self.number}"

    def samples(self) -> np.ndarray:
        """(n,) int16 of its own sound while it is on screen."""
        info = decode.probe(self.source.path, audio_stream=self.source.audio_stream)
        whole = decode.read_audio(self.source.path, info=info)
        start = round(self.path.start_s * SAMPLE_RATE)
        return whole[start : round(self.path.end_s * SAMPLE_RATE)]


def speakers(data_dirs: list[Path]) -> list[Speaker]:
    """The tracks that are at least `SPEECH_S` long and have sound.

    Raises:
        InputError: there are not two of them.
    """
    long_enough = []
    for workspace in (
        Workspace(folder, path.name)
        for folder in data_dirs
        for path in sorted((folder / "pywork").iterdir())
    ):
        if not workspace.has_results():
            continue
        tracks, rate = workspace.read_tracks(), workspace.read_frame_rate()
        long_tracks = [
            number
            for number, (track, _) in enumerate(tracks)
            if len(track.frames) >= SPEECH_S * rate
        ]
        if not long_tracks:
            continue
        source, _ = choose.find_source(workspace)
        if source.audio_stream is None:
            continue
        for number in long_tracks:
            track, crop = tracks[number]
            path = FacePath(track, frame_rate=rate, pads=Pads(), frame_size_px=source.size_px)
            long_enough.append(Speaker(workspace, number, track, crop, source, path))
    if len(long_enough) < 2:
        raise InputError(f"No two tracks have {SPEECH_S:g} s with sound; give longer videos.")
    return long_enough


def evaluate(
    data_dirs: list[Path],
    generator: Generator,
    judge: SyncScorer,
    *,
    checkpoint: str | Path,
    texture: choose.TextureWord,
    pictures: Path | None,
    seed: int,
) -> dict[str, Any]:
    """The figures of every speaker, and their summary.

    Args:
        data_dirs: results folders of run_pipeline.py, whose videos are still there.
        generator, checkpoint: the generator, and the file it is from.
        judge: scores lips and sound, and compares lower faces.
        texture: as run_wav2lip.py's.
        pictures: folder for the sheet of choices.
        seed: of its order.
    """
    everybody = speakers(data_dirs)
    sheet = Choices(seed=seed)
    rows: dict[str, dict[str, Any]] = {}
    for number, speaker in enumerate(everybody):
        stranger = everybody[(number + len(everybody) // 2) % len(everybody)]
        with tempfile.TemporaryDirectory() as passing:
            options = DubOptions(texture=texture, tracks=(speaker.number,), checkpoint=checkpoint)
            row = foreign(speaker, stranger, options, judge, folder=Path(passing), sheet=sheet)
            if texture == "own":
                row |= redrawn(speaker, generator, judge, folder=Path(passing))
        rows[speaker.name] = row
    if pictures:
        sheet.write(pictures)
    return mouth_figures.summary(list(rows.values())) | {"dubbed": rows}


def foreign(
    speaker: Speaker,
    stranger: Speaker,
    options: DubOptions,
    judge: SyncScorer,
    *,
    folder: Path,
    sheet: Choices,
) -> dict[str, Any]:
    """One face with another's speech: figures of the video that comes out."""
    first = round(speaker.path.start_s * SAMPLE_RATE)
    speech = stranger.samples()[: round(SPEECH_S * SAMPLE_RATE)]
    wav = folder / "speech.wav"
    wavfile.write(wav, SAMPLE_RATE, np.concatenate([np.zeros(first, np.int16), speech]))
    workspace = _copied(speaker.workspace, folder)
    made = stage.dub(
        workspace,
        replace(options, audio={None: wav}, fit="audio"),
        device=judge.device,
        video=speaker.source.path,
    )
    looks, features, scores = {}, {}, {}
    faces: dict[str, list[np.ndarray]] = {"real": [], "new": []}
    videos = {"real": speaker.source.path, "new": made.video}
    for kind, video in videos.items():
        look, embedder = Look(), judge.model.lip_embedder(batch_size=20, with_features=True)
        for tick, (frame, region) in enumerate(_frames(speaker, video)):
            look.add(frame, region)
            if tick % round(SPEECH_S * speaker.source.frame_rate / choices.FRAMES_PER_CLIP) == 9:
                faces[kind].append(choices.face(frame, region))
        for crop in _crops(speaker, video):
            embedder.add(crop)
        lips = embedder.finish()
        sound = speaker.samples() if kind == "real" else speech
        scores[kind] = judge.score_lips(lips, sound[: round(SPEECH_S * SAMPLE_RATE)])
        assert embedder.features is not None
        looks[kind], features[kind] = look, embedder.features.numpy()
    sheet.add(speaker.name, faces["real"], faces["new"])
    real, new = scores["real"], scores["new"]
    assert real and new, f"clips of {SPEECH_S} s have windows"
    return {
        "texture": made.textures.get(str(speaker.number), {}).get("texture", "none"),
        "face_px": speaker.path.at(speaker.path.start_s).size_px[1],  # type: ignore[union-attr]
        "face_sharpness": round(looks["new"].sharpness / looks["real"].sharpness, 3),
        "flicker": round(looks["new"].flicker / looks["real"].flicker, 3),
        "identity": round(identity_distance(features["real"], features["new"]), 3),
        "real_lse_c": round(real.confidence, 3),
        "lse_c": round(new.confidence, 3),
        "offset": new.offset_frames,
    }


def planner_of(
    speaker: Speaker, part: DubTrack, *, folder: Path, stack: ExitStack, device: torch.device
) -> Planner:
    """Plans new mouths of one face.

    Args:
        speaker: whose face it is.
        part: where it gets them, and what it says.
        folder: an existing one for passing files.
        stack: closes them.
        device: where the SyncNet that chooses runs.
    """
    crop_scale = recorded_crop_scale(speaker.workspace)
    paths = FacePaths(part.path, speaker.crop, crop_scale)
    return Planner(
        [TexturedFace(part.track, paths, part.region, part.voice, 0.0)],
        SyncScorer(device=device).model,
        folder=folder,
        stack=stack,
        size_px=speaker.source.size_px,
        frame_rate=speaker.source.frame_rate,
        matrix=speaker.source.colour.matrix,
    )


def beginning(speaker: Speaker, voice: Voice, *, seconds: float) -> DubTrack:
    """The first seconds of a face, which are to say something else."""
    spoken = np.ones(len(speaker.track.frames), bool)
    spoken[round(seconds * speaker.workspace.read_frame_rate()) :] = False
    return DubTrack(speaker.number, speaker.path, voice, spoken)


def redrawn(
    speaker: Speaker, generator: Generator, judge: SyncScorer, *, folder: Path
) -> dict[str, Any]:
    """One face with its own speech, without what is nearer than a second: as alike as it was?

    Neither the own mouths nor the generator's reference are from the moment that is drawn.

    Returns:
        PSNR and SSIM at the face's own size, of own mouths and of the generator alone; and whether
        own mouths are open and closed when the real ones are.
    """
    source, rate = speaker.source, speaker.source.frame_rate
    voice = read_voice(
        source.path,
        audio_stream=source.audio_stream,
        with_cepstra=generator.hears_cepstra,
        separate_voice=generator.model.config.separate_voice,
    )
    end_s = speaker.path.start_s + SPEECH_S
    with ExitStack() as stack:
        part = beginning(speaker, voice, seconds=SPEECH_S)
        planner = planner_of(speaker, part, folder=folder, stack=stack, device=judge.device)
        info = decode.probe(source.path, audio_stream=source.audio_stream)
        libraries = planner.gather(planes(source), decode.read_audio(source.path, info=info))
        distant = Distant(speaker, generator)
        texture = planner.plan(libraries, distant.draw, frames=round(end_s * rate), fit="video")
        if texture[part.track].own is None:
            return {}
        alike: dict[str, list[tuple[float, float]]] = {"own": [], "generator": []}
        openings: dict[str, list[tuple[float, float]]] = {"own": [], "generator": []}
        for name, drawn in (
            ("own", replace(part, texture=texture[part.track])),
            ("generator", replace(part, texture=texture[part.track].without_own())),
        ):
            pairs = zip(planes(source), regenerated(source, drawn, generator, end_s), strict=False)
            for index, (real, (new, changed)) in enumerate(pairs):
                region = speaker.path.at(index / rate)
                if not changed or region is None:
                    continue
                openings[name].append(
                    (_opening(source, real, region), _opening(source, new, region))
                )
                if index % LIKENESS_STEP_FRAMES == 0:
                    one, other = (_mouth(source, buffer, region) for buffer in (real, new))
                    alike[name].append(mouth_figures.likeness(one[0], other[0], one[1]))
    means = {name: np.mean(np.array(pairs), axis=0) for name, pairs in alike.items()}
    figures = {
        f"{name}_{figure}": float(value)
        for name, pair in means.items()
        for figure, value in zip(("psnr_db", "ssim"), pair, strict=True)
    }
    for name, shown in openings.items():
        opened = mouth_figures.opening_figures(*np.array(shown).T)
        figures |= {f"{name}_{figure}": value for figure, value in opened.items()}
    return {name: round(value, 4) for name, value in figures.items()}


def _opening(source: Source, buffer: np.ndarray, region: Region) -> float:
    picture = yuv.picture(buffer, size_px=source.size_px)
    face = face_path.face_at(picture, region, source.colour.matrix)
    return traits.opening(cv2.cvtColor(face, cv2.COLOR_BGR2GRAY))


def planes(source: Source) -> Iterator[np.ndarray]:
    """The frames of a source, as yuv420p buffers."""
    return decode.read_planes(source.path, size_px=source.size_px, frame_rate=source.frame_rate)


def regenerated(
    source: Source, part: DubTrack, generator: Generator, end_s: float
) -> Iterator[tuple[np.ndarray, list[int]]]:
    """The frames of a source up to some time, with new mouths; see `generate.regenerated`."""
    frames = round(end_s * source.frame_rate)
    shown = ((i, b.copy()) for i, b in zip(range(frames), planes(source), strict=False))
    return generate.regenerated(
        shown,
        [part],
        generator,
        size_px=source.size_px,
        frame_rate=source.frame_rate,
        matrix=source.colour.matrix,
        blended=True,
    )


def _mouth(source: Source, buffer: np.ndarray, region: Region) -> tuple[np.ndarray, np.ndarray]:
    picture = yuv.picture(buffer, size_px=source.size_px)
    part = region.inside(picture.y)
    bgr = yuv.cut_bgr(picture, part.rows, part.columns, matrix=source.colour.matrix)
    return mouth_figures.mouth(bgr, region.seen_from(part))


class Distant:
    """A generator whose reference is another frame, half of the ten seconds away."""

    def __init__(self, speaker: Speaker, generator: Generator) -> None:
        source = speaker.source
        regions = (
            (buffer, speaker.path.at(index / source.frame_rate))
            for index, buffer in enumerate(planes(source))
        )
        count = round(SPEECH_S * source.frame_rate)
        faces = []
        for buffer, region in regions:
            if region is not None:
                picture = yuv.picture(buffer, size_px=source.size_px)
                faces.append(face_path.face_at(picture, region, source.colour.matrix))
            if len(faces) == count:
                break
        self._references = np.roll(np.stack(faces), len(faces) // 2, axis=0)
        self._generator, self._done = generator, 0

    def draw(self, faces: np.ndarray, sound: np.ndarray) -> np.ndarray:
        """The next faces."""
        indices = np.arange(self._done, self._done + len(faces)) % len(self._references)
        self._done += len(faces)
        return self._generator.draw(faces, sound, reference=self._references[indices])


def _copied(workspace: Workspace, folder: Path) -> Workspace:
    """Another workspace with the same tracks, to dub without touching the results there."""
    copy = Workspace(folder / "work", workspace.reference)
    for name in FOLDERS:
        copy.folder(name).mkdir(parents=True)
    for file in (workspace.tracks, workspace.offsets_json):
        if file.is_file():
            (copy.folder("pywork") / file.name).write_bytes(file.read_bytes())
    write_json(copy.record, workspace.read_record() or {})
    return copy


def _frames(speaker: Speaker, video: Path) -> Iterator[tuple[np.ndarray, Region]]:
    """The first `SPEECH_S` of a face on a video, with where it is."""
    rate, path = speaker.source.frame_rate, speaker.path
    frames = decode.read_frames(video, frame_rate=rate)
    for index, frame in enumerate(frames):
        time_s = index / rate
        if time_s >= path.start_s + SPEECH_S:
            return
        region = path.at(time_s)
        if region is not None:
            yield frame, region


def _crops(speaker: Speaker, video: Path) -> Iterator[np.ndarray]:
    """The same as the sync network sees it, 25 per second."""
    scale, path = recorded_crop_scale(speaker.workspace), speaker.path
    for index, frame in enumerate(decode.read_frames(video)):
        time_s = index / FRAME_RATE
        if time_s >= path.start_s + SPEECH_S:
            return
        if path.at(time_s) is not None:
            x, y, s = speaker.crop.at(path.position(time_s))
            yield crop_face(frame, x=x, y=y, s=s, crop_scale=scale)
