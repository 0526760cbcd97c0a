"""Which way a request went: kept with its line, told on the receipt and to staff, and no part of what is hashed."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
import pytest_asyncio

from billing.domain.lines import Settlement
from billing.reconcile import rebuild
from billing.store.scratch import scratch
from chassis.bus import ask, connect
from contracts import cloudevents
from contracts.billing import READ_RECEIPT, ReadReceipt, Receipt
from contracts.gateway import REQUEST_SETTLED, RequestSettled
from contracts.outcomes import Outcome
from contracts.quota import Granted
from devstack.pytest_plugin import FreshDatabase
from devstack.repository import ROOT
from tests.routes import a_route_taken
from tests.service.billing.billing_process import Billing, a_settlement, settle
from tests.service.billing.books import Books, books
from tests.service.quota.quota_process import quota_here, reserve
from tests.unit.billing.test_ledger_guide import run

ROUTE = a_route_taken()
OTHER = ROUTE.model_copy(update={"target": None, "hedges": 0})


@pytest_asyncio.fixture
async def billing(fresh_database: FreshDatabase, nats_url: str) -> Billing:
    return Billing(await fresh_database("billing"), nats_url)


@pytest_asyncio.fixture
async def house(fresh_database: FreshDatabase, nats_url: str) -> AsyncIterator[Books]:
    async with books(await fresh_database("quota", "billing"), nats_url) as opened:
        yield opened


async def receipt(billing: Billing, settled: RequestSettled) -> Receipt:
    asked = ReadReceipt(account_id=settled.account_id, request_id=settled.request_id)
    async with billing.bus() as bus:
        reply = await ask(bus, READ_RECEIPT, asked, timeout_seconds=5)
    assert isinstance(reply, Receipt)
    return reply


def an_earlier_message(name: str) -> bytes:
    """An example of an earlier release, of a request of its own."""
    raw = (ROOT / "tests/contract/examples" / name).read_bytes()
    return raw.replace(json.loads(raw)["id"].encode(), str(uuid4()).encode())


async def test_a_route_is_stored_with_its_line_and_given_back_without_a_name_of_the_target(billing: Billing) -> None:
    settled = a_settlement(route=ROUTE, target="canary-of-nebula")
    async with billing.running(), billing.bus() as bus:
        await settle(bus, settled)
        (line,) = await billing.wait_for_lines(1)
        found = await receipt(billing, settled)
    assert line["route"] == ROUTE.model_dump(mode="json")
    assert found.route == ROUTE
    assert line["target"] == "canary-of-nebula"
    assert "canary" not in found.model_dump_json()


async def test_old_gateways_and_quotas_sweeper_tell_no_route(billing: Billing) -> None:
    """The very bytes of earlier releases, beside one that has a route in the same batch."""
    old = [an_earlier_message("v0.1/RequestSettled.json"), an_earlier_message("v0.2/RequestSettled.expired.json")]
    new = a_settlement(route=ROUTE)
    async with billing.bus() as bus:
        for raw in old:
            await bus.request(REQUEST_SETTLED.subject, raw, headers=None, timeout_seconds=5)
        await settle(bus, new)
        async with billing.running():
            lines = await billing.wait_for_lines(3)
            found = [await receipt(billing, cloudevents.unwrap(REQUEST_SETTLED, raw)[1]) for raw in old]
    assert [line["route"] for line in lines] == [None, None, ROUTE.model_dump(mode="json")]
    assert [(each.route, each.result) for each in found] == [(None, "completed"), (None, "expired")]


async def test_a_request_that_quota_lets_expire_has_no_route_and_what_its_gateway_says_later_changes_nothing(
    fresh_database: FreshDatabase, nats_url: str
) -> None:
    database = await fresh_database("quota", "billing")
    billing = Billing(database, nats_url)
    async with (
        quota_here(database, nats_url, lease_seconds=1.0, sweep_seconds=0.1),
        connect(nats_url, name="test", instance="test") as bus,
        billing.running(),
    ):
        settled = a_settlement(route=ROUTE)
        assert isinstance(await reserve(bus, settled.account_id, request_id=settled.request_id), Granted)
        (line,) = await billing.wait_for_lines(1)
        await settle(bus, settled)
        await billing.wait_for_rows("SELECT 1 AS one FROM billing.settlement_conflicts", 1)
        found = await receipt(billing, settled)
    assert (line["outcome"], line["route"]) == ("expired", None)
    assert (found.result, found.route) == (Outcome.EXPIRED, None)


async def test_a_later_settlement_changes_no_route_and_a_first_one_that_comes_late_brings_its_own(
    house: Books,
) -> None:
    first = a_settlement(route=ROUTE, settled_by="gateway-1")
    later = first.model_copy(update={"route": OTHER, "settled_by": "gateway-2"})
    ledger = house.store.ledger
    await ledger.record([Settlement(later, 9), Settlement(later.model_copy(update={"route": None}), 10)])
    assert [each.route for each in await ledger.lines_of(first.request_id, account_id=first.account_id)] == [OTHER]
    await ledger.record([Settlement(first, 8)])
    await ledger.record([Settlement(later, 9), Settlement(first, 8)])
    lines = await ledger.lines_of(first.request_id, account_id=first.account_id)
    assert [(each.entry.kind, each.route) for each in lines] == [
        ("settlement", OTHER),
        ("reversal", None),
        ("settlement", ROUTE),
    ]
    kept = await house.billing.rows("SELECT payload FROM billing.settlement_conflicts ORDER BY stream_sequence")
    assert kept[0]["payload"] == later.model_dump(mode="json"), "the route of the one that lost its line was lost"
    assert kept[1]["payload"]["route"] is None


async def test_staff_reads_routes_when_asked_and_the_check_of_lines_passes_with_and_without_them(
    billing: Billing, tmp_path: Path
) -> None:
    account = uuid4()
    settlements = [a_settlement(account_id=account, route=route) for route in (None, ROUTE, OTHER)]
    named = ("--reason", "cut off", "--author", "bert")
    async with billing.running(), billing.bus() as bus:
        await settle(bus, *settlements)
        await billing.wait_for_lines(3)
        code, _, err = await billing.command("credit", str(settlements[1].request_id), "--prompts", "1", *named)
        assert (code, err) == (0, "")
        found = await receipt(billing, settlements[1])
    assert (found.credited_prompts, found.route) == (1, ROUTE)
    only = ("ledger", "--account", str(account))
    told = [None, ROUTE.model_dump(mode="json"), OTHER.model_dump(mode="json"), None]
    printed = {}
    for routes in ((), ("--routes",)):
        code, printed[routes], _ = await billing.command(*only, "--json", *routes)
        assert code == 0
        file = tmp_path / "lines.json"
        file.write_text(printed[routes], encoding="utf-8")
        code, out, err = await asyncio.to_thread(run, "check_lines", file)
        assert (code, out.partition(",")[0], err) == (0, "4 lines", "")
    assert [line["route"] for line in json.loads(printed[("--routes",)])] == told
    assert not any("route" in line for line in json.loads(printed[()])), "copies of the program would refuse these"
    _, table, _ = await billing.command(*only, "--routes")
    assert "code: strong by difficulty, affinity, 2 of 3" in table


async def test_books_with_routes_are_equal_chains_are_whole_and_the_stream_folds_to_the_same_routes(
    house: Books,
) -> None:
    account = uuid4()
    routes = [ROUTE, None, OTHER, ROUTE]
    held = [await house.held(account) for _ in routes]
    settlements = [each.model_copy(update={"route": route}) for each, route in zip(held, routes, strict=True)]
    await settle(house.bus, *settlements)
    await settle(house.bus, settlements[0].model_copy(update={"route": OTHER}), twice=True)
    await house.billing.wait_for_lines(4)
    report = await house.compare()
    assert (report.result, report.differences) == ("equal", [])
    found = await rebuild(house.url, house.bus, wait_seconds=5)
    assert (found.is_identical, found.notes) == (True, [])
    told = [None if route is None else route.model_dump(mode="json") for route in routes]
    assert [line["route"] for line in await house.lines()] == told, "the books were changed, or a line lost its route"


async def test_what_is_folded_again_gets_its_routes(house: Books) -> None:
    """A ledger that was lost is made from the stream; so is the one beside it that `rebuild` makes."""
    settlements = [Settlement(a_settlement(route=route), place) for place, route in enumerate((ROUTE, None, OTHER), 1)]
    async with scratch(house.url) as beside:
        assert await beside.record(settlements) == []
        rows = await beside._connection.execute("SELECT route FROM billing.ledger ORDER BY id")
        told = [row[0] for row in await rows.fetchall()]
    assert told == [ROUTE.model_dump(mode="json"), None, OTHER.model_dump(mode="json")]
    assert await house.lines() == []


async def test_a_route_that_was_changed_or_is_unknown_withholds_no_receipt_and_breaks_no_chain(house: Books) -> None:
    (settled,) = await house.spend(uuid4(), Outcome.COMPLETED)
    await house.billing.wait_for_lines(1)
    ledger = house.store.ledger
    unknown = ['{"route": {"rule": "of_tomorrow"}, "target": 1, "of": 2}', '"words"', "[]", "7", "null"]
    for stored in unknown:
        await house.tamper(f"UPDATE billing.ledger SET route = '{stored}'")
        (line,) = await ledger.lines_of(settled.request_id, account_id=settled.account_id)
        assert (line.route, line.entry.request_id) == (None, settled.request_id)
    assert (await house.compare()).result == "equal"


async def test_the_runtime_role_cannot_change_a_route(billing: Billing) -> None:
    async with await psycopg.AsyncConnection.connect(billing.database.url("billing")) as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await connection.execute("UPDATE billing.ledger SET route = NULL")
