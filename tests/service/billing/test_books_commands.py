"""`reconcile`, `rebuild` and `dead-letters` as staff run them: what is printed, and the exit codes."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import uuid4

import psycopg
import pytest_asyncio

from billing.reconcile import rebuild
from billing.store.audit import audit
from chassis.bus import dead_letters
from contracts.outcomes import Outcome
from contracts.streams import BILLING_REQUESTS
from devstack.nats import RunningNats
from devstack.probes import until
from devstack.pytest_plugin import FreshDatabase
from tests.service.billing.billing_process import Billing, a_settlement, settle
from tests.service.billing.books import Books, books
from tests.service.quota.quota_process import quota_here

SUBJECT = "gateway.v1.request_settled"


@pytest_asyncio.fixture
async def house(fresh_database: FreshDatabase, nats_url: str) -> AsyncIterator[Books]:
    async with books(await fresh_database("quota", "billing"), nats_url) as opened:
        yield opened


async def test_equal_books_exit_0_and_different_ones_exit_1_naming_each_difference(house: Books) -> None:
    account = uuid4()
    requests = await house.spend(account, Outcome.COMPLETED, Outcome.COMPLETED)
    code, out, err = await house.billing.command("reconcile")
    assert (code, err) == (0, "")
    assert "the books are equal" in out

    await house.tamper(f"UPDATE billing.ledger SET prompts = 0 WHERE request_id = '{requests[0].request_id}'")
    code, out, err = await house.billing.command("reconcile")
    assert (code, err) == (1, "")
    assert "the books differ: 4 differences" in out
    for name in ("hash_differs", "line_differs", "used_differs", str(account), str(requests[0].request_id)):
        assert name in out

    code, out, _ = await house.billing.command("reconcile", "--json")
    told = json.loads(out)
    assert (code, told["result"], told["found"]) == (1, "different", 4)
    line = next(each for each in told["differences"] if each["kind"] == "line_differs")
    assert (line["account"], line["figures"]) == (str(account), {"prompts": "stream 1 ledger 0"})

    code, out, _ = await house.billing.command("reconcile", "--last", "--json")
    assert (code, json.loads(out)["differences"]) == (1, told["differences"])

    code, out, _ = await house.billing.command("reconcile", "--account", str(uuid4()))
    assert code == 0

    code, out, _ = await house.billing.command("rebuild", "--json")
    rebuilt = json.loads(out)
    assert (code, rebuilt["result"], rebuilt["differing"]) == (1, "different", 1)
    code, out, _ = await house.billing.command("rebuild")
    assert code == 1
    assert '- {"account_id"' in out
    await house.tamper("UPDATE billing.ledger SET prompts = 1")
    code, out, _ = await house.billing.command("rebuild")
    assert code == 0
    assert out.splitlines()[2].split()[1] == out.splitlines()[3].split()[1]


async def test_while_a_comparison_is_under_way_there_is_no_second_one(house: Books) -> None:
    async with audit(house.url):
        code, out, err = await house.billing.command("reconcile")
    assert (code, out) == (2, "")
    assert "another comparison is under way" in err


async def test_without_quota_the_books_cannot_be_compared(fresh_database: FreshDatabase, nats_url: str) -> None:
    billing = Billing(await fresh_database("quota", "billing"), nats_url)
    code, out, err = await billing.command("reconcile")
    assert (code, out) == (2, "")
    assert err.startswith("could not be compared: quota.v1.books: no responders")


async def test_when_nobody_folds_settlements_the_books_cannot_be_compared(
    fresh_database: FreshDatabase, nats_url: str
) -> None:
    database = await fresh_database("quota", "billing")
    billing = Billing(database, nats_url)
    async with quota_here(database, nats_url), billing.bus() as bus:
        await settle(bus, a_settlement())
        for command in ("reconcile", "rebuild"):
            code, _, err = await billing.command(command, "--wait", "0.5")
            assert (code, "billing_requests stands at 0 of 1" in err) == (2, True), err


async def test_without_nats_or_postgres_the_books_cannot_be_compared(
    fresh_database: FreshDatabase, nats_server: RunningNats, nats_url: str
) -> None:
    billing = Billing(await fresh_database("billing"), nats_url)
    nowhere = Billing(billing.database, nats_url, {"BILLING_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"})
    code, _, err = await nowhere.command("reconcile")
    assert (code, "the database does not answer" in err) == (2, True), err
    await nats_server.child.halt()
    for command in ("reconcile", "rebuild"):
        code, _, err = await billing.command(command)
        assert (code, "could not be compared" in err) == (2, True), err


async def test_books_that_were_never_compared_have_no_last_comparison(
    fresh_database: FreshDatabase, nats_url: str
) -> None:
    billing = Billing(await fresh_database("billing"), nats_url)
    code, _, err = await billing.command("reconcile", "--last")
    assert (code, "never compared" in err) == (2, True)


async def test_a_message_that_is_no_settlement_is_a_difference_until_staff_discard_it(house: Books) -> None:
    await house.spend(uuid4(), Outcome.COMPLETED)
    await house.bus.client.jetstream().publish(SUBJECT, b"{}")
    report = await house.compare()
    (found,) = report.differences
    assert (found.kind.value, found.stream_sequence) == ("message_unreadable", 2)
    assert found.figures["dead_letter"] == "waits for staff"

    code, out, _ = await house.billing.command("dead-letters", "list", "--json")
    (letter,) = json.loads(out)
    assert (code, letter["sequence"], letter["durable"]) == (0, 2, "billing_requests")
    code, out, _ = await house.billing.command("dead-letters", "show", str(letter["place"]))
    assert (code, out.rstrip().endswith("{}")) == (0, True)
    code, out, _ = await house.billing.command("dead-letters", "replay", str(letter["place"]))
    assert (code, "still not processed: unreadable" in out) == (1, True)
    said = ("--reason", "a test wrote it", "--author", "anna")
    code, _, _ = await house.billing.command("dead-letters", "discard", str(letter["place"]), *said)
    assert code == 0
    code, out, _ = await house.billing.command("dead-letters", "list")
    assert (code, out.strip()) == (0, "no dead letters")

    report = await house.compare()
    assert (report.result, report.notes) == (
        "equal",
        ["1 settlements have no line because staff discarded them"],
    )


@pytest_asyncio.fixture
async def impatient(fresh_database: FreshDatabase, nats_url: str) -> AsyncIterator[Books]:
    """Billing gives a message up the second time that it fails."""
    durable = replace(BILLING_REQUESTS, max_deliver=2)
    async with books(await fresh_database("quota", "billing"), nats_url, durable=durable) as opened:
        yield opened


async def letters(house: Books) -> list[int]:
    """Places of billing's dead letters, once there is one."""
    found: list[int] = []

    async def there() -> bool:
        found[:] = [letter.place async for letter in dead_letters(house.bus, BILLING_REQUESTS)]
        return bool(found)

    assert await until(there, within_seconds=20)
    return found


