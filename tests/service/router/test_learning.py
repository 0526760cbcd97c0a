"""Outcomes learnt by several replicas over a real bus: sums of all, over conflicts and restarts."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import pytest_asyncio

from chassis import bus
from chassis.bus import Bus, connect
from contracts.gateway import ATTEMPTS_FINISHED, AttemptFinished, AttemptsFinished
from contracts.router import RequestClass
from contracts.streams import ROUTER_OUTCOMES
from router.domain.outcomes import Cell, Count
from router.learning import Learner
from router.switchboard import Switchboard
from tests.unit.router.configurations import configuration


class Seeing(Switchboard):
    """A switchboard that shows what it was told."""

    def __init__(self) -> None:
        super().__init__(configuration())
        self.learnt: dict[Cell, Count] = {}

    def learn(self, cell: Cell, count: Count) -> None:
        super().learn(cell, count)
        self.learnt[cell] = count


Replica = tuple[Learner, Seeing]


@asynccontextmanager
async def a_replica(nats_url: str, name: str) -> AsyncIterator[Replica]:
    async with connect(nats_url, name="router", instance=name) as connection:
        switchboard = Seeing()
        learner = Learner(connection, switchboard)
        await learner.listen()
        await connection.flush()
        yield learner, switchboard


@pytest_asyncio.fixture
async def replicas(nats_url: str) -> AsyncIterator[list[Replica]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(a_replica(nats_url, f"router-{number}")) for number in range(2)]


@pytest_asyncio.fixture
async def gateway(nats_url: str) -> AsyncIterator[Bus]:
    async with connect(nats_url, name="gateway", instance="g") as connection:
        yield connection


def outcome(
    *, target: str = "near", request_class: RequestClass | None = "code", is_bad: bool = False
) -> AttemptFinished:
    fault = "empty" if is_bad else None
    return AttemptFinished(target=target, result="ok", request_class=request_class, fault=fault)


async def tell(gateway: Bus, *attempts: AttemptFinished) -> None:
    await bus.tell(gateway, ATTEMPTS_FINISHED, AttemptsFinished(gateway="g", attempts=attempts))


async def heard(gateway: Bus) -> None:
    await gateway.flush()
    await asyncio.sleep(0.2)


async def shared(replicas: list[Replica], *, rounds: int = 4) -> None:
    """Until nothing is new: a replica that was not the quicker one adds in the next round."""
    for _ in range(rounds):
        await asyncio.gather(*(learner.share() for learner, _ in replicas))


def near(count: Count) -> tuple[float, float]:
    """Without the little that a few seconds take off a weight of 14 days."""
    return round(count.good, 2), round(count.bad, 2)


async def test_two_replicas_add_up_exactly_what_each_heard(replicas: list[Replica], gateway: Bus) -> None:
    for number in range(200):
        await tell(gateway, outcome(is_bad=number % 4 == 0), outcome(target="far", request_class="chat"))
    await heard(gateway)
    counted = [sum(sum(cell) for cell in learner._new.values()) for learner, _ in replicas]
    assert sum(counted) == 400
    assert min(counted) > 0, "the queue group shares the reports"
    await shared(replicas)
    for _, switchboard in replicas:
        assert {cell: near(count) for cell, count in switchboard.learnt.items()} == {
            ("code", "near"): (150.0, 50.0),
            ("chat", "far"): (200.0, 0.0),
        }


async def test_what_is_shared_is_not_added_again(replicas: list[Replica], gateway: Bus) -> None:
    await tell(gateway, outcome(), outcome(is_bad=True))
    await heard(gateway)
    await shared(replicas, rounds=6)
    assert {near(switchboard.learnt["code", "near"]) for _, switchboard in replicas} == {(1.0, 1.0)}


async def test_who_is_slower_adds_in_the_next_round(replicas: list[Replica], nats_url: str) -> None:
    (first, _), (second, seen) = replicas
    for learner in (first, second):
        learner.count(AttemptsFinished(gateway="g", attempts=(outcome(),) * 10))
    await asyncio.gather(first.share(), second.share())
    await shared(replicas, rounds=2)
    assert near(seen.learnt["code", "near"]) == (20.0, 0.0)


async def test_an_outcome_that_comes_while_a_count_is_written_is_not_lost(
    replicas: list[Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    learner, seen = replicas[0]
    learner.count(AttemptsFinished(gateway="g", attempts=(outcome(),)))
    write = bus.write_entry

    async def slowly(*args: object, **kwargs: object) -> int | None:
        learner.count(AttemptsFinished(gateway="g", attempts=(outcome(is_bad=True),)))
        monkeypatch.setattr(bus, "write_entry", write)
        return await write(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(bus, "write_entry", slowly)
    await shared(replicas, rounds=3)
    assert near(seen.learnt["code", "near"]) == (1.0, 1.0)


async def test_a_restart_keeps_what_was_learnt(nats_url: str, replicas: list[Replica]) -> None:
    replicas[0][0].count(AttemptsFinished(gateway="g", attempts=(outcome(),) * 7))
    await shared(replicas)
    async with a_replica(nats_url, "fresh") as (learner, switchboard):
        await learner.share()
        assert near(switchboard.learnt["code", "near"]) == (7.0, 0.0)


async def test_only_outcomes_with_a_class_and_of_our_targets_are_counted(replicas: list[Replica]) -> None:
    learner, _ = replicas[0]
    learner.count(AttemptsFinished(gateway="g", attempts=(outcome(request_class=None), outcome(target="elsewhere"))))
    assert not learner._new


@pytest.mark.parametrize("garbage", [b"", b"{", b"null", b"[1]", b'{"good": "x", "bad": 1, "at": 1}', b'{"good": 1}'])
async def test_a_value_that_is_no_count_is_begun_again(replicas: list[Replica], gateway: Bus, garbage: bytes) -> None:
    await bus.write_entry(gateway, ROUTER_OUTCOMES, "code.near", garbage, over=None)
    await bus.write_entry(gateway, ROUTER_OUTCOMES, "poems.near", b'{"good": 1, "bad": 1, "at": 1}', over=None)
    learner, seen = replicas[0]
    learner.count(AttemptsFinished(gateway="g", attempts=(outcome(),)))
    await learner.share()
    assert {cell: near(count) for cell, count in seen.learnt.items()} == {("code", "near"): (1.0, 0.0)}


async def test_old_outcomes_weigh_less(replicas: list[Replica], gateway: Bus) -> None:
    fortnight_ago = json.dumps({"good": 100.0, "bad": 40.0, "at": time.time() - 14 * 86_400}).encode()
    await bus.write_entry(gateway, ROUTER_OUTCOMES, "code.near", fortnight_ago, over=None)
    learner, seen = replicas[0]
    learner.count(AttemptsFinished(gateway="g", attempts=(outcome(),)))
    await learner.share()
    assert near(seen.learnt["code", "near"]) == (51.0, 20.0)
