"""Every file with sound that the toolkit writes of a clip, and how far sound and picture are apart.

All pictures of it show their number (see clock_kit.py); boxes, labels and new mouths cover less
than half of them. Files in AVI have no times: picture k counts at k / 25 s, corrected by how late
the source's picture stands at that place of the grid, which is what `offset_ms` does, too.
"""

from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import numpy as np

from models import weights
from models.features import FRAME_RATE
from models.weights import WeightsFile
from pipeline.faces import crops, tracks
from pipeline.faces.tracks import Track
from pipeline.labelling import label
from pipeline.media import decode, normalise
from pipeline.store.workspace import Workspace
from tests import clock_kit
from tests.clock_kit import Clip
from tests.dub_kit import MouthShowsSound, run_dub, still_track, workspace_of

# In the middle of a picture of 96x64, so that both halves of a crop show their digits.
FACE = (32.0, 16.0, 64.0, 48.0)
FIRST, FRAMES = 10, 80  # of the face: what is written of it starts within the clip


def skews_s(clip: Clip, folder: Path) -> Iterator[tuple[str, float]]:
    """By how much the sound comes later than the picture in each file that is made of a clip.

    Args:
        clip: with sound.
        folder: for the files.

    Yields:
        The file's name and seconds.
    """
    work, times_s = _prepared(clip, folder)
    yield work.video.name, _skew_s(clip, work.video, times_s)
    crop_times_s = times_s[FIRST : FIRST + FRAMES] - FIRST / FRAME_RATE
    yield work.crop(0).name, _skew_s(clip, work.crop(0), crop_times_s)
    label(work)
    yield work.labelled_video.name, _skew_s(clip, work.labelled_video, times_s)
    network = MouthShowsSound(), WeightsFile("stub", "0" * 64)
    with mock.patch.object(weights, "load_wav2lip", lambda checkpoint, *, device: network):
        dubbed = run_dub(work).video
    yield dubbed.name, clock_kit.skew_of_file_s(clip, path=dubbed)


def _prepared(clip: Clip, folder: Path) -> tuple[Workspace, np.ndarray]:
    """What is left of a clip with one face before it is drawn and dubbed; its pictures' times."""
    face = still_track(FACE, FIRST, FRAMES)
    work = workspace_of(folder, clip.path, face)
    decoding = normalise.Normalisation(
        clip.path, decode.probe(clip.path), avi=work.video, wav=work.audio, pictures=None
    )
    for _ in decoding:
        pass
    work.write_frame_times(decoding.times_s)
    work.scratch.mkdir(parents=True)
    _cut(work, decoding, face)
    work.write_distances([np.ones((FRAMES - 5, 31), np.float32)])
    return work, decoding.times_s


def _cut(work: Workspace, decoding: normalise.Normalisation, face: Track) -> None:
    crops.write_crops(
        work,
        decoding.again,
        [face],
        [tracks.smooth(face)],
        crop_scale=crops.CROP_SCALE,
        frame_rate=FRAME_RATE,
    )


def _skew_s(clip: Clip, avi: Path, times_s: np.ndarray) -> float:
    """Of a file whose picture k shows what the source shows at `times_s[k]`."""
    frames = np.stack([frame[..., 1] for frame in decode.read_frames(avi, frame_rate=None)])
    assert len(frames) == len(times_s), (avi.name, len(frames), len(times_s))
    late_s = times_s - clip.own_s(frames * (219 / 255) + 16)
    assert np.ptp(np.percentile(late_s, [5, 95])) < 0.0015, (avi.name, late_s)
    return clock_kit.lag_s(decode.read_audio(avi)) - float(np.median(late_s))
