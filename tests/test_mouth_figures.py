"""What is measured of new mouths at the face's own size, against answers made by hand."""

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from scipy.io import wavfile

from models import weights
from models.features import SAMPLE_RATE
from models.wav2lip import Wav2Lip, Wav2LipConfig
from pipeline.dubbing.face_path import Region
from pipeline.dubbing.generate import Generator
from pipeline.errors import InputError
from pipeline.sync.scorer import SyncScorer
from tests import texture_kit
from tests.dub_kit import workspace_of
from training.evaluate import dubbed_mouths, mouth_figures
from training.evaluate.choices import Choices
from training.evaluate.mouth_figures import Look, identity_distance

REGION = Region(20, 120, 30, 130)


def _grain(seed: int = 0) -> np.ndarray:
    grain = np.random.default_rng(seed).normal(120, 20, (150, 160, 3)).astype(np.float32)
    return np.clip(cv2.GaussianBlur(grain, (0, 0), 0.8), 0, 255).astype(np.uint8)


def test_the_mouth_is_where_a_new_one_is_seen() -> None:
    """The ellipse's rectangle, cut at the frame's edge, and what lies in the ellipse."""
    picture, seen = mouth_figures.mouth(_grain(), REGION)
    assert picture.shape == (50, 72, 3) and seen.shape == (50, 72)
    assert seen[25, 36] and not seen[0, 0] and 0.5 < seen.mean() < 0.8
    low = mouth_figures.mouth(_grain(), Region(60, 160, 30, 130))
    assert low[0].shape[:2] == low[1].shape and len(low[1]) == 150 - 109


