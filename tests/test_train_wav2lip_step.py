"""One step of Wav2Lip's training: decay, clipping, both optimisers, and who is judged."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

import train_wav2lip
from models.wav2lip import SyncNetColor, Wav2Lip, Wav2LipConfig, Wav2LipDiscriminator
from pipeline.errors import PipelineError
from training.batches.expert_excerpts import EXCERPT_WINDOWS, ExpertBatch
from training.batches.face_batches import FaceBatch
from training.loop import fit
from training.loop.distributed import Processes
from training.loop.task import Run
from training.objectives.wav2lip_objectives import LossWeights
from training.tasks import wav2lip as wav2lip_task
from training.tasks.wav2lip import Data, Wav2LipTask
from training.tasks.wav2lip_module import TrainingModule
from training.tasks.wav2lip_options import TrainOptions

NARROW = Wav2LipConfig(0.05)
ALONE = Processes(0, 1, torch.device("cpu"))


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    """The same networks whatever ran before."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        yield


def _faces(windows: int = 1) -> FaceBatch:
    generator = torch.Generator().manual_seed(1)

    def random(*shape: int) -> torch.Tensor:
        return torch.rand(windows, 5, *shape, generator=generator)

    return FaceBatch(random(3, 96, 96), random(3, 96, 96), random(1, 80, 16), random(4) - 0.5)


def _excerpts() -> ExpertBatch:
    generator = torch.Generator().manual_seed(1)
    faces = torch.rand(2, 3, 15, 48, 96, generator=generator)
    mels = torch.rand(2, 3, 1, 80, 16, generator=generator)
    return ExpertBatch(faces, mels, torch.randn(2, 3, 2, 4, generator=generator))


def _gan(
    *, weight_decay: float = 0.01, taught_size: int = 0, **weights: float
) -> tuple[Run, Wav2LipTask]:
    module = TrainingModule(
        Wav2Lip(NARROW),
        expert=SyncNetColor(NARROW),
        discriminator=Wav2LipDiscriminator(NARROW),
        taught_size=taught_size,
    )
    words = ["--data", ".", "--run", ".", "--stage", "gan", "--precision", "fp32"]
    options = vars(train_wav2lip.build_parser().parse_args([*words, "--taught_steps", "0"]))
    options |= {f"{part}_weight": 0.0 for part in ("adversarial", "mouth", "structure", "detail")}
    options |= {"weight_decay": weight_decay, "taught_weight": 0.0}
    options |= {f"{name}_weight": value for name, value in weights.items()}
    task = Wav2LipTask(module, TrainOptions(**options), Data([], []), ALONE)
    return Run(task, decay=0.9), task


def _step(run: Run, *, lr: float = 1e-3) -> dict[str, float]:
    return fit.train_step(run, _faces(), lr=lr, group=ALONE)


def test_generator_decays_and_discriminator_does_not() -> None:
    """AdamW with the run's decay; the discriminator's Adam follows fast and has none."""
    _, task = _gan(weight_decay=0.3, taught_size=4)
    optimizer, rival, module = *task.optimizers.values(), task.module
    assert rival is not None and isinstance(optimizer, torch.optim.AdamW)
    (part,) = optimizer.param_groups
    assert part["weight_decay"] == 0.3 and part["betas"] == (0.9, 0.999)
    parameters = {id(parameter) for parameter in part["params"]}
    assert module.translation is not None and module.discriminator is not None
    learned = [*module.model.parameters(), *module.translation.parameters()]
    assert parameters == {id(parameter) for parameter in learned}
    assert rival.defaults["betas"] == (0.5, 0.999) and rival.defaults["weight_decay"] == 0
    (part,) = rival.param_groups
    assert {id(p) for p in part["params"]} == {id(p) for p in module.discriminator.parameters()}


def test_step_moves_both_networks_at_the_rate_given_and_the_average_after() -> None:
    """Adam's first step moves every weight that has a gradient by the rate, either way."""
    run, task = _gan(weight_decay=0.0, adversarial=0.5, taught_size=4, taught=1.0)
    before = {name: p.detach().clone() for name, p in task.module.named_parameters()}
    row = _step(run, lr=1e-3)
    for name, value in task.module.named_parameters():
        change = float((value - before[name]).detach().abs().max())
        before_norm = name.endswith("conv_block.0.bias") and "discriminator" not in name
        assert change == pytest.approx(1e-3, rel=0.05) or (before_norm and change < 1e-3), name
    assert run.step == 1 and {"loss", "l1", "adversarial", "discriminator", "taught"} <= row.keys()
    blocks: Any = run.average.model.output_block, task.module.model.output_block
    average, model = (block[1].bias for block in blocks)
    old = before["model.output_block.1.bias"]
    assert torch.allclose(average, 0.1 * old + 0.9 * model, atol=1e-6)


