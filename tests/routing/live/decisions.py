"""What one decision costs: in the process, the reading of the text included, and over the bus at a steady rate.

In the process: CPU time of scoring and naming a text, and of `Switchboard.choose` among eight targets in two tiers.
Over the bus: from the ask to the answer as a gateway has it, against two routers in processes of their own.
"""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import uuid4

import scoring
from chassis import bus
from chassis.bus import Bus
from contracts.gateway import ATTEMPTS_FINISHED, AttemptsFinished, FirstByte, TargetLoad
from contracts.plans import PlanCatalogue
from contracts.router import CHOOSE, Choose, Chosen, Features
from router.profiles import Profiles
from router.store import checked
from router.switchboard import Switchboard

TARGETS = [f"target-{number}" for number in range(8)]
IN_PROCESS_GOAL_MS = 2.0
OVER_BUS_GOAL_MS = 5.0
REPORT_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Cost:
    """Milliseconds of one kind of work."""

    name: str
    p50: float
    p99: float
    goal_p99: float | None = None


def profiles(alias: str) -> dict[str, object]:
    """Eight priced targets in two tiers."""
    return {
        "version": 1,
        "targets": {
            name: {
                "base_url": "http://127.0.0.1:9/v1",
                "model": name,
                "context_window": 128_000,
                "prices": {"currency": "USD", "input_per_million": 1 + number, "output_per_million": 4 + number},
            }
            for number, name in enumerate(TARGETS)
        },
        "profiles": {alias: {"light": TARGETS[:5], "strong": TARGETS[5:], "strong_budget": 0.3}},
    }


def in_process(plans: PlanCatalogue, *, decisions: int = 5_000, seed: int = 1) -> list[Cost]:
    """CPU time, with what a busy fleet reports in between."""
    draw = random.Random(seed)
    alias = plans.plans[0].alias
    one_plan = plans.model_copy(update={"plans": plans.plans[:1], "default_plan": plans.plans[0].name})
    switchboard = Switchboard(checked(one_plan, Profiles.model_validate(profiles(alias))))
    asks = [ask_of(draw, plan=plans.plans[0].name, alias=alias) for _ in range(decisions)]
    scorer = scoring.Scorer.shipped()
    texts = [text_of(draw) for _ in range(decisions)]
    deciding, both = [], []
    for number, (ask, text) in enumerate(zip(asks, texts, strict=True)):
        now = number / 200
        if number % 10 == 0:
            switchboard.hear(report_of(draw), now=now)
        read = _cpu_ms(lambda text=text: (scorer.score(text), scoring.kind_of(text)))  # type: ignore[misc]
        decided = _cpu_ms(lambda ask=ask, now=now: switchboard.choose(ask, now=now))  # type: ignore[misc]
        deciding.append(decided)
        both.append(read + decided)
    return [
        _cost("deciding among eight targets", deciding),
        _cost("with reading the text", both, goal=IN_PROCESS_GOAL_MS),
    ]


async def over_bus(nats_url: str, *, plan: str, alias: str, seconds: float, per_second: float = 200.0) -> list[Cost]:
    """From ask to answer, in an open loop, while a gateway reports its loads."""
    draw = random.Random(2)
    times: list[float] = []
    async with bus.connect(nats_url, name="gateway", instance="bench") as connection:
        reporting = asyncio.create_task(_report(connection, draw))
        try:
            await _asked(connection, draw, times, plan=plan, alias=alias, seconds=1.0, per_second=per_second)
            times.clear()  # the first second warms up
            await _asked(connection, draw, times, plan=plan, alias=alias, seconds=seconds, per_second=per_second)
        finally:
            reporting.cancel()
    return [_cost(f"over NATS at {per_second:g} a second", times, goal=OVER_BUS_GOAL_MS)]


async def _asked(
    connection: Bus,
    draw: random.Random,
    times: list[float],
    *,
    plan: str,
    alias: str,
    seconds: float,
    per_second: float,
) -> None:
    async def one(ask: Choose) -> None:
        began = time.perf_counter()
        reply = await bus.ask(connection, CHOOSE, ask, timeout_seconds=5)
        times.append((time.perf_counter() - began) * 1000)
        assert isinstance(reply, Chosen), reply

    end = time.monotonic() + seconds
    async with asyncio.TaskGroup() as group:
        while time.monotonic() < end:
            group.create_task(one(ask_of(draw, plan=plan, alias=alias)))
            await asyncio.sleep(draw.expovariate(per_second))


async def _report(connection: Bus, draw: random.Random) -> None:
    while True:
        await bus.tell(connection, ATTEMPTS_FINISHED, report_of(draw))
        await asyncio.sleep(REPORT_SECONDS)


def ask_of(draw: random.Random, *, plan: str, alias: str) -> Choose:
    """A request like many: half of them of a session."""
    features = Features(
        request_class=draw.choice(("chat", "code", "tools", "maths")),
        difficulty=draw.random(),
        input_tokens=draw.randrange(100, 30_000),
        output_tokens=draw.choice((None, 1_000)),
        needs=draw.choice(((), ("tools",), ("tools", "schema"))),
    )
    session = f"{draw.randrange(1_000):032x}" if draw.random() < 0.5 else None
    affinity = (session,) if session is not None else ()
    return Choose(request_id=uuid4(), plan=plan, alias=alias, features=features, session=session, affinity=affinity)


def report_of(draw: random.Random) -> AttemptsFinished:
    """What a gateway in the middle of its day tells."""
    loads = tuple(
        TargetLoad(
            target=name, in_flight=draw.randrange(30), waiting=draw.randrange(5), oldest_seconds={0: 0.3}, started=2
        )
        for name in TARGETS
    )
    firsts = tuple(FirstByte(target=name, bucket=draw.randrange(4), seconds=draw.uniform(0.2, 1.0)) for name in TARGETS)
    return AttemptsFinished(gateway="bench", attempts=(), first_bytes=firsts, loads=loads)


def text_of(draw: random.Random) -> str:
    """Words of a prompt: 575 characters on average, one in twenty long enough for the cap."""
    length = 6_000 if draw.random() < 0.05 else int(draw.expovariate(1 / 400)) + 20
    words: list[str] = []
    while sum(map(len, words)) + len(words) < length:
        words.append("".join(draw.choices("etaoinshrdlucmf", k=draw.randrange(1, 10))))
    return " ".join(words)


def _cpu_ms(work: Callable[[], object]) -> float:
    began = time.process_time_ns()
    work()
    return (time.process_time_ns() - began) / 1e6


def _cost(name: str, times: Sequence[float], *, goal: float | None = None) -> Cost:
    ordered = sorted(times)
    return Cost(name, ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)], goal)
