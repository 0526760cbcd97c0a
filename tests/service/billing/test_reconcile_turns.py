"""The comparison of stream, ledger and quota with agent turns: a continuation is a line that costs nothing."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest_asyncio

from contracts.outcomes import Outcome
from devstack.pytest_plugin import FreshDatabase
from tests.service.billing.billing_process import settle
from tests.service.billing.books import Books, books, named


@pytest_asyncio.fixture
async def house(fresh_database: FreshDatabase, nats_url: str) -> AsyncIterator[Books]:
    async with books(await fresh_database("quota", "billing"), nats_url) as opened:
        yield opened


async def test_turns_that_are_continued_are_equal_while_their_calls_are_open_and_when_they_are_settled(
    house: Books,
) -> None:
    account = uuid4()
    opener = await house.held(account)
    first = await house.continued(account, opener.turn_id, answers=1)
    failed = await house.continued(account, opener.turn_id, answers=2, ended_as=Outcome.UPSTREAM_BROKEN)
    retried = await house.continued(account, opener.turn_id, answers=3)
    assert [one.call for one in (first, failed, retried)] == [2, 3, 4]
    assert (await house.compare()).result == "equal"
    await settle(house.bus, first, failed)
    assert (await house.compare()).result == "equal"
    await settle(house.bus, opener)
    await house.continued(account, opener.turn_id, answers=4)
    report = await house.compare()
    assert (report.result, report.figures["lines"]) == ("equal", 3)
    await settle(house.bus, retried)
    assert (await house.compare()).result == "equal"
    lines = [(line["call"], line["outcome"], line["prompts"], line["turn_id"]) for line in await house.lines()]
    assert lines == [
        (2, "continuation", 0, opener.turn_id),
        (3, "continuation", 0, opener.turn_id),
        (1, "completed", 1, opener.turn_id),
        (4, "continuation", 0, opener.turn_id),
    ]


async def test_a_continuation_that_was_charged_is_a_difference(house: Books) -> None:
    """Its gateway was wrong, and quota did not follow."""
    account = uuid4()
    (opener,) = await house.spend(account, Outcome.COMPLETED)
    ride = await house.continued(account, opener.turn_id, answers=1)
    await settle(house.bus, ride.model_copy(update={"outcome": Outcome.COMPLETED}))
    report = await house.compare()
    assert named(report) == ["used_differs"]
    assert report.differences[0].figures == {"ledger": 2, "quota": 1}