async def test_a_settlement_that_was_given_up_is_missing_until_it_is_replayed(impatient: Books) -> None:
    await impatient.spend(uuid4(), Outcome.EMPTY)
    await impatient.billing.wait_for_lines(1)
    async with await psycopg.AsyncConnection.connect(impatient.billing.database.admin_url) as connection:
        await connection.execute("ALTER TABLE billing.ledger ADD CONSTRAINT none CHECK (prompts = 0)")
    (settled,) = await impatient.spend(uuid4(), Outcome.COMPLETED)
    (place,) = await letters(impatient)
    report = await impatient.compare()
    (missing,) = (each for each in report.differences if each.kind.value == "line_missing")
    assert (missing.request_id, missing.figures) == (settled.request_id, {"dead_letter": "waits for staff"})

    async with await psycopg.AsyncConnection.connect(impatient.billing.database.admin_url) as connection:
        await connection.execute("ALTER TABLE billing.ledger DROP CONSTRAINT none")
    code, out, _ = await impatient.billing.command("dead-letters", "replay", str(place))
    assert (code, "processed" in out) == (0, True)
    assert (await impatient.compare()).result == "equal"
    lines = await impatient.lines()
    assert [line["stream_sequence"] for line in lines] == [1, 2]


async def test_a_settlement_that_no_line_can_say_is_named_by_comparison_and_rebuild(impatient: Books) -> None:
    """Postgres takes no number that big."""
    held = await impatient.held(uuid4(), Outcome.EMPTY)
    absurd = held.model_copy(update={"tokens": held.tokens.model_copy(update={"input": 10**30})})
    await impatient.spend(uuid4(), Outcome.COMPLETED)
    await settle(impatient.bus, absurd)
    await impatient.spend(uuid4(), Outcome.COMPLETED)
    await letters(impatient)
    report = await impatient.compare()
    (found,) = (each for each in report.differences if each.kind.value == "message_unreadable")
    assert (found.stream_sequence, found.figures["reason"]) == (2, "no line can say it")
    rebuilt = await rebuild(impatient.url, impatient.bus, wait_seconds=5)
    assert (rebuilt.is_identical, rebuilt.notes) == (True, ["no line can be made of messages 2"])
