"""A Ray cluster in this process, whose machines go when a test says so.

The part of Ray that pipeline/batch/ray_workers.py uses, with its promises: what an actor answers
is waited for and then fetched, and fetching from an actor whose machine is gone raises
RayActorError. tests/benchmarks/ray_nodes.py has the real one, with two nodes.
"""

import itertools
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any


class RayError(Exception):
    """Anything that Ray itself reports."""


class RayActorError(RayError):
    """An actor is gone with its machine."""


class Answer:
    """What an actor will answer with; it is computed when it is fetched."""

    def __init__(self, actor: "Actor", name: str, call: Callable[[], Any]) -> None:
        self.actor, self.name, self._call = actor, name, call

    def fetch(self) -> Any:
        """The answer.

        Raises:
            RayActorError: the actor's machine is gone.
        """
        if self.actor.cluster.loses(self.actor, self.name):
            self.actor.gone = True
        if self.actor.gone:
            raise RayActorError("The actor died.")
        return self._call()


class Actor:
    """A worker on some machine; `actor.method.remote(...)` asks it."""

    def __init__(self, cluster: "Cluster", number: int, worker: Any) -> None:
        self.cluster, self.number, self.worker, self.gone = cluster, number, worker, False

    def __getattr__(self, name: str) -> Any:
        def remote(*arguments: Any) -> Answer:
            return Answer(self, name, lambda: getattr(self.worker, name)(*arguments))

        return SimpleNamespace(remote=remote)

    def end(self) -> None:
        """What goes with a machine: the worker process."""
        self.worker._supervisor.__exit__()


class Cluster:
    """The module `ray`.

    Args:
        resources: of all machines, as Ray counts them.
        machines: how many; one more is there that is not alive.
        loses: whether an actor's machine goes before it answers to this method.
        breaks: whether Ray itself fails when it is waited for.
    """

    exceptions = SimpleNamespace(RayError=RayError, RayActorError=RayActorError)

    def __init__(
        self,
        *,
        resources: dict[str, float],
        machines: int = 1,
        loses: Callable[[Actor, str], bool] = lambda actor, name: False,
        breaks: bool = False,
    ) -> None:
        self._resources, self._machines, self._breaks = resources, machines, breaks
        self.loses = loses
        self.actors: list[Actor] = []
        self.asked: dict[str, Any] = {}  # for an actor
        self.address: str | None = None
        self.ended = False

    def init(self, address: str, **_: Any) -> None:
        """Connects; nobody is at the address "nowhere"."""
        if address == "nowhere":
            raise ConnectionError("Could not find any running Ray instance.")
        self.address = address

    def cluster_resources(self) -> dict[str, float]:
        """Of all machines together."""
        return self._resources

    def nodes(self) -> list[dict[str, Any]]:
        """The machines that are there, and one that was."""
        return [{"Alive": True}] * self._machines + [{"Alive": False}]

    def remote(self, **asked: Any) -> Callable[[type], Any]:
        """Actors of a class, by what each asks for."""
        self.asked = asked

        def of(kind: type) -> Any:
            def start(*arguments: Any, **named: Any) -> Actor:
                self.actors.append(Actor(self, len(self.actors), kind(*arguments, **named)))
                return self.actors[-1]

            return SimpleNamespace(remote=start)

        return of

    def wait(self, answers: Sequence[Answer], **_: Any) -> tuple[list[Answer], list[Answer]]:
        """The newest answer and the others: answers come in no order that may be relied on."""
        if self._breaks:
            raise RayError("The head\nis gone.")
        return list(answers[-1:]), list(answers[:-1])

    def get(self, answer: Answer) -> Any:
        """An answer; see `Answer.fetch`."""
        return answer.fetch()

    def kill(self, actor: Actor) -> None:
        """Ends an actor, also one that is gone."""
        actor.gone = True
        actor.end()

    def shutdown(self) -> None:
        """Ends all actors."""
        for actor in self.actors:
            actor.end()
        self.ended = True


def losing(method: str, *, times: int, sparing: int = 0) -> Callable[[Actor, str], bool]:
    """Machines that go before they answer.

    Args:
        method: to what.
        times: how many go.
        sparing: how many answer to it before the first goes.
    """
    calls = itertools.count()

    def loses(actor: Actor, name: str) -> bool:
        return name == method and sparing <= next(calls) < sparing + times

    return loses
