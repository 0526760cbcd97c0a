"""Plans with a time of their own, and grants: kept, told once, listed."""

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest_asyncio

from billing.domain.subscriptions import Subscription
from billing.store import Store, Subscriptions
from chassis.database import create_engine
from contracts.billing import PROMPTS_GRANTED, SUBSCRIPTION_CHANGED, PromptsGranted, SubscriptionChanged
from contracts.cloudevents import unwrap
from devstack.probes import until
from devstack.pytest_plugin import FreshDatabase
from tests.service.billing.billing_process import Billing, open_account, stored

TOLD = "SELECT 1 AS one FROM billing.subscription_changes WHERE published_at IS NOT NULL"


@pytest_asyncio.fixture
async def billing(fresh_database: FreshDatabase, nats_url: str) -> Billing:
    return Billing(await fresh_database("billing"), nats_url)


async def told(billing: Billing) -> tuple[list[SubscriptionChanged], list[PromptsGranted]]:
    changes, grants = [], []
    for raw in await stored(billing.nats_url, "SUBSCRIPTIONS"):
        if json.loads(raw)["type"] == PROMPTS_GRANTED.subject:
            envelope, grant = unwrap(PROMPTS_GRANTED, raw)
            assert envelope.id == str(grant.grant_id)
            grants.append(grant)
        else:
            changes.append(unwrap(SUBSCRIPTION_CHANGED, raw)[1])
    return changes, grants


async def an_account(billing: Billing) -> str:
    async with billing.bus() as bus:
        account = await open_account(bus)

    async def is_open() -> bool:
        return bool(
            await billing.rows("SELECT 1 AS one FROM billing.subscription_changes WHERE published_at IS NOT NULL")
        )

    assert await until(is_open, within_seconds=30)
    return str(account)


async def opened(billing: Billing) -> UUID:
    """An account that nobody was told of."""
    url = billing.database.url("billing")
    store = Store(create_engine(url), url)
    try:
        anna = Subscription(uuid4(), "Anna", "free", 1, datetime.now(UTC))
        await store.subscriptions.open(anna, actor="test")
    finally:
        await store.close()
    return anna.account_id


async def test_a_plan_for_later_is_told_now_with_its_time_and_listed_as_pending(billing: Billing) -> None:
    begins = (datetime.now(UTC) + timedelta(days=40)).replace(hour=0, minute=0, second=0, microsecond=0)
    async with billing.running():
        account = await an_account(billing)
        code, out, _ = await billing.command("set-plan", account, "pro", "--from", begins.date().isoformat(), "--json")
        same, again, _ = await billing.command("set-plan", account, "pro", "--from", begins.isoformat())
        _, listed, _ = await billing.command("subscriptions", "--json")
        changes, _ = await told(billing)
    assert (code, same) == (0, 0)
    assert json.loads(out) == {
        "account_id": account,
        "plan": "pro",
        "revision": 2,
        "published": True,
        "effective_at": begins.isoformat(),
    }
    assert f"is from {begins.isoformat()} on plan pro, revision 2" in again
    (document,) = json.loads(listed)
    assert (document["plan"], [change["plan"] for change in document["pending"]]) == ("free", ["pro"])
    assert [(change.revision, change.plan) for change in changes] == [(1, "free"), (2, "pro")]
    assert changes[1].effective_at == begins


async def test_a_plan_that_is_due_holds_and_a_change_for_now_replaces_one_for_later(billing: Billing) -> None:
    url = billing.database.url("billing")
    store = Store(create_engine(url), url)
    plans, now = store.subscriptions, datetime.now(UTC)
    account = uuid4()
    try:
        await plans.open(Subscription(account, "Anna", "free", 1, now), actor="test")
        await plans.change_plan(account, "pro", actor="test", effective_at=now + timedelta(seconds=2))
        await plans.change_plan(account, "max", actor="test", effective_at=now + timedelta(days=9))
        before = await standing(plans)

        async def is_pro() -> bool:
            return await standing(plans) == ("pro", ["max"])

        assert await until(is_pro, within_seconds=30)
        await plans.change_plan(account, "plus", actor="test")
        after = await standing(plans)
    finally:
        await store.close()
    assert (before, after) == (("free", ["pro", "max"]), ("plus", []))


async def standing(plans: Subscriptions) -> tuple[str, list[str]]:
    (found,) = await plans.standings()
    return found.now.plan, [change.plan for change in found.pending]


async def test_a_plan_for_a_time_that_is_over_is_refused(billing: Billing) -> None:
    account = str(await opened(billing))
    code, out, err = await billing.command("set-plan", account, "pro", "--from", "2020-01-01T00:00")
    assert (code, out) == (2, "")
    assert "2020-01-01T00:00:00+00:00 is over" in err


async def test_grants_for_a_day_a_month_and_until_a_moment_are_told_once_and_listed(billing: Billing) -> None:
    now = datetime.now(UTC)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    next_month = (midnight.replace(day=1) + timedelta(days=32)).replace(day=1)
    until_then = (now + timedelta(days=3)).replace(microsecond=0)
    why = ("--reason", "outage", "--actor", "anna")
    async with billing.running(), billing.running():
        account = await an_account(billing)
        day = ("--day", now.date().isoformat())
        code, out, _ = await billing.command("grant", account, "10", *day, *why)
        assert (code, out.splitlines()[1]) == (0, "published: known everywhere")
        _, as_json, _ = await billing.command("grant", account, "20", "--month", f"{next_month:%Y-%m}", *why, "--json")
        await billing.command("grant", account, "30", "--until", until_then.isoformat(), *why)
        _, listed, _ = await billing.command("grants", "--account", account, "--json")
        _, others, _ = await billing.command("grants", "--account", str(uuid4()), "--json")
        _, grants = await told(billing)
    assert json.loads(as_json)["published"] is True
    assert [(grant.prompts, str(grant.account_id)) for grant in grants] == [(10, account), (20, account), (30, account)]
    assert (grants[0].starts_at, grants[0].ends_at) == (midnight - timedelta(days=1), midnight)
    assert (grants[1].starts_at, grants[1].ends_at) == (
        next_month,
        (next_month + timedelta(days=32)).replace(day=1),
    )
    assert now <= grants[2].starts_at <= datetime.now(UTC)
    assert grants[2].ends_at == until_then
    assert [(grant["prompts"], grant["reason"], grant["actor"]) for grant in json.loads(listed)] == [
        (prompts, "outage", "anna") for prompts in (10, 20, 30)
    ]
    assert json.loads(others) == []


async def test_a_grant_for_a_day_that_is_over_is_refused(billing: Billing) -> None:
    account = str(await opened(billing))
    code, out, err = await billing.command("grant", account, "10", "--day", "2020-01-01", "--reason", "x")
    assert (code, out) == (2, "")
    assert "2020-01-02T00:00:00+00:00 is over" in err


async def test_nobody_unknown_is_granted_anything(billing: Billing) -> None:
    code, _, err = await billing.command("grant", str(uuid4()), "5", "--day", "2036-01-01", "--reason", "x")
    assert (code, "there is no account" in err) == (2, True)
