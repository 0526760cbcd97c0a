"""Wishes for a larger plan where staff decides: asked for over the bus, decided by commands, kept for ever."""

import asyncio
import json
from collections.abc import AsyncIterator
from uuid import uuid4

import psycopg
import pytest
import pytest_asyncio

from chassis.bus import Bus
from contracts.billing import NoSubscription, UpcomingPlan, UpgradeRefused
from devstack.pytest_plugin import FreshDatabase
from tests.service.billing.billing_process import Billing
from tests.service.billing.upgrading import Customer, a_customer


@pytest_asyncio.fixture
async def billing(fresh_database: FreshDatabase, nats_url: str) -> Billing:
    return Billing(await fresh_database("billing"), nats_url)


@pytest_asyncio.fixture
async def bus(billing: Billing) -> AsyncIterator[Bus]:
    async with billing.running(), billing.bus() as connection:
        yield connection


@pytest_asyncio.fixture
async def customer(bus: Bus) -> Customer:
    return await a_customer(bus)


async def test_a_standing_says_the_plan_the_changes_to_come_and_who_decides(
    billing: Billing, customer: Customer
) -> None:
    now = await customer.standing()
    assert (now.plan, now.upcoming, now.upgrade, now.payment) == ("free", (), None, "staff")
    await billing.command("set-plan", str(customer.account_id), "pro")
    await billing.command("set-plan", str(customer.account_id), "plus", "--from", "2090-01-01")
    then = await customer.standing()
    assert (then.plan, [(change.plan, change.effective_at.year) for change in then.upcoming]) == (
        "pro",
        [("plus", 2090)],
    )
    assert isinstance(then.upcoming[0], UpcomingPlan)
    assert then.since > now.since


async def test_an_account_that_billing_has_not_heard_of_has_no_standing_and_no_wish(bus: Bus) -> None:
    nobody = Customer(bus, uuid4())
    assert await nobody.read() == NoSubscription(account_id=nobody.account_id)
    assert await nobody.ask_for("pro") == UpgradeRefused(reason="unknown_account")
    assert await nobody.withdraw(uuid4()) is None


async def test_a_wish_that_staff_approves_is_in_force_when_the_command_ends(
    billing: Billing, customer: Customer
) -> None:
    upgrade = await customer.upgrade("pro")
    assert (upgrade.state, upgrade.payment_url) == ("pending", None)
    code, out, _ = await billing.command("approve-upgrade", str(upgrade.upgrade_id), "--actor", "anna", "--json")
    said = json.loads(out)
    assert (code, said["state"], said["actor"], said["published"]) == (0, "approved", "anna", True)
    standing = await customer.standing()
    assert standing.upgrade is not None
    assert (standing.plan, standing.upgrade.state) == ("pro", "approved")
    changes = await billing.rows(
        "SELECT plan, actor, published_at FROM billing.subscription_changes WHERE revision = 2"
    )
    assert [(row["plan"], row["actor"], row["published_at"] is None) for row in changes] == [("pro", "anna", False)]


async def test_a_wish_can_be_decided_by_its_account_and_only_once(billing: Billing, customer: Customer) -> None:
    upgrade = await customer.upgrade("pro")
    decline = ("decline-upgrade", str(customer.account_id), "--reason", "Please ask sales.", "--actor", "anna")
    assert (await billing.command(*decline))[0] == 0
    standing = await customer.standing()
    assert standing.upgrade is not None
    assert (standing.plan, standing.upgrade.state, standing.upgrade.reason) == ("free", "declined", "Please ask sales.")
    again = await billing.command(*decline)
    assert (again[0], "no upgrade that waits" in again[2]) == (2, True)
    code, _, err = await billing.command("approve-upgrade", str(upgrade.upgrade_id))
    assert (code, "declined already" in err) == (2, True)
    assert (await customer.standing()).plan == "free"


async def test_what_is_not_above_the_plan_that_holds_is_refused_when_asked_for_and_when_approved(
    billing: Billing, customer: Customer
) -> None:
    assert await customer.ask_for("free") == UpgradeRefused(reason="not_larger")
    assert await customer.ask_for("gold") == UpgradeRefused(reason="unknown_plan")
    await customer.upgrade("plus")
    await billing.command("set-plan", str(customer.account_id), "pro")
    code, _, err = await billing.command("approve-upgrade", str(customer.account_id))
    assert (code, "plus is not above pro" in err) == (2, True)
    assert ((await customer.standing()).plan, await customer.state()) == ("pro", "pending")


async def test_the_same_wish_twice_is_one_and_another_one_replaces_it(billing: Billing, customer: Customer) -> None:
    upgrade_id = uuid4()
    first = await customer.upgrade("pro", upgrade_id=upgrade_id)
    assert await customer.upgrade("pro", upgrade_id=upgrade_id) == first
    second = await customer.upgrade("max")
    assert (await customer.standing()).upgrade == second
    _, out, _ = await billing.command("upgrades", "--all", "--account", str(customer.account_id), "--json")
    found = [(wish["upgrade_id"], wish["state"], wish["reason"]) for wish in json.loads(out)]
    assert found == [
        (str(upgrade_id), "withdrawn", "replaced by another wish"),
        (str(second.upgrade_id), "pending", ""),
    ]
    _, out, _ = await billing.command("upgrades")
    assert out.splitlines()[-1] == "1 upgrade"
    assert await customer.upgrade("pro", upgrade_id=upgrade_id) != first, "decided: told as it is"


async def test_many_wishes_at_once_leave_one_pending(billing: Billing, customer: Customer) -> None:
    await asyncio.gather(*(customer.ask_for(plan) for plan in ("plus", "pro", "max", "plus", "pro", "max")))
    states = [row["state"] for row in await billing.rows("SELECT state FROM billing.upgrades")]
    assert (states.count("pending"), len(set(states))) == (1, 2)


async def test_a_wish_is_withdrawn_by_its_own_account_only_and_a_decided_one_stays(
    bus: Bus, billing: Billing, customer: Customer
) -> None:
    upgrade = await customer.upgrade("pro")
    stranger = await a_customer(bus)
    assert await stranger.withdraw(upgrade.upgrade_id) is None
    assert await stranger.ask_for("pro", upgrade_id=upgrade.upgrade_id) == UpgradeRefused(reason="unknown_account")
    assert await customer.state() == "pending"
    for _ in range(2):
        withdrawn = await customer.withdraw(upgrade.upgrade_id)
        assert withdrawn is not None
        assert withdrawn.state == "withdrawn"
    second = await customer.upgrade("pro")
    await billing.command("approve-upgrade", str(second.upgrade_id))
    kept = await customer.withdraw(second.upgrade_id)
    assert kept is not None
    assert (kept.state, (await customer.standing()).plan) == ("approved", "pro")


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM billing.upgrades",
        "UPDATE billing.upgrades SET plan = 'max'",
        "UPDATE billing.upgrades SET payment_reference = 'x'",
        "DELETE FROM billing.payment_events",
        "UPDATE billing.payment_events SET effect = 'approved'",
    ],
)
async def test_the_service_can_neither_forget_nor_rewrite_a_wish_or_a_notice(billing: Billing, statement: str) -> None:
    async with await psycopg.AsyncConnection.connect(billing.database.url("billing")) as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await connection.execute(statement.encode())
