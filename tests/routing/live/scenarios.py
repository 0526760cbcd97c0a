"""The scenarios, and the figures of one: what clients got while one provider of four was failing."""

import asyncio
import random
import time
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from tests.routing.live.clients import Clients, Reply, Seen
from tests.routing.live.providers import Mode, Target, Targets

SLOW_SECONDS = 5.0
FLAP_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """What goes wrong with the first target; `flaps`: every five seconds it changes between that and health."""

    name: str
    mode: Mode
    flaps: bool = False


SCENARIOS = (
    Scenario("healthy", "healthy"),
    Scenario("slow", "slow"),
    Scenario("silent", "silent"),
    Scenario("errors", "errors"),
    Scenario("429 with Retry-After", "rate_limited"),
    Scenario("breaks in the middle", "breaks"),
    Scenario("flapping", "silent", flaps=True),
)


@dataclass(frozen=True, slots=True)
class Figures:
    """Of the requests that began while the fault was on. Shares are 0 to 1, times in seconds to the first word.

    `switches` are answers of another model within an agent's turn, `faithful` the share of a session's turns that came
    to the same target as the one before while both were well.
    """

    requests: int
    errors: float
    slow: float
    p50: float
    p99: float
    calls_per_request: float
    switches: int
    agents: int
    agents_given_up: int
    faithful: float


def new_targets(seed: int) -> Targets:
    """Four providers: two models with two endpoints each, of different speed."""
    medians = (("one", "alpha", 0.15), ("two", "alpha", 0.2), ("three", "beta", 0.25), ("four", "beta", 0.3))
    return Targets(*(Target(*facts, draw=random.Random(f"{seed} {facts[0]}")) for facts in medians))


async def play(scenario: Scenario, targets: Targets, clients: Clients, *, seconds: float, per_second: float) -> Figures:
    """A third of the time healthy, then the fault until the end; afterwards all is well again."""
    calls_before, began = targets.calls, time.monotonic()
    fault = asyncio.create_task(_break(scenario, targets.all[0], after=seconds / 3))
    try:
        seen = await clients.run(seconds=seconds, per_second=per_second)
    finally:
        fault.cancel()
        targets.all[0].mode = "healthy"
    return figures(seen, targets, since=began + seconds / 3, calls=targets.calls - calls_before)


async def _break(scenario: Scenario, target: Target, *, after: float) -> None:
    await asyncio.sleep(after)
    while True:
        target.mode = scenario.mode
        await asyncio.sleep(FLAP_SECONDS)
        if scenario.flaps:
            target.mode = "healthy"
            await asyncio.sleep(FLAP_SECONDS)


def figures(seen: Seen, targets: Targets, *, since: float, calls: int) -> Figures:
    """What came out."""
    during = [reply for reply in seen.replies if reply.began >= since]
    firsts = sorted(reply.first_seconds for reply in during if reply.first_seconds is not None)
    families = {target.name: target.family for target in targets.all}
    return Figures(
        requests=len(during),
        errors=_share(not reply.is_good for reply in during),
        slow=_share(_is_slow(reply) for reply in during),
        p50=_at(firsts, 0.5),
        p99=_at(firsts, 0.99),
        calls_per_request=calls / len(seen.replies),
        switches=sum(families[one] != families[other] for turn in seen.agents for one, other in pairwise(turn)),
        agents=len(seen.agents),
        agents_given_up=seen.agents_given_up,
        faithful=_faithful(seen, failing=targets.all[0].name),
    )


def _is_slow(reply: Reply) -> bool:
    return reply.first_seconds is None or reply.first_seconds > SLOW_SECONDS


def _faithful(seen: Seen, *, failing: str) -> float:
    """Turns that left the failing target, or came back to it, are not the session's own unfaithfulness."""
    pairs = [
        (one, other)
        for turns in seen.sessions.values()
        for (_, one), (_, other) in pairwise(sorted(turns))
        if failing not in (one, other)
    ]
    return _share(one == other for one, other in pairs)


def _share(claims: Iterable[bool]) -> float:
    found = list(claims)
    return sum(found) / len(found) if found else 0.0


def _at(ordered: list[float], share: float) -> float:
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else float("nan")
