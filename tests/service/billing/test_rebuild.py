"""The whole stream folded again gives the same totals, byte for byte; and if it does not, it says where."""

import hashlib
import json
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest_asyncio

from billing.domain.lines import Settlement
from billing.reconcile import Rebuilt, rebuild
from chassis.bus import publish
from contracts.gateway import REQUEST_SETTLED, Cost, RequestSettled
from contracts.outcomes import Outcome
from devstack.pytest_plugin import FreshDatabase
from tests.service.billing.billing_process import a_settlement, settle
from tests.service.billing.books import Books, books


@pytest_asyncio.fixture
async def house(fresh_database: FreshDatabase, nats_url: str) -> AsyncIterator[Books]:
    async with books(await fresh_database("quota", "billing"), nats_url) as opened:
        yield opened


async def told(house: Books) -> list[RequestSettled]:
    """Settlements of three accounts in several months, one of them told twice, one with a cost."""
    accounts = [uuid4() for _ in range(3)]
    settlements = [a_settlement(outcome, account_id=accounts[n % 3]) for n, outcome in enumerate(Outcome)]
    settlements[4] = settlements[4].model_copy(update={"cost": Cost(amount="0.00123", currency="USD")})
    month = settlements[5].month.replace(year=2025)
    settlements[5] = settlements[5].model_copy(update={"day": month, "month": month})
    await settle(house.bus, *settlements)
    await settle(house.bus, settlements[0], twice=True)
    return settlements


async def rebuilt(house: Books) -> Rebuilt:
    return await rebuild(house.url, house.bus, wait_seconds=5)


async def test_the_stream_folded_again_is_identical(house: Books) -> None:
    settlements = await told(house)
    found = await rebuilt(house)
    assert (found.is_identical, found.notes) == (True, [])
    assert found.ledger == found.stream
    assert found.messages == len(settlements) + 1
    assert found.totals == len({(each.account_id, each.day, each.outcome, each.cost) for each in settlements})


async def test_an_empty_stream_and_an_empty_ledger_are_identical(house: Books) -> None:
    found = await rebuilt(house)
    assert (found.is_identical, found.totals, found.ledger) == (True, 0, hashlib.sha256().hexdigest())


async def test_nothing_of_the_books_is_changed_by_it(house: Books) -> None:
    await told(house)
    await rebuilt(house)
    before = [await house.lines(), await house.billing.rows("SELECT * FROM billing.settlement_conflicts")]
    await rebuilt(house)
    assert [await house.lines(), await house.billing.rows("SELECT * FROM billing.settlement_conflicts")] == before


async def test_a_line_that_says_something_else_is_shown_beside_what_the_stream_says(house: Books) -> None:
    await told(house)
    await rebuilt(house)
    await house.tamper("UPDATE billing.ledger SET output_tokens = 8 WHERE stream_sequence = 3")
    found = await rebuilt(house)
    assert (found.is_identical, found.differing) == (False, 1)
    ((ledger, stream),) = found.unlike
    assert ledger is not None
    assert stream is not None
    assert json.loads(ledger) == json.loads(stream) | {"output_tokens": 8}


async def test_lines_that_are_missing_or_too_many_are_shown(house: Books) -> None:
    settlements = await told(house)
    await house.store.ledger.record([Settlement(a_settlement(), 1)])
    await house.billing.wait_for_lines(len(settlements) + 1)
    await house.tamper("DELETE FROM billing.ledger WHERE stream_sequence = 6")
    found = await rebuilt(house)
    assert found.differing == 2
    assert sorted((ledger is None, stream is None) for ledger, stream in found.unlike) == [(False, True), (True, False)]


async def test_lines_that_were_put_right_add_up_to_what_the_stream_says(house: Books) -> None:
    """The ledger has a line, its reversal and another one; the stream in its own order has just the first."""
    held = a_settlement()
    expired = held.model_copy(update={"outcome": Outcome.EXPIRED})
    await house.store.ledger.record([Settlement(expired, 2)])
    await settle(house.bus, held)
    await publish(house.bus, REQUEST_SETTLED, expired, event_id="expired", timeout_seconds=5)
    found = await rebuilt(house)
    assert (len(await house.lines()), found.totals, found.is_identical) == (3, 1, True)


async def test_what_the_stream_no_longer_has_is_left_out_and_said(house: Books) -> None:
    settlements = await told(house)
    await rebuilt(house)
    # The first message of a request is gone, the second one is there: without the first, it proves nothing.
    await house.bus.client.jsm().purge_stream("REQUESTS", seq=4)
    found = await rebuilt(house)
    assert (found.is_identical, found.from_sequence) == (True, 4)
    assert found.notes == ["the stream begins at message 4: older lines are not compared"]
    assert found.messages == len(settlements) + 1 - 3
