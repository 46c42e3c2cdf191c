"""Training objectives: right pairs beat shuffled ones, and wrong sound is wrong."""

import math
from typing import get_args

import pytest
import torch
from torch.nn import functional as F

from models.syncnet import PairSigmoid
from training.objectives.contrastive import (
    OBJECTIVES,
    CosineBCE,
    DistanceBCE,
    Margin,
    MultiWay,
    Negatives,
    Objective,
    WholePiece,
)

EXCERPTS, WINDOWS, SIZE = 4, 30, 64
PAIRWISE = ("margin", "bce", "cosine")


def _random(seed: int, *, excerpts: int = EXCERPTS) -> torch.Tensor:
    """Unrelated embeddings of length 10, as the small network's are."""
    values = torch.randn(excerpts, WINDOWS, SIZE, generator=torch.Generator().manual_seed(seed))
    return 10 * torch.nn.functional.normalize(values, dim=2)


def _loss_and_accuracy(
    objective: Objective, lips: torch.Tensor, sound: torch.Tensor, *, seed: int = 1
) -> tuple[float, float]:
    loss, accuracy = objective(lips, sound, torch.Generator().manual_seed(seed))
    return loss.item(), accuracy.item()


@pytest.mark.parametrize("negatives", get_args(Negatives))
@pytest.mark.parametrize("name", OBJECTIVES)
def test_right_pairs_are_preferred_to_shuffled_ones(name: str, negatives: Negatives) -> None:
    """Equal embeddings: everything right, a lower loss than with every sound a window late."""
    objective = OBJECTIVES[name](negatives=negatives)
    lips = _random(1)
    right, accuracy = _loss_and_accuracy(objective, lips, lips)
    shuffled, mistaken = _loss_and_accuracy(objective, lips, lips.roll(1, dims=1))
    assert accuracy == 1.0 and mistaken <= 0.5
    assert right < 0.75 * shuffled


@pytest.mark.parametrize("name", OBJECTIVES)
def test_unrelated_embeddings_are_a_guess(name: str) -> None:
    """Chance level: one of two pairs, one of 30 windows."""
    chance = 0.5 if name in PAIRWISE else 1 / WINDOWS
    _, accuracy = _loss_and_accuracy(
        OBJECTIVES[name](), _random(1, excerpts=40), _random(2, excerpts=40)
    )
    assert accuracy == pytest.approx(chance, abs=0.03)


