"""Several processes of one run: what each gets of the others' numbers, and who goes first."""

import os
from typing import Any

import pytest
import torch
from torch import distributed, nn

from training.loop.distributed import (
    Processes,
    average_gradients,
    averaged,
    gathered,
    leader_first,
    processes,
)

CPU = torch.device("cpu")
ALONE, LEADER, SECOND = Processes(0, 1, CPU), Processes(0, 2, CPU), Processes(1, 2, CPU)


@pytest.fixture
def other_adds_ten(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one of two processes has 10 wherever this one has anything."""
    monkeypatch.setattr(distributed, "all_reduce", lambda values: values.add_(10))


@pytest.mark.usefixtures("other_adds_ten")
def test_numbers_are_means_over_all_processes() -> None:
    assert averaged({"loss": 2.0, "accuracy": 4.0}, SECOND) == {"loss": 6.0, "accuracy": 7.0}
    assert averaged({"loss": 2.0}, ALONE) == {"loss": 2.0}


@pytest.mark.usefixtures("other_adds_ten")
def test_gradients_are_means_and_stay_with_their_parameters() -> None:
    """What has no gradient stays without."""
    one, without, two = (nn.Parameter(torch.zeros(shape)) for shape in ((2, 2), (3,), (1,)))
    one.grad, two.grad = torch.tensor([[0.0, 2.0], [4.0, 6.0]]), torch.tensor([-10.0])
    average_gradients([one, without, two], ALONE)
    assert two.grad.tolist() == [-10]
    average_gradients([one, without, two], SECOND)
    assert one.grad.tolist() == [[5, 6], [7, 8]] and two.grad.tolist() == [0]
    assert without.grad is None


@pytest.mark.parametrize(
    ("group", "order"),
    [(LEADER, ["block", "barrier"]), (SECOND, ["barrier", "block"]), (ALONE, ["block"])],
)
def test_the_leader_goes_first_and_lets_the_others_go_where_it_fails(
    group: Processes, order: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[str] = []
    monkeypatch.setattr(distributed, "barrier", lambda: happened.append("barrier"))
    with leader_first(group):
        happened.append("block")
    assert happened == order
    with pytest.raises(OSError, match="full"), leader_first(group):
        happened.append("block")
        raise OSError("full")
    assert happened == order * 2
    assert group.leads == (group != SECOND)


def test_values_are_gathered_in_the_processes_order(monkeypatch: pytest.MonkeyPatch) -> None:
    def all_gather_object(values: list[Any], value: Any) -> None:
        assert len(values) == 2
        values[:] = ["the leader's", value]

    monkeypatch.setattr(distributed, "all_gather_object", all_gather_object)
    assert gathered("mine", SECOND) == ["the leader's", "mine"]
    assert gathered("mine", ALONE) == ["mine"]


def test_a_run_is_joined_and_left_again_though_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """By gloo without GPUs; without torchrun's words a process is alone."""
    happened: list[str] = []
    monkeypatch.setattr(
        distributed, "init_process_group", lambda backend, **_: happened.append(backend)
    )
    monkeypatch.setattr(distributed, "destroy_process_group", lambda: happened.append("left"))
    monkeypatch.setattr(distributed, "get_rank", lambda: 1)
    monkeypatch.delitem(os.environ, "WORLD_SIZE", raising=False)
    with processes(CPU) as group:
        assert group == ALONE and not happened
    monkeypatch.setitem(os.environ, "WORLD_SIZE", "2")
    with pytest.raises(OSError, match="full"), processes(CPU) as group:
        assert group == SECOND
        raise OSError("full")
    assert happened == ["gloo", "left"]
