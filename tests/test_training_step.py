"""One training step and its parts: loss, dropout, shared statistics, calibration, warnings."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import distributed, nn

import train_syncnet
from models.syncnet import PUBLISHED, SMALL, SyncNet
from pipeline.errors import PipelineError
from pipeline.sync import offset as sync_offset
from pipeline.sync import reliability
from tests.train_kit import TINY
from training.batches.excerpts import Batch
from training.evaluate import reliability_fit
from training.evaluate.agreement import Agreement
from training.evaluate.agreement import Piece as JudgedPiece
from training.evaluate.reliability_fit import Piece
from training.loop import checkpoint as checkpoint_files
from training.loop.distributed import Processes, share_batch_statistics
from training.loop.fit import train_step
from training.loop.task import Run
from training.objectives.contrastive import MultiWay, Objective
from training.tasks import calibration
from training.tasks import syncnet as syncnet_task
from training.tasks.syncnet import Data, SyncNetTask
from training.tasks.syncnet_module import TrainingModule, still_guessing
from training.tasks.syncnet_options import TrainOptions

ALONE = Processes(0, 1, torch.device("cpu"))


def _batch() -> Batch:
    generator = torch.Generator().manual_seed(4)
    lips = torch.randn(1, 4, 1, 9, 48, 48, generator=generator)
    return Batch(lips, torch.randn(1, 4, 1, 13, 36, generator=generator), [5])


class _Constant(Objective):
    """A loss that is `factor` times the sum of all embeddings: its gradient is known."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(
        self, lips: torch.Tensor, sound: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return self.factor * (lips + sound)[..., 0].sum(), torch.tensor(0.5)


def _task(model: SyncNet, loss: Objective, clips: Data | None = None, **flags: Any) -> SyncNetTask:
    """A task of options that report nothing; without clips unless they are given."""
    words = ["--data", ".", "--run", ".", "--excerpts", "4", "--seed", "5", "--precision", "fp32"]
    values = vars(train_syncnet.build_parser().parse_args(words)) | flags
    options = TrainOptions(**values)
    return SyncNetTask(model, loss, options, clips or Data([], [], [], {}), ALONE)


def _run(model: SyncNet, loss: Objective, **flags: Any) -> tuple[Run, SyncNetTask]:
    task = _task(model, loss, **flags)
    return Run(task, decay=0.9), task


# The step.


@pytest.mark.parametrize("weight_decay", [0.0, 0.02, 0.5])
def test_weights_decay_where_the_loss_asks_for_nothing(weight_decay: float) -> None:
    """By rate times decay a step; those of the objective do not."""
    torch.manual_seed(1)
    run, task = _run(SyncNet(TINY), MultiWay(), weight_decay=weight_decay)
    scale: Any = task.module.objective.log_scale
    task.module.objective.forward = _Constant(0.0).forward  # type: ignore[method-assign]
    before = {name: value.clone() for name, value in task.network.named_parameters()}
    old_scale = scale.item()
    scale.grad = torch.zeros_like(scale)
    train_step(run, _batch(), lr=0.1, group=ALONE)
    for name, value in task.network.named_parameters():
        assert torch.allclose(value, before[name] * (1 - 0.1 * weight_decay), rtol=1e-5), name
    assert scale.item() == old_scale
    decays = [part["weight_decay"] for part in task.optimizers["optimizer"].param_groups]
    assert decays == [weight_decay, 0.0]


@pytest.mark.parametrize(("factor", "clipped"), [(1e3, True), (1e-4, False)])
def test_large_gradients_are_clipped_to_three_and_reported_as_they_were(
    factor: float, clipped: bool
) -> None:
    """Adam normalises the scale of a single gradient, but not of a history of them."""
    torch.manual_seed(1)
    run, task = _run(SyncNet(TINY), _Constant(factor))
    row = train_step(run, _batch(), lr=0.1, group=ALONE)
    gradients = [p.grad.flatten() for p in task.module.parameters() if p.grad is not None]
    norm = torch.cat(gradients).norm().item()
    assert norm == pytest.approx(3.0 if clipped else row["gradient"], rel=1e-3)
    assert (row["gradient"] > 30) == clipped and row["accuracy"] == 0.5