@pytest.mark.parametrize("negatives", get_args(Negatives))
def test_wrong_sound_is_never_the_own_window(negatives: Negatives) -> None:
    """`same` stays in the excerpt, `cross` leaves it, `both` does half of the time."""
    sound = torch.arange(EXCERPTS * WINDOWS).view(EXCERPTS, WINDOWS, 1)
    counts, windows = [], set()
    for seed in range(30):
        generator = torch.Generator().manual_seed(seed)
        wrong = Objective(negatives=negatives).wrong_sound(sound, generator)
        assert wrong.shape == sound.shape and bool((wrong != sound).all())
        counts.append((wrong // WINDOWS != sound // WINDOWS).float().mean().item())
        windows |= set((wrong - sound).flatten().remainder(WINDOWS).tolist())
    assert sum(counts) / 30 == pytest.approx(
        {"same": 0, "cross": 1, "both": 0.5}[negatives], abs=0.05
    )
    assert windows >= set(range(1, WINDOWS))


def test_the_only_excerpt_gives_its_own_wrong_sound() -> None:
    """Where there is no other excerpt, `cross` takes another window of the same one."""
    sound = torch.arange(WINDOWS).view(1, WINDOWS, 1)
    wrong = Objective(negatives="cross").wrong_sound(sound, torch.Generator().manual_seed(1))
    assert bool((wrong != sound).all())


def test_multiway_by_source_of_wrong_sound() -> None:
    """Windows that are all alike: chance within the excerpt, easy against other excerpts."""
    alike = _random(1)[:, :1].expand(-1, WINDOWS, -1).contiguous()
    losses = {
        negatives: _loss_and_accuracy(MultiWay(negatives=negatives), alike, alike)
        for negatives in get_args(Negatives)
    }
    loss_of_30 = torch.log(torch.tensor(30.0)).item()
    assert losses["same"][0] == pytest.approx(loss_of_30, abs=1e-3)
    assert losses["both"][0] == pytest.approx(loss_of_30, abs=0.1)
    assert losses["cross"][0] < 0.1 and losses["cross"][1] == 1.0


@pytest.mark.parametrize("name", OBJECTIVES)
def test_following_the_gradient_brings_pairs_together(name: str) -> None:
    """Free embeddings, from unrelated to mostly recognised; no gradient on the way is not finite.

    Half of the right pairs start with a negative cosine, which no objective may leave alone.
    """
    objective = OBJECTIVES[name]()
    lips, sound = _random(1).requires_grad_(), _random(2).requires_grad_()
    optimizer = torch.optim.Adam([lips, sound, *objective.parameters()], lr=0.3)
    first, _ = _loss_and_accuracy(objective, lips, sound)
    for step in range(60):
        optimizer.zero_grad()
        loss, accuracy = objective(lips, sound, torch.Generator().manual_seed(step))
        loss.backward()
        for parameter in (lips, sound):
            assert parameter.grad is not None and bool(parameter.grad.isfinite().all())
        optimizer.step()
    assert loss.item() < 0.5 * first and accuracy.item() > 0.9
    assert not accuracy.requires_grad


def test_equal_and_opposite_embeddings_have_finite_gradients() -> None:
    """A distance of zero and a cosine of -1 are where square roots and logarithms break."""
    for name in OBJECTIVES:
        lips = _random(1).requires_grad_()
        for sound in (lips.detach().clone(), -lips.detach()):
            loss, _ = OBJECTIVES[name]()(lips, sound, torch.Generator().manual_seed(1))
            (gradient,) = torch.autograd.grad(loss, lips)
            assert bool(gradient.isfinite().all()), name


def test_the_cosine_is_the_probability() -> None:
    """Cosines of 0.8 for right and 0.3 for wrong pairs cost what cross-entropy says."""
    right, wrong = torch.tensor([0.8, 0.6, 0.0]), torch.tensor([0.3, 0.0, 0.91**0.5])

    class Known(CosineBCE):
        def wrong_sound(self, sound: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
            return wrong.expand_as(sound)

    lips = torch.tensor([1.0, 0.0, 0.0]).expand(1, 2, 3)
    loss, accuracy = _loss_and_accuracy(Known(), lips, right.expand(1, 2, 3))
    expected = -(torch.log(torch.tensor(0.8)) + torch.log(torch.tensor(0.7))) / 2
    assert loss == pytest.approx(expected.item(), abs=1e-5) and accuracy == 1.0


# Losses by hand: two excerpts of two windows.

LIPS = torch.tensor([[[3.0, 4.0], [4.0, -3.0]], [[0.0, 5.0], [5.0, 0.0]]])
SOUND = torch.tensor([[[5.0, 0.0], [3.0, 4.0]], [[-1.4, 4.8], [4.0, 3.0]]])


def _cosines() -> torch.Tensor:
    """(4, 4) of all windows of lips and sound."""
    return (LIPS.flatten(0, 1) / 5) @ (SOUND.flatten(0, 1) / 5).T


@pytest.mark.parametrize("negatives", get_args(Negatives))
def test_multiway_compares_in_both_directions(negatives: Negatives) -> None:
    """Which sound belongs to these lips, and which lips to this sound; cosines times ten."""
    cosines = _cosines()
    others = {0: [2, 3], 1: [2, 3], 2: [0, 1], 3: [0, 1]}
    losses, right = [], []
    for window in range(4):
        near = window ^ 1
        wrong = {"same": [near], "cross": others[window], "both": [near, *others[window]]}
        for matrix in (cosines, cosines.T):
            values = [math.exp(10 * float(matrix[window, w])) for w in (window, *wrong[negatives])]
            losses.append(-math.log(values[0] / sum(values)))
            if matrix is cosines:
                right.append(values[0] == max(values))
    loss, accuracy = _loss_and_accuracy(MultiWay(negatives=negatives), LIPS, SOUND)
    assert loss == pytest.approx(sum(losses) / 8, rel=1e-4)
    assert accuracy == pytest.approx(sum(right) / 4)


def test_scale_of_multiway_is_learned_up_to_sixty() -> None:
    """Ten at first; beyond sixty it changes nothing any more."""
    objective = MultiWay()
    scales = []
    for scale in (10.0, 60.0, 600.0):
        torch.nn.init.constant_(objective.log_scale, math.log(scale))
        scales.append(_loss_and_accuracy(objective, LIPS, SOUND)[0])
    assert scales[0] == _loss_and_accuracy(MultiWay(), LIPS, SOUND)[0]
    assert scales[0] != pytest.approx(scales[1], rel=0.1)
    assert scales[1] == pytest.approx(scales[2], rel=1e-4)


def _distances(scale: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Of right pairs, and of the only wrong ones there are in an excerpt of two windows."""
    right = scale * (LIPS - SOUND).norm(dim=2)
    return right, scale * (LIPS - SOUND.flip(1)).norm(dim=2)


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_margin_pushes_wrong_pairs_twenty_apart(scale: float) -> None:
    """Squares of right distances and of what wrong ones lack of 20; half of that decides."""
    right, wrong = _distances(scale)
    lacking = (20 - wrong).clamp(min=0)
    loss, accuracy = _loss_and_accuracy(Margin(), scale * LIPS, scale * SOUND)
    assert loss == pytest.approx(float((right**2).mean() + (lacking**2).mean()) / 2, rel=1e-4)
    expected_accuracy = ((right < 10).float().mean() + (wrong > 10).float().mean()) / 2
    assert accuracy == pytest.approx(float(expected_accuracy)) and 0 < accuracy < 1


@pytest.mark.parametrize(("length", "margin"), [(10.0, 14.0), (32.8, 45.92), (0.0, 20.0)])
def test_margin_follows_the_length_of_the_embeddings(length: float, margin: float) -> None:
    """Twenty is the diameter of embeddings ten long: wrong pairs would have to be opposites."""
    right, wrong = _distances(3.0)
    lacking = (margin - wrong).clamp(min=0)
    loss, _ = _loss_and_accuracy(Margin(embedding_scale=length), 3 * LIPS, 3 * SOUND)
    assert loss == pytest.approx(float((right**2).mean() + (lacking**2).mean()) / 2, rel=1e-4)


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_distance_decides_by_cross_entropy_around_a_threshold(share: float) -> None:
    """Nearer than it is in sync, the surer the nearer; it hangs on no other pair of the batch."""
    right, wrong = _distances(1.0)
    threshold = share * float(torch.cat([right, wrong]).mean())
    surprise = F.softplus(right - threshold).mean() + F.softplus(threshold - wrong).mean()
    objective = DistanceBCE(sigmoid=PairSigmoid(threshold))
    loss, accuracy = _loss_and_accuracy(objective, LIPS, SOUND)
    assert loss == pytest.approx(float(surprise) / 2, rel=1e-4)
    expected_accuracy = (
        (right < threshold).float().mean() + (wrong > threshold).float().mean()
    ) / 2
    assert accuracy == pytest.approx(float(expected_accuracy))


@pytest.mark.parametrize(("length", "threshold"), [(10.0, 14.0), (0.0, 10.0)])
def test_threshold_of_distances_follows_the_length_of_the_embeddings(
    length: float, threshold: float
) -> None:
    """As far as unrelated ones are; half the published margin where they have no length."""
    objective = DistanceBCE(embedding_scale=length)
    assert objective.sigmoid.threshold.item() == pytest.approx(threshold)
    assert len(list(objective.parameters())) == 2


def test_a_negative_cosine_costs_by_a_straight_line() -> None:
    """Below a probability of 0.05: its logarithm there, and one more for each 0.05."""
    lips = torch.tensor([1.0, 0.0]).expand(1, 2, 2)
    for cosine in (0.02, -0.5):
        right = torch.tensor([cosine, (1 - cosine**2) ** 0.5]).expand(1, 2, 2)
        loss, accuracy = _loss_and_accuracy(CosineBCE(), lips, right)
        apart = -math.log(1 - max(cosine, 0.0))
        together = (0.05 - cosine) / 0.05 - math.log(0.05)
        assert loss == pytest.approx((apart + together) / 2, rel=1e-4) and accuracy == 0.5


# Whole pieces.


def _piece_loss(lips: torch.Tensor, sound: torch.Tensor, *, seed: int = 1) -> float:
    normal = (F.normalize(part, dim=2) for part in (lips, sound))
    return WholePiece()(*normal, torch.Generator().manual_seed(seed)).item()


@pytest.mark.parametrize("seed", range(12))  # pieces of every length, here and there
def test_a_piece_has_the_shift_of_its_own_sound_or_none(seed: int) -> None:
    """Equal embeddings are answered; a window late, unrelated or everybody's are not."""
    lips = _random(1)
    right = _piece_loss(lips, lips, seed=seed)
    assert right < 0.5
    assert _piece_loss(lips, lips.roll(1, dims=1), seed=seed) > right + 1
    assert _piece_loss(lips, lips.roll(-5, dims=1), seed=seed) > right + 1
    unrelated = _piece_loss(lips, _random(2), seed=seed)
    assert unrelated > right + 0.5
    assert _piece_loss(lips, lips.roll(-1, dims=0), seed=seed) > unrelated + 1  # believed


def test_longer_pieces_are_surer() -> None:
    """Evidence grows with the root of the windows that are laid together."""
    lips = F.normalize(_random(1), dim=2)
    whole = WholePiece()
    short, long = (whole._evidence(lips, lips, first=3, length=n, most=5) for n in (6, 24))
    assert short.shape == long.shape == (EXCERPTS, 12)
    ratio = (long[:, 5] / short[:, 5]).detach()
    torch.testing.assert_close(ratio, torch.full((EXCERPTS,), 2.0), atol=0.15, rtol=0)
    assert (long[:, -1] == short[:, -1]).all()


def test_few_windows_make_a_piece_of_their_own() -> None:
    """Two windows have three shifts; the loss is finite and teaches."""
    lips = _random(1)[:, :2].requires_grad_()
    loss = WholePiece()(lips, lips.detach(), torch.Generator().manual_seed(1))
    loss.backward()
    assert loss.isfinite() and lips.grad is not None and bool(lips.grad.abs().sum() > 0)


def test_refusal_is_added_by_its_weight() -> None:
    """And has parameters of its own, that old checkpoints need not have."""
    lips, sound = _random(1), _random(2)
    plain, half, whole = (
        _loss_and_accuracy(MultiWay(refusal=weight), lips, sound)[0] for weight in (0, 0.5, 1)
    )
    assert half - plain == pytest.approx((whole - plain) / 2, rel=1e-4) and half > plain
    assert set(MultiWay().state_dict()) == {"log_scale"}
    assert {"piece.none", "piece.log_gain"} < set(MultiWay(refusal=1).state_dict())
