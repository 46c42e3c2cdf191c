"""What augmentation may change of an excerpt, and by how much."""

import numpy as np
import pytest
import torch

from training.batches import augment, face_batches


def test_sound_is_as_loud_and_as_noisy_as_is_said() -> None:
    """15 dB softer to 5 louder; three of five have noise, 3 to 40 dB below the speech."""
    tone = 3000 * np.sin(np.arange(4000) * 0.3)
    levels_db, below_db = [], []
    for seed in range(120):
        changed = augment.augment_sound(tone.astype(np.int16), np.random.default_rng(seed))
        factor = changed @ tone / (tone @ tone)
        levels_db.append(20 * np.log10(factor))
        below_db.append(-20 * np.log10((changed - factor * tone).std() / (factor * tone).std()))
    assert -15.5 < min(levels_db) < -12 and 3 < max(levels_db) < 5.5
    noisy = np.array(below_db)[np.array(below_db) < 45]
    assert 0.45 < len(noisy) / 120 < 0.75
    assert 2.5 < noisy.min() < 8 and noisy.max() > 32


def test_sound_that_is_made_too_loud_is_cut_off() -> None:
    """It never turns from the largest sample into the smallest."""
    loud = (32_000 * np.sign(np.sin(np.arange(4000) * 0.1 + 0.05))).astype(np.int16)
    for seed in range(40):
        changed = augment.augment_sound(loud, np.random.default_rng(seed)).astype(float)
        assert np.corrcoef(changed, loud)[0, 1] > 0.7


def test_other_light_leaves_white_white() -> None:
    """What is brighter stays brighter, however much light there is."""
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    brightest = []
    for seed in range(40):
        lit = face_batches._other_light(ramp, np.random.default_rng(seed)).astype(int)
        assert np.diff(lit, axis=1).min() >= 0
        brightest.append(int((lit == 255).sum(axis=1).max()))
    assert max(brightest) > 10


def test_gaps_of_cepstra_are_short_and_some_coefficients_are_missing() -> None:
    """A third or so has a gap of 5 to 19 columns, a fifth lacks one coefficient throughout."""
    gaps, missing, spread = [], [], []
    for seed in range(300):
        masked = augment.mask_columns(np.full((60, 13), 9, np.float32), np.random.default_rng(seed))
        gap, coefficient = (masked == 0).all(axis=1), (masked == 0).all(axis=0)
        gaps.append(int(gap.sum()))
        missing.append(int(coefficient.sum()))
        spread.append(masked[masked != 0].std())
    assert 0.2 < np.mean(np.array(gaps) > 0) < 0.4 and 15 < max(gaps) < 20
    assert 0.12 < np.mean(missing) < 0.28 and max(missing) == 1
    assert np.mean(spread) == pytest.approx(0.1, abs=0.01)


def _disc(side: int) -> torch.Tensor:
    """Two equal frames with a bright disc of 12 pixels' radius in the middle."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    return torch.from_numpy((x**2 + y**2 < 144).astype(np.uint8) * 255).expand(2, 1, side, side)


def _centres(turn: float) -> tuple[np.ndarray, np.ndarray]:
    """Centre of the disc from the middle, and its area, in 40 views of 48 out of 72 pixels."""
    centres, areas = [], []
    for seed in range(40):
        view = augment.augment_lips(
            _disc(72), np.random.default_rng(seed), size_px=48, grey=0.0, turn=turn
        )
        assert torch.equal(view[0], view[1])
        shown = (view[0, 0] > 0.5).numpy()
        centres.append(np.argwhere(shown).mean(axis=0) - 23.5)
        areas.append(shown.sum())
    return np.array(centres), np.array(areas)


def test_a_view_is_the_middle_at_its_own_size() -> None:
    """Without turns the disc stays in the middle, as large as it was, but for a small stretch."""
    centres, areas = _centres(0.0)
    assert np.abs(centres).max() < 0.8
    assert np.median(areas) == pytest.approx(144 * np.pi, rel=0.06)


def test_crops_of_lips_are_moved_and_scaled() -> None:
    """By a few hundredths of their half sides and about a tenth of their size."""
    centres, areas = _centres(1.0)
    assert (centres.std(axis=0) > 1.0).all() and (centres.std(axis=0) < 4.5).all()
    assert 0.08 < np.log(areas).std() < 0.4


def test_half_of_the_clips_are_mirrored_and_none_is_upside_down() -> None:
    pictures = torch.zeros(1, 1, 48, 48, dtype=torch.uint8)
    pictures[..., :24, :24] = 255
    left, upper = 0, 0
    for seed in range(60):
        view = augment.augment_lips(pictures, np.random.default_rng(seed), size_px=48)[0, 0]
        left += int(view[:, :20].sum() > view[:, 28:].sum())
        upper += int(view[:20].sum() > view[28:].sum())
    assert 18 < left < 42 and upper == 60


def test_an_occluder_covers_the_same_part_of_all_frames() -> None:
    """Three in ten have one, 0.12 to 0.38 of the picture's side; noise is at most 0.3."""
    covered, noise = [], []
    for seed in range(150):
        shown = augment.disturb_normalised(
            torch.full((2, 1, 50, 50), 9.0), np.random.default_rng(seed)
        )
        hidden = shown == 0
        assert torch.equal(hidden[0], hidden[1])
        if hidden.any():
            rows, columns = hidden[0, 0].any(dim=1).sum(), hidden[0, 0].any(dim=0).sum()
            assert hidden[0, 0].sum() == rows * columns
            covered += [int(rows), int(columns)]
        noise.append(float(shown[~hidden].std()))
    assert 0.2 < len(covered) / 300 < 0.4
    assert 6 <= min(covered) < 9 and 15 < max(covered) <= 19
    assert max(noise) < 0.32 and min(noise) < 0.02 and max(noise) > 0.25