def test_learning_rate_warms_up_and_falls_to_a_hundredth() -> None:
    """Linear over ten steps, then half a cosine to step 110, and no further."""
    rates = [
        checkpoint_files.learning_rate(step, peak=2.0, warmup_steps=10, total_steps=110)
        for step in (0, 4, 9, 10, 60, 110, 200)
    ]
    assert rates == pytest.approx([0.2, 1.0, 2.0, 2.0, 2 * (0.01 + 0.99 / 2), 0.02, 0.02])
    assert checkpoint_files.learning_rate(0, peak=2.0, warmup_steps=0, total_steps=1) == 2.0


def test_average_forgets_the_random_start_faster_at_first() -> None:
    """(1 + step) / (10 + step) of the old while that is less than the decay; counts are copied."""
    model = nn.BatchNorm1d(1)
    average = checkpoint_files.AveragedWeights(model, decay=0.5)
    assert not average.model.training and not any(
        p.requires_grad for p in average.model.parameters()
    )
    nn.init.constant_(model.weight, 3.0)
    model(torch.randn(4, 1))
    average.update(model, 0)
    assert average.model.weight.item() == pytest.approx(0.1 * 1 + 0.9 * 3)
    assert average.model.num_batches_tracked == 1
    nn.init.constant_(average.model.weight, 1.0)
    average.update(model, 100)
    assert average.model.weight.item() == pytest.approx(0.5 * 1 + 0.5 * 3)


# What is judged.


def test_clips_and_other_people_are_judged_by_the_network_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All clips, those dropped before as well; other people with the run's seed."""
    calls: list[tuple[str, object, object, object]] = []

    def refine(
        model: object, clips: object, _group: object, *, current: object
    ) -> tuple[list[Any], list[str]]:
        assert current == ["kept"]
        calls.append(("clips", model, clips, None))
        return [], ["a"]

    def agreement(model: object, clips: object, _group: object, *, seed: int) -> Agreement:
        calls.append(("others", model, clips, seed))
        return Agreement([(JudgedPiece("c", "t", 5, 0, 0, 9.0, 9.0, True), True)])

    monkeypatch.setattr(syncnet_task.judging, "refine", refine)
    monkeypatch.setattr(syncnet_task, "agreement", agreement)
    data = Data(["real"], [], ["unseen"], {})  # type: ignore[list-item]
    task = _task(SyncNet(TINY), MultiWay(), data)
    task.clips = ["kept"]  # type: ignore[list-item]
    average = SyncNet(TINY)
    assert task.change_clips(average) == {"kept": 0, "left_out": ["a"]}
    assert task.clips == [] and task.dropped == ["a"]
    report = task.report(average, 9)
    assert report.score == 1.0 and report.figures["unseen 5s"] == 1.0
    assert calls == [("clips", average, ["real"], None), ("others", average, ["unseen"], 5)]


@pytest.mark.parametrize(
    ("flags", "chance"),
    [
        ({}, 1 / 28),
        ({"negatives": "cross"}, 1 / 85),
        ({"negatives": "both"}, 1 / 112),
        ({"objective": "bce", "negatives": "both"}, 1 / 2),
        ({"windows": 5}, 1 / 5),
    ],
)
def test_guessing_network_is_reported_at_step_400(
    capsys: pytest.CaptureFixture[str], flags: dict[str, Any], chance: float
) -> None:
    """With the accuracy of a guess for four excerpts of 30 windows; none for one that learns."""
    for step, accuracy in ((399, chance), (400, chance), (400, 0.9), (401, chance)):
        task = _task(SyncNet(TINY), MultiWay(), **flags)
        assert task.after_step(step, {"accuracy": accuracy}, None) == {}
    warning, fine = capsys.readouterr().out.splitlines()
    assert warning.startswith(
        f"WARNING: accuracy is still {chance:.3f}, a guess gives {chance:.3f}."
    )
    assert fine == f"a guess gives {chance:.3f}"