@pytest.mark.parametrize(("factor", "clipped"), [(1e4, True), (1e-4, False)])
def test_gradient_is_clipped_to_five_and_reported_as_it_was(factor: float, clipped: bool) -> None:
    """Of the network and of the discriminator, each by itself."""
    _, task = _gan()
    block: Any = task.module.model.output_block
    parameters = list(block.parameters())
    loss = factor * sum(p.sum() for p in parameters)
    before = [p.detach().clone() for p in parameters]
    norm = fit.descend(
        *(torch.optim.SGD(parameters, lr=9.0), loss, 0.5, ALONE),
        largest=task.largest_gradient,
        step=0,
    )
    real = factor * sum(p.numel() for p in parameters) ** 0.5
    assert norm == pytest.approx(real, rel=1e-4)
    change = torch.cat([(p - old).flatten() for p, old in zip(parameters, before, strict=True)])
    assert change.detach().norm().item() == pytest.approx(
        0.5 * (5.0 if clipped else real), rel=1e-2
    )


def test_gradients_of_the_generators_loss_do_not_reach_the_discriminators_step() -> None:
    """With a generator that only wants to fool it, the judge still learns from its own loss."""
    torch.manual_seed(4)
    run, own = _gan(adversarial=1.0)
    _step(run)
    torch.manual_seed(4)
    run, other = _gan(adversarial=0.0)
    _step(run)
    one, two = own.module.discriminator, other.module.discriminator
    assert one is not None and two is not None
    for left, right in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(left, right)


def test_loss_that_is_no_number_stops_before_a_weight_moves() -> None:
    """One sentence with the step."""
    run, task = _gan()
    run.step = 7
    broken = replace(_faces(), target=torch.full((1, 5, 3, 96, 96), float("nan")))
    before = {name: p.detach().clone() for name, p in task.module.model.named_parameters()}
    with pytest.raises(
        PipelineError, match=r"The loss at step 7 is not a number; .*--precision fp32"
    ):
        fit.train_step(run, broken, lr=1e-3, group=ALONE)
    assert all(torch.equal(p, before[name]) for name, p in task.module.model.named_parameters())
    assert run.step == 7


def test_pairs_of_the_expert_count_by_their_weight() -> None:
    """At `pairs` 0 the loss is the teacher's only."""
    module = TrainingModule(SyncNetColor(NARROW), expert=None, discriminator=None, taught_size=4)
    only, _, parts = module(_excerpts(), LossWeights(pairs=0.0), False)
    both, _, _ = module(_excerpts(), LossWeights(pairs=1.0), False)
    assert only.item() == pytest.approx(2 * (1 - parts["taught"].item()), abs=1e-5)
    assert both.item() > only.item() + 0.5


def test_loss_of_the_teacher_counts_by_its_weight() -> None:
    """The teacher's loss is added by its weight; at 0 it is not computed."""
    module = _gan(taught_size=4)[1].module.eval()
    with torch.no_grad():
        plain, _, parts = module(_faces(), LossWeights(taught=0.0), False)
        assert "taught" not in parts
        for weight in (0.1, 0.5):
            loss, _, parts = module(_faces(), LossWeights(taught=weight), False)
            lacking = 1 - parts["taught"].item()
            assert loss.item() == pytest.approx(plain.item() + weight * lacking, abs=1e-5)


def test_other_people_are_judged_by_the_averaged_network_in_use() -> None:
    """In eval mode, with the published loss, the mean over all batches."""
    run, task = _gan(adversarial=0.5, mouth=4.0, structure=0.2)
    for module in run.average.model.output_block.modules():
        if isinstance(module, torch.nn.Conv2d) and module.bias is not None:
            torch.nn.init.constant_(module.weight, 0.0)
            torch.nn.init.constant_(module.bias, 9.0)  # white faces
    white = replace(_faces(), target=torch.ones(1, 5, 3, 96, 96))
    dark = replace(_faces(), target=torch.full((1, 5, 3, 96, 96), 0.5))
    task.module.train()
    task.data = Data([], [white, dark])
    row = task._judged(run.average.model)
    assert row["l1"] == pytest.approx(0.25, abs=1e-3)
    assert row["loss"] == pytest.approx(row["l1"], abs=1e-6)
    assert "sync" in row and not any(module.training for module in run.average.model.modules())
    assert task.module.model.training


@pytest.mark.parametrize("stage", ["generator", "expert"])
def test_other_people_are_judged_on_the_same_windows_whatever_the_batch_size(
    stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """192 of them, in whole excerpts of an expert: figures of two cards compare."""
    calls: list[dict[str, Any]] = []
    monkeypatch.setattr(wav2lip_task, "load_faces", lambda *_, **__: ["clip"])
    monkeypatch.setattr(wav2lip_task, "_batch", lambda *_, **how: calls.append(how))
    flags = ["--data", "d", "--val", "v", "--run", "r", "--stage", stage, "--teacher", "none"]
    for size in ("1", "12", "48"):
        calls.clear()
        words = train_wav2lip.build_parser().parse_args([*flags, "--batch_size", size])
        wav2lip_task.load_data(TrainOptions(**vars(words)), say=False)
        assert sum(how["size"] for how in calls) == 192
        assert all(how["size"] % EXCERPT_WINDOWS == 0 for how in calls)
        assert len({(how["seed"], how["step"]) for how in calls}) == len(calls)
        assert not any(how["augmented"] for how in calls)
