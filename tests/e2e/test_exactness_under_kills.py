"""Limits hold exactly while replicas die: 3,000 requests of 100 callers, two gateways, four quotas, five accounts.

Callers whose gateway dies ask again, and what a dead gateway held comes back when its lease is over: in the end every
account has exactly its limit charged, and never had more, not for a moment. `EXACTNESS_SEEDS=5` plays five seeds.
"""

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Sequence

import pytest
import pytest_asyncio
import yaml

from devstack.provider import Ending as Answered
from tests.e2e.product import ALIASES
from tests.faults import truth as truths
from tests.faults.books import Allowed, judge
from tests.faults.clients import Client, Customer, Ending, Seen
from tests.faults.plays import Play, asked_by
from tests.faults.world import Shape, World, eventually, world

LIMITS = {"forty": 40, "ninety": 90, "two-hundred": 200, "three-hundred": 300, "crowded": 150}
CROWD = 6
CALLERS = 100
REQUESTS = 3_000
SEEDS = range(1, int(os.environ.get("EXACTNESS_SEEDS", "1")) + 1)

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]


def _plans() -> dict[str, object]:
    about = {"public_name": "P", "power": "p", "best_fit": "p", "monthly_prompts": 100_000}
    plans = [
        {"name": name, "alias": alias, "daily_prompts": limit, **about}
        for (name, limit), alias in zip(LIMITS.items(), ALIASES, strict=False)
    ]
    plans[-1]["speed"] = {"in_flight": CROWD}
    return {"version": 1, "default_plan": "forty", "plans": plans}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    plans = tmp_path_factory.mktemp("plans") / "plans.yaml"
    plans.write_text(yaml.safe_dump(_plans()))
    replicas = {"gateway": 2, "quota": 4, "router": 2, "billing": 2}
    shape = Shape(name="exactness", plans=plans, replicas=replicas)
    async with world(shape) as made:
        yield made


@pytest.mark.parametrize("seed", SEEDS)
async def test_exactly_the_limits_are_charged_while_replicas_die(running: World, seed: int) -> None:
    rng = random.Random(seed)
    since = await truths.last_sequence(running)
    customers = await running.customers(tuple(LIMITS))
    client = running.client()

    killing = asyncio.create_task(_kill_at_random(running, rng))
    try:
        await _storm(running, client, customers, rng)
    finally:
        killing.cancel()
        (killed,) = await asyncio.gather(killing, return_exceptions=True)
        assert isinstance(killed, asyncio.CancelledError)
    await _at_rest(running, customers)
    await asyncio.gather(*(_take_the_rest(running, client, customer) for customer in customers))
    await _at_rest(running, customers)

    truth = await truths.read(running, customers, since=since)
    verdict = judge(truth, client.log, customers, allowed=Allowed(expiry=True), stopped=())
    assert verdict.holds, {name: sentences[:5] for name, sentences in verdict.broken.items() if sentences}
    charged: Counter[object] = Counter()
    for line in truth.lines:
        charged[line.account_id] += line.prompts
    assert {customer.plan: charged[customer.account_id] for customer in customers} == LIMITS
    highest = {customer.plan: truth.highest[customer.account_id, "day"] for customer in customers}
    assert highest == LIMITS
    crowded = next(customer for customer in customers if customer.in_flight == CROWD)
    assert truth.highest[crowded.account_id, "in_flight"] == CROWD
    assert any(seen.error_code == "rate_limit_exceeded" for seen in client.log if seen.customer is crowded)
    assert _most_at_once(running, client.log, crowded) <= CROWD
    assert verdict.figures["outcome expired"], "nobody died with a prompt in its hands: the test shows nothing"


async def _storm(running: World, client: Client, customers: Sequence[Customer], rng: random.Random) -> None:
    """All requests by all callers, each repeated until it is answered or its account is spent."""
    numbers = iter(range(REQUESTS))

    async def caller() -> None:
        for number in numbers:
            customer = customers[number % len(customers)]
            play = Play(words=rng.randint(1, 10), interval_seconds=rng.choice((0.0, 0.0, 0.02)))
            while not _is_over(seen := await _ask(running, client, customer, play, rng)):
                await asyncio.sleep(0.05 if seen.status == 429 else 0.2)
                play = Play(words=play.words)

    await asyncio.gather(*(caller() for _ in range(CALLERS)))


async def _ask(running: World, client: Client, customer: Customer, play: Play, rng: random.Random) -> Seen:
    gateway = rng.choice(running.stack.gateways)
    return await client.ask(customer, gateway, play, is_stream=rng.random() < 0.5)


def _is_over(seen: Seen) -> bool:
    return seen.ending is Ending.COMPLETE or seen.error_code == "insufficient_quota"


async def _take_the_rest(running: World, client: Client, customer: Customer) -> None:
    """What dead gateways gave back is there for the next who asks."""
    async with asyncio.timeout(60):
        while (await client.ask(customer, running.stack.gateways[0], Play())).error_code != "insufficient_quota":
            pass


async def _at_rest(running: World, customers: Sequence[Customer]) -> None:
    async def at_rest() -> bool:
        return await truths.open_reservations(running, customers) == 0 and await truths.backlog(running) == 0

    await eventually(at_rest, within_seconds=40, what="nothing is held and nothing waits to be booked")


async def _kill_at_random(running: World, rng: random.Random) -> None:
    while True:
        await asyncio.sleep(rng.uniform(0.3, 1.0))
        service = rng.choice(("gateway", "quota", "quota", "quota", "router", "billing"))
        child = rng.choice(running.children(service))
        others = [other for other in running.children(service) if other is not child]
        if all(other.pid is not None for other in others):  # somebody has to be left for the callers
            child.send(signal.SIGKILL)


def _most_at_once(running: World, log: Sequence[Seen], customer: Customer) -> int:
    """The most calls of one customer that the providers answered side by side, by their own log.

    Those that were answered to the end: that is noted in the step that sends the last byte, before anybody can have it.
    That somebody left is noted when the provider's loop comes to it, perhaps after another one took the place.
    """
    mine = {seen.play.call for seen in log if seen.customer is customer}
    moments = []
    for provider in running.providers:
        for exchange in provider.exchanges:
            play = asked_by(exchange.request)
            if play is not None and play.call in mine and exchange.ending is Answered.COMPLETED:
                assert exchange.ended_at is not None
                moments += [(exchange.started_at, 1), (exchange.ended_at, -1)]
    open_now = most = 0
    for _, change in sorted(moments):
        open_now += change
        most = max(most, open_now)
    return most
