"""What is said of scored clips, and what is refused or remarked on before one is scored."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipeline.errors import InputError
from pipeline.faces.tracks import Track
from pipeline.sync import report, single_clip, stage
from tests.score_kit import NO_FILE


def test_how_much_a_face_speaks_is_a_share_of_its_own_time() -> None:
    """Not of the video: a face that comes after a minute and speaks for half of its ten seconds."""
    clip: Any = SimpleNamespace(
        sync=SimpleNamespace(offset_frames=1, offset_ms=40.0, reliable=True)
    )
    clip.sync.confidence = 5.0
    speech_s = ((60.0, 62.0), (64.0, 67.0))
    for start_s, end_s, share in ((60.0, 70.0, "50 %"), (60.0, 80.0, "25 %"), (60.0, 60.0, "0 %")):
        score = report.TrackScore(0, start_s, end_s, clip, speech_s, {}, NO_FILE)
        assert report.table([score])[1].endswith(f"  {share}")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gone/face.npy", r"--save_features .*gone/face\.npy cannot be written"),
        ("face.txt", r"--save_features .*face\.txt must end in \.npy"),
    ],
)
def test_where_features_go_is_checked_before_the_clip_is_read(
    name: str, words: str, tmp_path: Path
) -> None:
    """Here there is not even a clip; it would be read and scored in vain."""
    nothing: Any = None
    with pytest.raises(InputError, match=words):
        single_clip.score_clip(tmp_path / "none.avi", nothing, save_features=tmp_path / name)


@pytest.mark.parametrize(
    ("size_px", "sentences"),
    [((224, 224), 0), ((100, 100), 1), ((125, 100), 1), ((126, 100), 2), ((100, 126), 2)],
)
def test_a_picture_much_longer_or_higher_than_a_face_is_remarked_on(
    size_px: tuple[int, int], sentences: int
) -> None:
    """Whole frames of telephones stand upright."""
    info: Any = SimpleNamespace(width_px=size_px[0], height_px=size_px[1])
    said = single_clip._size_notices(Path("clip.mp4"), info)
    assert len(said) == sentences
    assert sentences < 2 or "no face clip's shape" in said[-1]


@pytest.mark.parametrize(("frames", "frame_rate"), [(30, 25), (60, 50), (12, 10)])
def test_a_clip_may_differ_from_its_track_by_two_frames(frames: int, frame_rate: int) -> None:
    """Which the conversion to 25 a second may round; what differs by more is another program's."""
    track = Track(np.arange(frames), np.zeros((frames, 4)))
    for clip_frames in (28, 30, 32):
        stage._check_length(Path("00000.avi"), clip_frames, track, frame_rate)
    for clip_frames in (27, 33):
        with pytest.raises(InputError, match=f"has {clip_frames} frames .* its track has 30"):
            stage._check_length(Path("00000.avi"), clip_frames, track, frame_rate)