def test_look_measures_detail_and_flicker_of_the_mouth_alone() -> None:
    """Half the contrast is a quarter of the sharpness; what swings by 10 has an energy of 400."""
    looks = [Look(), Look(), Look()]
    for number in range(9):
        still, half = _grain(), (_grain() // 2 + 60).astype(np.uint8)
        swinging = half.copy()
        swinging[69:119] += 10 if number % 2 else 0
        swinging[:60] = 255 * (number % 2)  # far from the mouth
        for look, frame in zip(looks, (still, half, swinging), strict=True):
            look.add(frame, REGION)
    assert looks[1].sharpness / looks[0].sharpness == pytest.approx(0.25, rel=0.15)
    assert looks[0].flicker == mouth_figures.LEAST_ENERGY
    assert looks[2].flicker == pytest.approx(100, rel=0.02)


def test_likeness_of_known_errors() -> None:
    """An error of 10 levels everywhere is 28.13 dB; the same picture is without bound alike."""
    picture, seen = mouth_figures.mouth(_grain(), REGION)
    psnr_db, alike = mouth_figures.likeness(picture + np.uint8(10), picture, seen)
    assert psnr_db == pytest.approx(28.13, abs=0.01) and 0.9 < alike < 1
    assert mouth_figures.likeness(picture, picture, seen)[1] == pytest.approx(1)
    other, _ = mouth_figures.mouth(_grain(4), REGION)
    assert mouth_figures.likeness(picture, other, seen)[1] < 0.6


def test_identity_is_measured_in_halves_of_the_real_clip() -> None:
    rows = np.zeros((40, 3))
    rows[20:, 0] = 2.0  # the halves are 2 apart, their mean is at 1
    assert identity_distance(rows, rows) == 0
    stranger = np.tile([1.0, 3.0, 0.0], (30, 1))
    assert identity_distance(rows, stranger) == pytest.approx(1.5)


def test_openings_are_compared_frame_by_frame() -> None:
    """Closed a frame early or late is closed; what is wrong by more is counted."""
    real = np.tile(np.repeat([0.0, 1.0], 10), 5)
    assert mouth_figures.opening_figures(real, real) == pytest.approx(
        {"opening": 1, "closed_missed": 0, "open_missed": 0}
    )
    late = np.roll(real, 1)  # closed a frame late each time, which is near enough
    figures = mouth_figures.opening_figures(real, late)
    assert figures["closed_missed"] == 0 and figures["open_missed"] == pytest.approx(0.1)
    later = mouth_figures.opening_figures(real, np.roll(real, 3))
    assert later["closed_missed"] == pytest.approx(0.2, abs=0.03)
    assert later["open_missed"] == pytest.approx(0.3) and later["opening"] < 0.5
    assert mouth_figures.opening_figures(real, np.ones(100)) == {
        "closed_missed": 1.0,
        "open_missed": 0.0,
    }
    assert mouth_figures.opening_figures(np.zeros(9), np.ones(9)) == {}


def test_the_key_says_which_face_is_real(tmp_path: Path) -> None:
    """Real faces are black, new ones white; the order changes within a row."""
    choices = Choices(seed=3)
    black, white = np.zeros((60, 50, 3), np.uint8), np.full((60, 50, 3), 255, np.uint8)
    for name in ("one", "two"):
        choices.add(name, [black] * 6, [white] * 6)
    choices.write(tmp_path)
    key = json.loads((tmp_path / "choices_key.json").read_text())
    sheet = cv2.imread(str(tmp_path / "choices.png"))
    assert [row["clip"] for row in key] == ["one", "two"]
    assert {side for row in key for side in row["left"]} == {"real", "new"}
    assert sheet is not None
    for row in key:
        for pair, left in enumerate(row["left"]):
            level = sheet[row["row"] * 248 + 100, pair * 408 + 90].mean()
            assert (level == 0) == (left == "real")


def test_summary_takes_medians_and_the_poorest_twentieth() -> None:
    rows = [
        {
            "face_sharpness": value,
            "flicker": 2 * value,
            "identity": 1.0,
            "real_lse_c": 4.0,
            "lse_c": 3.0,
            "offset": offset,
        }
        for value, offset in ((0.5, 0), (1.0, 1), (0.9, -1), (0.8, 3))
    ]
    rows[0] |= {"own_ssim": 0.8, "generator_ssim": 0.7}
    table = mouth_figures.summary(rows)
    assert (table["face_sharpness"], table["flicker"], table["identity"]) == (0.85, 1.7, 1.0)
    assert table["face_sharpness_p5"] == pytest.approx(0.545)
    assert (table["dubbed_lse_c_share"], table["dubbed_offset_within_1"]) == (0.75, 0.75)
    assert (table["own_ssim"], table["generator_ssim"], table["dubbed_faces"]) == (0.8, 0.7, 4)


@pytest.fixture
def speakers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Results of two films of the drawn head, four seconds each, of which three are dubbed."""
    monkeypatch.setattr(dubbed_mouths, "SPEECH_S", 3)
    for number in range(2):
        folder = tmp_path / f"film_{number}"
        folder.mkdir()
        opened = texture_kit.openings(100, seed=number)
        wavfile.write(folder / "speech.wav", SAMPLE_RATE, texture_kit.tone(opened))
        video = texture_kit.film(folder / "film.mp4", opened, folder / "speech.wav")
        workspace_of(tmp_path, video, texture_kit.track(100), reference=f"film_{number}")
    return tmp_path / "work"


@pytest.mark.parametrize("texture", ["own", "none"])
def test_whole_videos_are_dubbed_and_measured(texture: Any, speakers: Path, tmp_path: Path) -> None:
    """Rough skin stays rough with own pixels, and is smooth with those of a smooth generator."""
    cpu = torch.device("cpu")
    torch.manual_seed(1)
    checkpoint = tmp_path / "smooth.safetensors"
    network = Wav2Lip(Wav2LipConfig(width=0.0625)).eval()
    weights.write_own(network, checkpoint, config=network.config)
    figures = dubbed_mouths.evaluate(
        [speakers],
        Generator(network, cpu, batch_size=8),
        SyncScorer(device="cpu"),
        checkpoint=checkpoint,
        texture=texture,
        pictures=tmp_path,
        seed=1,
    )
    assert figures["dubbed_faces"] == 2 and set(figures["dubbed"]) == {"film_0/0", "film_1/0"}
    for row in figures["dubbed"].values():
        assert row["texture"] == texture and row["face_px"] >= 100
        assert ("own_ssim" in row) == (texture == "own")
        # A generator that draws one mouth has no opening to compare, but misses what is closed.
        assert {"own_opening", "own_closed_missed"} <= row.keys() or texture == "none"
    # Own pixels measure 0.46 to 0.54 with whatever generator, those of the generator 0.02.
    assert (figures["face_sharpness"] > 0.25) == (texture == "own")
    assert (tmp_path / "choices.png").is_file() and (tmp_path / "choices_key.json").is_file()


def test_one_long_face_is_not_enough_to_exchange_sounds(speakers: Path) -> None:
    shutil.rmtree(speakers / "pywork" / "film_1")
    with pytest.raises(InputError, match="No two tracks have 3 s with sound"):
        dubbed_mouths.speakers([speakers])
