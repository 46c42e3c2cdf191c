"""What is measured of new mouths at the face's own size, against answers made by hand."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.dubbing.face_path import Region
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
    table = dubbed_mouths.summary(rows)
    assert (table["face_sharpness"], table["flicker"], table["identity"]) == (0.85, 1.7, 1.0)
    assert table["face_sharpness_p5"] == pytest.approx(0.545)
    assert (table["dubbed_lse_c_share"], table["dubbed_offset_within_1"]) == (0.75, 0.75)
    assert (table["own_ssim"], table["generator_ssim"], table["dubbed_faces"]) == (0.8, 0.7, 4)
