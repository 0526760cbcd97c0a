"""Credit notes, corrections and receipts: new lines by staff, and what the customer sees of them."""

import asyncio
import json
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID, uuid4

import psycopg
import pytest
import pytest_asyncio

from chassis.bus import ask
from contracts.billing import READ_RECEIPT, NoReceipt, ReadReceipt, Receipt, ReceiptReply
from contracts.gateway import Cost, RequestSettled, Timings, WindowAfter
from contracts.outcomes import Outcome
from devstack.pytest_plugin import FreshDatabase
from tests.service.billing.billing_process import Billing, a_settlement, settle

REQUEST = UUID("0190d2a5-0000-7000-8000-000000000000")
MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)


@pytest_asyncio.fixture
async def billing(fresh_database: FreshDatabase, nats_url: str) -> Billing:
    return Billing(await fresh_database("billing"), nats_url)


def a_full_settlement() -> RequestSettled:
    return a_settlement(
        timings=Timings(admitted_ms=1.5, first_content_ms=300.25, total_ms=2000),
        daily=WindowAfter(limit=200, used=17, remaining=183, resets_at=MIDNIGHT),
        monthly=WindowAfter(limit=1000, used=170, remaining=830, resets_at=MIDNIGHT),
        cost=Cost(amount=Decimal("0.05"), currency="USD"),
        settled_by="gateway-1",
    )


async def receipt(billing: Billing, settled: RequestSettled, **other: object) -> ReceiptReply:
    asked = ReadReceipt(account_id=settled.account_id, request_id=settled.request_id).model_copy(update=other)
    async with billing.bus() as bus:
        return await ask(bus, READ_RECEIPT, asked, timeout_seconds=2)


async def test_a_receipt_is_the_line_without_what_is_for_staff_and_only_for_its_account(billing: Billing) -> None:
    settled = a_full_settlement()
    async with billing.running(), billing.running(), billing.bus() as bus:
        await settle(bus, settled)
        (line,) = await billing.wait_for_lines(1)
        found = await receipt(billing, settled)
        foreign = await receipt(billing, settled, account_id=uuid4())
        unknown = await receipt(billing, settled, request_id=uuid4())
    assert isinstance(found, Receipt)
    same = set(RequestSettled.model_fields) & set(Receipt.model_fields) - {"outcome"}
    assert found.model_dump(include=same) == settled.model_dump(include=same)
    assert (found.result, found.prompts, found.credited_prompts) == (Outcome.COMPLETED, 1, 0)
    assert (found.ledger_sequence, found.ledger_hash, found.recorded_at) == (1, line["hash"], line["recorded_at"])
    assert not {"target", "cost", "attempts", "settled_by"} & set(found.model_dump())
    assert foreign == NoReceipt(request_id=settled.request_id)
    assert isinstance(unknown, NoReceipt)


async def test_a_receipt_is_read_although_the_kept_connection_has_died(billing: Billing) -> None:
    settled = a_full_settlement()
    async with billing.running(), billing.bus() as bus:
        await settle(bus, settled)
        await billing.wait_for_lines(1)
        assert isinstance(await receipt(billing, settled), Receipt)
        async with await psycopg.AsyncConnection.connect(billing.database.admin_url, autocommit=True) as admin:
            await admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'billing'")
        assert isinstance(await receipt(billing, settled), Receipt)


async def test_a_credit_note_and_a_correction_are_lines_that_the_receipt_and_the_list_know(billing: Billing) -> None:
    settled = a_full_settlement()
    named = ("--reason", "answer was cut off", "--author", "bert")
    async with billing.running(), billing.bus() as bus:
        await settle(bus, settled)
        (line,) = await billing.wait_for_lines(1)
        code, out, _ = await billing.command(
            "correct", str(line["id"]), "--output-tokens", "-2", "--cost", "-0.02", *named, "--json"
        )
        assert (code, json.loads(out)["kind"], json.loads(out)["cost"]) == (0, "correction", "-0.0200000000")
        code, out, _ = await billing.command("credit", str(settled.request_id), "--prompts", "1", *named)
        assert code == 0
        assert "credit_note" in out
        twice, _, said = await billing.command("credit", str(settled.request_id), "--prompts", "1", *named)
        found = await receipt(billing, settled)
        _, listed, _ = await billing.command("ledger", "--request", str(settled.request_id), "--json")
    lines = json.loads(listed)
    assert (twice, said) == (2, f"0 prompts are left to credit of request {settled.request_id}, not 1\n")
    assert isinstance(found, Receipt)
    assert (found.prompts, found.credited_prompts, found.tokens.output) == (1, 1, 5)
    assert [(each["kind"], each["prompts"], each["sequence"], each["revision"]) for each in lines] == [
        ("settlement", 1, 1, 0),
        ("correction", 0, 2, 1),
        ("credit_note", -1, 3, 2),
    ]
    assert [(each["corrects"], each["author"]) for each in lines[1:]] == [(line["id"], "bert")] * 2
    assert {each["day"] for each in lines} == {settled.day.isoformat()}


async def test_two_credit_notes_at_once_credit_once(billing: Billing) -> None:
    settled = a_settlement()
    async with billing.running(), billing.bus() as bus:
        await settle(bus, settled)
        await billing.wait_for_lines(1)
    command = ("credit", str(settled.request_id), "--prompts", "1", "--reason", "why", "--author", "bert")
    results = await asyncio.gather(*(billing.command(*command) for _ in range(4)))
    assert sorted(code for code, _, _ in results) == [0, 2, 2, 2]
    (total,) = await billing.rows("SELECT sum(prompts)::int AS prompts, max(sequence) AS sequence FROM billing.ledger")
    assert (total["prompts"], total["sequence"]) == (0, 2)


@pytest.mark.parametrize(
    ("named", "said"), [("4711", "no line 4711"), (str(REQUEST), f"no request {REQUEST}")], ids=["line", "request"]
)
async def test_what_the_ledger_does_not_know_cannot_be_corrected(billing: Billing, named: str, said: str) -> None:
    code, out, err = await billing.command("credit", named, "--prompts", "1", "--reason", "why", "--author", "bert")
    assert (code, out) == (2, "")
    assert f"the ledger knows {said}" in err


async def test_a_receipt_asked_of_a_billing_without_its_tables_is_a_failure_and_not_a_silence(
    fresh_database: FreshDatabase, nats_url: str
) -> None:
    billing = Billing(await fresh_database("billing"), nats_url)
    async with billing.running():
        async with await psycopg.AsyncConnection.connect(billing.database.admin_url) as connection:
            await connection.execute("ALTER TABLE billing.ledger RENAME TO mislaid")
        reply = await receipt(billing, a_settlement())
    assert (reply.outcome, getattr(reply, "code", "")) == ("failure", "unavailable")