def test_advice_for_a_guessing_network_only() -> None:
    """Advice at chance level, none well above it."""
    assert "run_syncnet.py" in (still_guessing([0.03, 0.035], 1 / 30) or "")
    assert still_guessing([0.05, 0.06], 1 / 30) is None
    assert still_guessing([0.51, 0.53], 0.5) is not None and still_guessing([0.6], 0.5) is None


def test_a_loss_that_is_no_number_stops_the_run() -> None:
    """One sentence with the step; weights and average stay as they were."""

    class Broken(MultiWay):
        def forward(self, *batch: Any) -> tuple[torch.Tensor, torch.Tensor]:
            loss, accuracy = super().forward(*batch)
            return loss * float("nan"), accuracy

    run, _ = _run(SyncNet(SMALL), Broken())
    before = {key: value.clone() for key, value in run.average.model.state_dict().items()}
    batch = Batch(torch.randn(1, 4, 1, 9, 48, 48), torch.randn(1, 4, 1, 13, 36), [5])
    with pytest.raises(
        PipelineError, match=r"The loss at step 0 is not a number; .*--precision fp32"
    ):
        train_step(run, batch, lr=1e-3, group=ALONE)
    after = run.average.model.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())


@pytest.mark.parametrize("scale", [0.0, 20.0])
def test_what_is_compared_is_the_learned_part_of_the_embeddings(scale: float) -> None:
    """Embeddings of a fixed length end with a one, which is alike for right and wrong sound."""

    class Recording(_Constant):
        def forward(
            self, lips: torch.Tensor, sound: torch.Tensor, generator: torch.Generator
        ) -> tuple[torch.Tensor, torch.Tensor]:
            self.vectors = (lips, sound)
            return super().forward(lips, sound, generator)

    network, objective = SyncNet(dataclasses.replace(TINY, embedding_scale=scale)), Recording(1.0)
    batch = _batch()
    TrainingModule(network, objective)(batch.lips, batch.sound, [5], False)
    whole = network.forward_lip(batch.lips.flatten(0, 1)).shape[1]
    assert [v.shape[2] for v in objective.vectors] == [whole - (scale > 0)] * 2


def test_dropout_hangs_on_the_excerpt_alone() -> None:
    """An excerpt keeps the features it keeps, whoever else is in the batch."""
    module = TrainingModule(SyncNet(SMALL), MultiWay())
    both, _ = module._dropout_masks([3, 4], 30, 256, 256)
    alone, _ = module._dropout_masks([4], 30, 256, 256)
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


def _measured(people_from: int, seed: int) -> list[Piece]:
    """Pieces of twelve persons whose own sound stands out, at two lengths."""
    rng = np.random.default_rng(seed)
    pieces = []
    for frames in (50, 125):
        for index in range(96):
            for foreign in (False, True):
                dists = rng.normal(10, 1, (frames - 5, 31)).astype(np.float32)
                dists[:, 12] -= 0 if foreign else 2
                numbers = reliability.numbers(dists, audible_share=1)
                person = f"p{people_from + index % 12}"
                pieces.append(Piece(person, frames, frames - 5, numbers, foreign, not foreign))
    return pieces


