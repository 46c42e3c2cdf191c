"""One training step and its parts: loss, dropout, shared statistics, calibration, warnings."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import distributed, nn

from models.syncnet import SMALL, SyncNet
from pipeline.errors import PipelineError
from training import card
from training.agreement import Agreement, Piece
from training.distributed import Processes, share_batch_statistics
from training.excerpts import Batch
from training.objectives import MultiWay
from training.syncnet import Lesson, new_run, still_guessing, train_step


def test_a_guessing_network_is_told_from_a_learning_one() -> None:
    """Advice at chance level, none well above it."""
    assert "run_syncnet.py" in (still_guessing([0.03, 0.035], 1 / 30) or "")
    assert still_guessing([0.05, 0.06], 1 / 30) is None
    assert still_guessing([0.51, 0.53], 0.5) is not None and still_guessing([0.6], 0.5) is None


def test_a_loss_that_is_no_number_stops_the_run(cpu: torch.device) -> None:
    """One sentence with the step; weights and average stay as they were."""

    class Broken(MultiWay):
        def forward(self, *batch: Any) -> tuple[torch.Tensor, torch.Tensor]:
            loss, accuracy = super().forward(*batch)
            return loss * float("nan"), accuracy

    run = new_run(SyncNet(SMALL), Broken(), [], decay=0.9)
    before = {key: value.clone() for key, value in run.average.model.state_dict().items()}
    batch = Batch(torch.randn(1, 4, 1, 9, 48, 48), torch.randn(1, 4, 1, 13, 36), [5])
    with pytest.raises(PipelineError, match=r"The loss at step 0 is not a number; .*--no-bf16"):
        train_step(run, run.lesson, batch, lr=1e-3, device=cpu, bf16=False)
    after = run.average.model.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())


def test_dropout_hangs_on_the_excerpt_alone() -> None:
    """An excerpt keeps the features it keeps, whoever else is in the batch."""
    lesson = Lesson(SyncNet(SMALL), MultiWay())
    both, _ = lesson._kept([3, 4], 30, 256, 256)
    alone, _ = lesson._kept([4], 30, 256, 256)
    assert torch.equal(both[30:], alone) and not torch.equal(both[:30], alone)
    assert float((both == 0).float().mean()) == pytest.approx(SMALL.dropout, abs=0.02)
    assert float(both.mean()) == pytest.approx(1, abs=0.05)


@pytest.fixture
def alone_in_a_group(tmp_path: Path) -> Iterator[Processes]:
    """A process group of one, told that it has another member: collectives work."""
    store = distributed.FileStore(str(tmp_path / "store"), 1)
    distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        yield Processes(0, 2, torch.device("cpu"))
    finally:
        distributed.destroy_process_group()


@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 4, 3)])
def test_shared_batch_statistics_are_torchs_own(
    alone_in_a_group: Processes, shape: tuple[int, ...]
) -> None:
    """Values, gradients, running statistics, also for a large mean; parameters stay the same."""
    torch.manual_seed(1)
    kind = nn.BatchNorm1d if len(shape) == 2 else nn.BatchNorm2d
    plain, network = kind(5), nn.Sequential(kind(5))
    weight = network[0].weight
    share_batch_statistics(network, alone_in_a_group)
    assert type(network[0]) is not kind and network[0].weight is weight
    for step in range(2):
        one = (torch.randn(shape) * 2 + 30).requires_grad_()
        other = one.detach().clone().requires_grad_()
        target = torch.randn(shape)
        for values, module in ((one, plain), (other, network)):
            ((module(values) - target) ** 2).sum().backward()
        assert torch.allclose(plain(one), network(other), atol=1e-4), step
        assert one.grad is not None and other.grad is not None
        assert torch.allclose(one.grad, other.grad, atol=1e-4)
    for key, value in plain.state_dict().items():
        assert torch.allclose(value, network[0].state_dict()[key], atol=1e-4), key
    assert torch.allclose(plain.eval()(one), network.eval()(other), atol=1e-4)
    half = network.train()(one.bfloat16())
    assert half.dtype == torch.bfloat16


def test_export_makes_confidence_3_mean_reliable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Right from margin 1 on, where confidence is 2: embeddings and margin grow by half."""
    judged = Agreement(
        [(Piece("v/a", "t", 5, 0, 0, 2 * m, m, False), m >= 1) for m in (0.5, 0.75, 1.0, 1.5, 2.0)]
    )
    monkeypatch.setattr(card, "agreement", lambda *_, **__: judged)
    monkeypatch.setattr(card, "strange_margins", lambda *_, **__: [0.1])
    model = SyncNet(SMALL)
    data = SimpleNamespace(unseen=[])
    alone = Processes(0, 1, torch.device("cpu"))
    card._calibrate(model, data, SimpleNamespace(seed=1), without=frozenset(), group=alone)
    assert model.config.embedding_scale == pytest.approx(15, rel=0.01)
    assert model.config.reliable_confidence == 3.0
    assert 1.49 < model.config.reliable_margin < 1.5 < 1.5015
