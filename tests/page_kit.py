"""Results of videos that never were, with known answers, and what their pages hold."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import wavfile

from models.features import FRAME_RATE, SAMPLE_RATE
from pipeline.faces.tracks import CropPath, Track
from pipeline.media import encode
from pipeline.page.results import read_results
from pipeline.page.write import render
from pipeline.store.files import write_json
from pipeline.store.workspace import FOLDERS, Workspace

SIZE_PX = 160, 120
RELIABLE_CONFIDENCE = 3.0
VSHIFT = 15


@dataclass(frozen=True)
class Face:
    """A track with planted offsets.

    Attributes:
        start_frame, frames: when it is on screen.
        offsets_frames: one after the other in parts of equal length; None where nothing fits.
        row: fields of its row in offsets.json that differ.
        speech_s: when it speaks; None for all of the time, where its first offset is known.
    """

    start_frame: int = 0
    frames: int = 250
    offsets_frames: tuple[int | None, ...] = (0,)
    row: dict[str, Any] = field(default_factory=dict)
    speech_s: tuple[tuple[float, float], ...] | None = None

    def distances(self) -> np.ndarray:
        """(frames - 5, 31): 8 less at the offsets, and noise; no rows where there is no score."""
        if self.row.get("offset_frames", 0) is None:
            return np.zeros((0, 2 * VSHIFT + 1), np.float32)
        noise = np.random.default_rng(self.start_frame).normal(0, 0.3, (self.frames - 5, 31))
        dists = (12 + noise).astype(np.float32)
        parts = np.array_split(np.arange(len(dists)), len(self.offsets_frames))
        for part, offset in zip(parts, self.offsets_frames, strict=True):
            if offset is not None:
                dists[part, VSHIFT - offset] -= 8
        return dists

    def stored(self, number: int) -> dict[str, Any]:
        """Its row in offsets.json."""
        offset, reliable = self.offsets_frames[0], self.offsets_frames[0] is not None
        return {
            "track": number,
            "offset_frames": -14 if offset is None else offset,
            "offset_ms": -560.0 if offset is None else offset * 40.0,
            "min_dist": 4.0 if reliable else 11.9,
            "confidence": 8.0 if reliable else 0.2,
            "margin": 7.5 if reliable else 0.1,
            "at_search_edge": False,
            "probability": 0.999 if reliable else 0.01,
            "reliable": reliable,
            "drift_ms_per_min": 1.0 if reliable else None,
            "weights": "syncnet_small.safetensors",
            "warning": None,
            "reliable_confidence": RELIABLE_CONFIDENCE,
            "settings": {"vshift": VSHIFT, "versions": {"toolkit": "1.0", "ffmpeg": "ffmpeg 9"}},
        } | self.row

    def spoken_s(self) -> Sequence[tuple[float, float]]:
        """When it speaks, seconds of the video."""
        if self.speech_s is not None:
            return self.speech_s
        start_s = self.start_frame / FRAME_RATE
        return [(start_s, start_s + self.frames / FRAME_RATE)] * (
            self.offsets_frames[0] is not None
        )


def make_results(
    folder: Path,
    faces: Sequence[Face],
    *,
    reference: str = "talk",
    frames: int = 250,
    sound: bool = True,
    scored: bool = True,
    notices: Sequence[str] = (),
    more: dict[str, Any] | None = None,
) -> Workspace:
    """Writes results as run_pipeline.py and run_syncnet.py do, without a video or clips.

    Args:
        folder: DATA_DIR.
        faces: the tracks.
        reference: of the video.
        frames: of the video; its second half is a second shot.
        sound: it has sound, of which every other second is loud.
        scored: there are offsets.json and speakers.rttm; the demo writes none.
        notices: of pipeline.json.
        more: JSON files of pywork beside them, by their names.
    """
    work = Workspace(folder, reference)
    for name in FOLDERS:
        work.folder(name).mkdir(parents=True)
    work.write_tracks(*_tracks(faces))
    work.write_distances([face.distances() for face in faces])
    if sound:
        loud = np.arange(frames * 640) // SAMPLE_RATE % 2 == 1
        tone = np.sin(np.arange(frames * 640) * 0.2) * loud * 20_000
        wavfile.write(work.audio, SAMPLE_RATE, tone.astype(np.int16))
    if scored:
        write_json(work.offsets_json, [face.stored(number) for number, face in enumerate(faces)])
        lines = [
            f"SPEAKER x 1 {start_s:.3f} {end_s - start_s:.3f} <NA> <NA> track_{number} <NA> <NA>\n"
            for number, face in enumerate(faces)
            for start_s, end_s in face.spoken_s()
        ]
        work.speakers.write_text("".join(lines))
        record: dict[str, Any] = {
            "file": f"/videos/{reference}.mp4",
            "counts": {"frames": frames, "tracks": len(faces)},
            "scenes": [[0, frames // 2], [frames // 2, frames]],
            "settings": {"frame_rate": FRAME_RATE},
            "sound": {"missing_s": []} if sound else None,
            "notices": list(notices),
        }
        write_json(work.record, record)
    for name, content in (more or {}).items():
        write_json(work.folder("pywork") / name, content)
    return work


def make_video(work: Workspace, *, frames: int = 250, clips: int | None = None) -> None:
    """Writes video.avi, which becomes lighter with time, and clips of its first, or all, tracks."""
    with encode.VideoWriter(work.video, size_px=SIZE_PX, audio=_sound(work)) as writer:
        for index in range(frames):
            writer.write(np.full((*SIZE_PX[::-1], 3), index * 255 // frames, np.uint8))
    for number in range(len(work.read_tracks()))[:clips]:
        with encode.VideoWriter(work.crop(number), size_px=(224, 224)) as writer:
            for _ in range(3):
                writer.write(np.full((224, 224, 3), (60, 120, 200), np.uint8))


def _sound(work: Workspace) -> Path | None:
    return work.audio if work.audio.is_file() else None


def _tracks(faces: Sequence[Face]) -> tuple[list[Track], list[CropPath]]:
    tracks, paths = [], []
    for number, face in enumerate(faces):
        same, x = np.ones(face.frames), 30.0 + 15 * (number % 7)
        boxes = np.tile([x - 10, 40.0, x + 10, 60.0], (face.frames, 1))
        frames = np.arange(face.start_frame, face.start_frame + face.frames)
        tracks.append(Track(frames, boxes))
        paths.append(CropPath(x * same, 50 * same, 12 * same))
    return tracks, paths


class Page(HTMLParser):
    """What a browser makes of a page, as far as tests ask.

    Attributes:
        tags: (name, attributes) of every element.
        texts: text by the element it is in, or `name#id` where it has an id, joined; "all" is what
            people may read.
        data: what the page's script works with.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self._open: list[str] = []
        self.feed(html)
        self.close()
        self.data: dict[str, Any] = json.loads(self.texts["script#data"])

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag not in ("meta", "link", "img", "input", "br"):
            named = dict(attributes).get("id")
            self._open.append(f"{tag}#{named}" if named else tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open and self._open[-1].partition("#")[0] == tag, (tag, self._open[-3:])
        self._open.pop()

    def handle_data(self, data: str) -> None:
        hidden = {"script", "style"} & {name.partition("#")[0] for name in self._open}
        for name in {*self._open, *(() if hidden else ("all",))} - {"html", "body"}:
            self.texts[name] = self.texts.get(name, "") + data

    @property
    def commands(self) -> list[str]:
        """Lines to type."""
        return [line for line in self.texts.get("code", "").split("python ")[1:]]


def page_of(work: Workspace) -> Page:
    """The page of results, read."""
    return Page(render(read_results(work)))