def test_export_makes_confidence_3_mean_reliable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One half of the people decides, the other half is reported; embeddings grow by half."""
    calls: list[set[str]] = []

    def measure(_: object, clips: list[Any], **options: Any) -> list[Piece]:
        calls.append({clip.reference for clip in clips})
        return _measured(12 * len(calls), seed=options["options"].seed)

    reported: list[set[str]] = []

    def table(pieces: list[Piece], *rest: Any, **options: Any) -> list[dict[str, Any]]:
        reported.append({piece.person for piece in pieces})
        return whole_table(pieces, *rest, **options)

    whole_table = reliability_fit.table
    monkeypatch.setattr(calibration.reliability_fit, "measure", measure)
    monkeypatch.setattr(calibration.reliability_fit, "table", table)
    model = SyncNet(SMALL).with_pair_sigmoid(True)
    clips: Any = [SimpleNamespace(reference=f"val/{number}") for number in range(4)]
    options: Any = SimpleNamespace(seed=1, val=[])
    calibration_figures = calibration.calibrate(model, clips, options, device=ALONE.device)
    assert calls == [{"val/0", "val/2"}, {"val/1", "val/3"}]
    assert (
        calibration_figures is not None
        and calibration_figures["table"][1]["own_reliable"][0] > 0.95
    )
    # Two of ten stand out: reliable pieces of 5 s begin at a confidence of about 1.8.
    assert model.config.embedding_scale == pytest.approx(10 * 3 / 1.8, rel=0.1)
    assert model.config.reliable_confidence == 3.0 and model.config.is_calibrated
    factor = model.config.embedding_scale / 10
    assert model.pair_sigmoid is not None
    assert model.pair_sigmoid.threshold.item() == pytest.approx(factor * 10 * 2**0.5)
    dists = np.random.default_rng(5).normal(10, 1, (120, 31)).astype(np.float32)
    dists[:, 12] -= 2
    unscaled = reliability_fit.fit(_measured(12, seed=1), vshift=15)
    logit = unscaled.logit(reliability.numbers(dists, audible_share=1), 120)
    assert reported == [{f"p{24 + number}" for number in range(12)}]
    judged = sync_offset.judge(factor * dists, **model.config.rule)
    assert judged.probability == pytest.approx(1 / (1 + np.exp(-logit)), rel=1e-4)
    assert "WARNING" not in capsys.readouterr().out


def test_export_with_few_people_calls_nothing_reliable_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where the network it started from was calibrated: these are other weights."""
    monkeypatch.setattr(
        calibration.reliability_fit,
        "measure",
        lambda *_, **__: [piece for piece in _measured(0, seed=1) if piece.person < "p12"],
    )
    model = SyncNet(dataclasses.replace(SMALL, reliable_margin=1.75))
    options: Any = SimpleNamespace(seed=1, val=[])
    assert calibration.calibrate(model, [], options, device=ALONE.device) is None
    assert "no offset of these weights is called reliable" in capsys.readouterr().out
    assert not model.config.is_calibrated
    dists = np.random.default_rng(5).normal(10, 1, (120, 31)).astype(np.float32)
    dists[:, 12] -= 9
    assert not sync_offset.judge(dists, **model.config.rule).reliable
    assert sync_offset.judge(dists, **PUBLISHED.rule).reliable


def test_clips_left_out_of_the_card_do_not_calibrate(monkeypatch: pytest.MonkeyPatch) -> None:
    """--val_without: the calibration does not see them, the figures do."""
    calls: list[tuple[str, list[str]]] = []

    def recording(name: str, answer: Any) -> Any:
        def stub(_model: object, clips: list[Any], *_: object, **options: Any) -> Any:
            calls.append((name, [clip.name for clip in clips]))
            if "without" in options:
                assert options["without"] == {"val/anna"}
            return answer

        return stub

    monkeypatch.setattr(syncnet_task, "calibrate", recording("calibration", None))
    monkeypatch.setattr(syncnet_task, "figures", recording("figures", {"all": 1}))
    clips = [
        SimpleNamespace(name=f"val/{name}/00000", reference=f"val/{name}")
        for name in ("anna", "carl")
    ]
    data = Data([], [], clips, {})  # type: ignore[arg-type]
    task = _task(SyncNet(TINY), MultiWay(), data, val_without=["anna", "nobody"])
    network = task.finished(SyncNet(TINY))
    assert task.facts(network)["unseen_people"] == {"all": 1}
    carl, both = ["val/carl/00000"], ["val/anna/00000", "val/carl/00000"]
    assert calls == [("calibration", carl), ("figures", both)]
