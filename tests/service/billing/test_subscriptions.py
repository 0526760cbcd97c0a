"""Subscriptions: opened once, changed by staff, told to the others exactly once per revision."""

import asyncio
import csv
import io
import json
from datetime import UTC, datetime
from uuid import uuid4

import pytest
import pytest_asyncio

from billing.domain.subscriptions import Change, Grant, Subscription
from billing.store import Store
from chassis.database import create_engine
from chassis.watched import load
from contracts.billing import SUBSCRIPTION_CHANGED
from contracts.cloudevents import unwrap
from contracts.plans import PlanCatalogue
from devstack.probes import http_get, until
from devstack.pytest_plugin import FreshDatabase
from devstack.repository import PLANS
from tests import commands
from tests.service.billing.billing_process import Billing, a_settlement, open_account, settle, stored


@pytest_asyncio.fixture
async def billing(fresh_database: FreshDatabase, nats_url: str) -> Billing:
    return Billing(await fresh_database("billing"), nats_url)


async def told(billing: Billing, count: int) -> list[tuple[str, int, str]]:
    """Account, revision, plan of every event, once there are `count` of them."""

    async def enough() -> bool:
        return len(await stored(billing.nats_url, "SUBSCRIPTIONS")) >= count

    assert await until(enough, within_seconds=30)
    events = [unwrap(SUBSCRIPTION_CHANGED, raw) for raw in await stored(billing.nats_url, "SUBSCRIPTIONS")]
    assert [envelope.id for envelope, _ in events] == [f"{change.account_id}:{change.revision}" for _, change in events]
    return [(str(change.account_id), change.revision, change.plan) for _, change in events]


async def test_accounts_open_with_their_plan_or_the_default_one_and_only_once(billing: Billing) -> None:
    async with billing.running(), billing.bus() as bus:
        plain = await open_account(bus)
        wanted = await open_account(bus, plan="pro")
        unknown = await open_account(bus, plan="platinum")
        await open_account(bus, plan="max", account_id=plain)
        last = await open_account(bus)
        events = await told(billing, 4)
        code, out, _ = await billing.command("subscriptions", "--json")
    expected = {str(plain): "free", str(wanted): "pro", str(unknown): "free", str(last): "free"}
    assert sorted(events) == sorted((account, 1, plan) for account, plan in expected.items())
    assert code == 0
    assert {row["account_id"]: row["plan"] for row in json.loads(out)} == expected
    changes = await billing.rows("SELECT actor, revision FROM billing.subscription_changes")
    assert changes == [{"actor": "gateway.v1.account_opened", "revision": 1}] * 4


async def test_a_change_of_plan_reaches_the_stream_once_per_revision_and_the_command_waits_for_it(
    billing: Billing,
) -> None:
    async with billing.running(), billing.bus() as bus:
        account_id = await open_account(bus)
        await told(billing, 1)
        for plan in ("plus", "pro", "pro"):
            code, out, _ = await billing.command("set-plan", str(account_id), plan, "--actor", "anna")
            assert (code, out.splitlines()[1]) == (0, "published: in force everywhere")
        await asyncio.sleep(1.2)  # one more look into the outbox
        events = await told(billing, 3)
    assert events == [(str(account_id), revision, plan) for revision, plan in enumerate(["free", "plus", "pro"], 1)]
    changes = await billing.rows("SELECT actor, plan FROM billing.subscription_changes ORDER BY revision")
    assert [(row["actor"], row["plan"]) for row in changes[1:]] == [("anna", "plus"), ("anna", "pro")]


def revision(told: Change | Grant) -> int:
    assert isinstance(told, Change)
    return told.revision


async def test_one_relay_at_a_time_has_the_outbox_and_what_it_does_not_mark_stays(billing: Billing) -> None:
    url = billing.database.url("billing")
    store = Store(create_engine(url), url)
    anna = Subscription(uuid4(), "Anna", "free", 1, datetime.now(UTC))
    try:
        assert await store.subscriptions.open(anna, actor="test")
        await store.subscriptions.change_plan(anna.account_id, "pro", actor="test")
        async with store.subscriptions.outbox(limit=10) as first, store.subscriptions.outbox(limit=10) as second:
            assert [revision(told) for told in first.waiting] == [1, 2]
            assert second.waiting == []
            await first.mark_published(first.waiting[0])
        async with store.subscriptions.outbox(limit=10) as next_one:
            assert [revision(told) for told in next_one.waiting] == [2]
    finally:
        await store.close()


async def test_many_changes_at_once_are_told_in_order_by_whichever_replica(billing: Billing) -> None:
    async with billing.bus() as bus:
        accounts = [await open_account(bus) for _ in range(40)]
    async with billing.running(), billing.running():
        events = await told(billing, 40)
        await asyncio.sleep(1.2)
        assert await told(billing, 40) == events
    assert {account for account, _, _ in events} == {str(account) for account in accounts}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("set-plan", str(uuid4()), "pro"), "there is no account"),
        (("set-plan", str(uuid4()), "gold"), ", ".join(load(PLANS, PlanCatalogue).names)),
        (("set-plan", "nobody", "pro"), "should be a valid UUID"),
        (("ledger", "--json", "--csv"), "not both"),
    ],
)
async def test_a_command_that_cannot_be_carried_out_says_why_and_exits_with_2(
    billing: Billing, arguments: tuple[str, ...], said: str
) -> None:
    code, out, err = await billing.command(*arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert "Traceback" not in err


async def test_the_ledger_prints_as_table_json_and_csv_and_its_age_is_measured(billing: Billing) -> None:
    settled = a_settlement()
    async with billing.running() as process, billing.bus() as bus:
        await settle(bus, settled, a_settlement(), twice=True)
        await billing.wait_for_lines(2)
        _, metrics = await http_get(f"{process.health_url}/metrics")
    only = ("ledger", "--request", str(settled.request_id))
    (_, table, _), (_, as_json, _), (_, as_csv, _) = await asyncio.gather(
        billing.command(*only), billing.command(*only, "--json"), billing.command(*only, "--csv")
    )
    (line,) = json.loads(as_json)
    (record,) = csv.DictReader(io.StringIO(as_csv))
    assert line["request_id"] == record["request_id"] == str(settled.request_id)
    assert (line["prompts"], line["input_tokens"], line["error_code"], record["error_code"]) == (1, 11, None, "")
    assert str(settled.request_id) in table
    assert table.splitlines()[-1] == "1 line, 1 prompt charged"
    assert b"smartroute_billing_ledger_lines_total" in metrics
    assert b"smartroute_billing_settlement_conflicts_total" in metrics
    assert b"smartroute_billing_ledger_freshness_seconds_bucket" in metrics


async def test_settings_that_are_missing_or_wrong_are_named(billing: Billing) -> None:
    environment = {**billing.environment, "BILLING_HEALTH_PORT": "many"}
    del environment["BILLING_DATABASE_URL"]
    refused = await commands.run("billing", "check-config", environment=environment)
    named = sorted(line.partition(":")[0] for line in refused.err.splitlines())
    assert (refused.code, named) == (2, ["BILLING_DATABASE_URL", "BILLING_HEALTH_PORT"])


async def test_check_config_names_the_catalogue_and_touches_nothing(billing: Billing) -> None:
    code, out, _ = await Billing(billing.database, "nats://127.0.0.1:1").command("check-config")
    assert (code, out) == (0, f"billing: settings are valid; {PLANS} is version 1\n")
