"""A router that says what a test wants, and what gateways tell routers."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from chassis import bus
from contracts.failures import Failure
from contracts.gateway import ATTEMPTS_FINISHED, AttemptFinished, AttemptsFinished, FirstByte, TargetLoad
from contracts.router import CHOOSE, Candidate, Choose, Chosen, Format, Route, Timeouts, Unroutable
from devstack.provider import Provider, Script
from devstack.provider.http import Request
from devstack.provider.identity import Identity
from devstack.provider.script import Pause, Steps

ROUTE = Route(
    profiles_version=7,
    request_class="chat",
    tier="light",
    rule="single_tier",
    placement="order",
    candidates=2,
    considered=2,
)
SHORT = Timeouts(connect_seconds=0.5, first_byte_seconds=5.0, silence_seconds=5.0)


def late(script: Script, seconds: float) -> Script:
    """The same, after a while without a byte."""

    def play(request: Request, identity: Identity) -> Steps:
        yield Pause(seconds)
        yield from script.play(request, identity)

    return Script(f"late {script.name}", play)


def plan(*providers: tuple[str, Provider], timeouts: Timeouts = SHORT, spoken: Format = "chat", **more: Any) -> Chosen:
    """Candidates in this order, each called `<name>-model` at its provider; all of them speak one format."""
    candidates = tuple(
        Candidate(
            target=name,
            base_url=provider.base_url,
            model=f"{name}-model",
            key=None,
            format=spoken,
            timeouts=timeouts,
        )
        for name, provider in providers
    )
    route = ROUTE.model_copy(update={"candidates": len(candidates)})
    fields: dict[str, Any] = {"alias": "smart-route", "plans_version": 1, "profiles_version": 7, "route": route}
    return Chosen(candidates=candidates, **{**fields, **more})


@dataclass(slots=True)
class Router:
    """`reply` makes the answer to an ask; `delay_seconds` is how long that takes."""

    reply: Callable[[Choose], Chosen | Unroutable | Failure]
    delay_seconds: float = 0.0
    asks: list[Choose] = field(default_factory=list)
    _leaving: asyncio.Event = field(default_factory=asyncio.Event)

    def says(self, reply: Chosen | Unroutable | Failure) -> None:
        self.reply = lambda _: reply

    def is_silent(self) -> None:
        self.delay_seconds = 3600.0

    async def choose(self, ask: Choose) -> Chosen | Unroutable | Failure:
        self.asks.append(ask)
        if self.delay_seconds:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._leaving.wait(), self.delay_seconds)
        return self.reply(ask)


@asynccontextmanager
async def router_saying(nats_url: str, reply: Chosen | Unroutable | Failure) -> AsyncIterator[Router]:
    """The only router there is, until the block ends."""
    router = Router(lambda _: reply)
    async with bus.connect(nats_url, name="router", instance="scripted") as connection:
        await bus.serve(connection, CHOOSE, router.choose, queue="router")
        try:
            yield router
        finally:
            router._leaving.set()


@dataclass(slots=True)
class Heard:
    """What gateways told, in order."""

    reports: list[AttemptsFinished] = field(default_factory=list)

    @property
    def attempts(self) -> list[AttemptFinished]:
        return [attempt for report in self.reports for attempt in report.attempts]

    @property
    def first_bytes(self) -> list[FirstByte]:
        return [first for report in self.reports for first in report.first_bytes]

    def loads(self, target: str) -> list[TargetLoad]:
        return [load for report in self.reports for load in report.loads or () if load.target == target]

    async def at_rest(self, *targets: str) -> bool:
        """Whether the last load of each of them says that nothing is open."""
        return all(loads and loads[-1].in_flight == 0 for loads in map(self.loads, targets))


@asynccontextmanager
async def hearing(nats_url: str) -> AsyncIterator[Heard]:
    heard = Heard()
    async with bus.connect(nats_url, name="test", instance="test") as connection:
        await bus.hear(connection, ATTEMPTS_FINISHED, heard.reports.append)
        yield heard
