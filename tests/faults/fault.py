"""What a fault is: a name, how it comes and how it goes, and what may follow from it."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.faults.books import Allowed
from tests.faults.clients import Customer
from tests.faults.load import Load
from tests.faults.truth import Truth
from tests.faults.world import World


class NotInjected(Exception):
    """The fault did not happen, so that its round says nothing."""


class TooLate(NotInjected):
    """The world was ready after the moment that it was made for: it needs more time to start."""


@dataclass(slots=True)
class Scene:
    """One round: the running load and what the fault wants to remember until it heals."""

    world: World
    load: Load
    customers: Sequence[Customer]
    rng: random.Random
    notes: dict[str, Any] = field(default_factory=dict)
    tasks: list[asyncio.Task[Any]] = field(default_factory=list)

    @property
    def boundless(self) -> Customer:
        """A customer whom no limit stops."""
        return next(customer for customer in self.customers if customer.daily is None)


Act = Callable[[Scene], Awaitable[None]]
Expect = Callable[[Scene, Truth], Iterable[str]]


NOTHING = Allowed()


async def nothing(_: Scene) -> None:
    """A fault that goes by itself."""


def no_more(_: Scene, __: Truth) -> Iterable[str]:
    """No expectation beyond the invariants."""
    return ()


@dataclass(frozen=True, slots=True)
class Fault:
    """`before` comes before the load, and `hold_seconds` pass between `inject` and `heal`.

    Afterwards requests have to succeed on every gateway within `heals_within_seconds`, by themselves. `world` names the
    shape that it is played in.
    """

    name: str
    what: str
    inject: Act
    heal: Act = nothing
    before: Act = nothing
    hold_seconds: float = 0.0
    heals_within_seconds: float = 30.0
    allowed: Allowed = NOTHING
    expect: Expect = no_more
    world: str = "house"
