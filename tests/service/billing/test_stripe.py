"""Payments through Stripe: the real library speaks HTTP with a stand-in, whose signed notices come back to billing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
import pytest_asyncio

from chassis.bus import Bus
from contracts.billing import Upgrade, UpgradeRefused
from devstack.database import Database
from devstack.probes import until
from devstack.pytest_plugin import FreshDatabase
from tests.service.billing.billing_process import Billing
from tests.service.billing.stripe_process import AMOUNTS, Stripe, public_endpoint, stripe_running
from tests.service.billing.upgrading import Customer, a_customer


@dataclass(frozen=True, slots=True)
class Shop:
    """Billing with Stripe, both running, and each other's address."""

    billing: Billing
    stripe: Stripe
    bus: Bus

    async def events(self) -> list[dict[str, Any]]:
        return await self.billing.rows("SELECT * FROM billing.payment_events ORDER BY received_at")

    async def upgrade(self, upgrade: Upgrade) -> dict[str, Any]:
        (row,) = await self.billing.rows(f"SELECT * FROM billing.upgrades WHERE upgrade_id = '{upgrade.upgrade_id}'")
        return row

    async def reference(self, upgrade: Upgrade) -> str:
        return str((await self.upgrade(upgrade))["payment_reference"])

    async def session(self, upgrade: Upgrade) -> dict[str, Any]:
        found: dict[str, Any] = await self.stripe.read(f"/v1/checkout/sessions/{await self.reference(upgrade)}")
        return found

    async def status(self, subscription: str) -> str:
        return str((await self.stripe.read(f"/v1/subscriptions/{subscription}"))["status"])

    async def wait_for_event(self, kind: str, *, effect: str, count: int = 1) -> list[dict[str, Any]]:
        async def fitting() -> list[dict[str, Any]]:
            return [event for event in await self.events() if (event["kind"], event["effect"]) == (kind, effect)]

        async def is_there() -> bool:
            return len(await fitting()) >= count

        assert await until(is_there, within_seconds=30), await self.events()
        return await fitting()

    async def bought(self, customer: Customer, plan: str) -> tuple[Upgrade, str]:
        """The upgrade after its payment, and the subscription that pays for it."""
        upgrade = await customer.upgrade(plan)
        assert upgrade.payment_url is not None
        await self.stripe.pay(upgrade.payment_url)
        await customer.wait_for_plan(plan)
        return upgrade, str((await self.upgrade(upgrade))["payment_subscription"])


@asynccontextmanager
async def a_shop(database: Database, nats_url: str, *, with_notices: bool = True) -> AsyncIterator[Shop]:
    async with stripe_running() as stripe:
        billing = Billing(database, nats_url, settings=stripe.settings)
        async with billing.running(), billing.bus() as bus, public_endpoint(bus) as url:
            if with_notices:
                await stripe.post_notices_to(url)
            yield Shop(billing, stripe, bus)


@pytest_asyncio.fixture
async def shop(fresh_database: FreshDatabase, nats_url: str) -> AsyncIterator[Shop]:
    async with a_shop(await fresh_database("billing"), nats_url) as running:
        yield running


async def test_who_pays_for_a_plan_has_it_and_nobody_is_asked(shop: Shop) -> None:
    customer = await a_customer(shop.bus)
    upgrade = await customer.upgrade("pro")
    assert (upgrade.state, (await customer.standing()).payment) == ("pending", "stripe")
    session = await shop.session(upgrade)
    assert session["client_reference_id"] == str(customer.account_id)
    assert session["metadata"] == {"account_id": str(customer.account_id), "upgrade_id": str(upgrade.upgrade_id)}
    assert upgrade.payment_url == session["url"]
    back = urlsplit(await shop.stripe.pay(session["url"]))
    assert (back.hostname, parse_qs(back.query)) == ("portal.example.com", {"from": ["docs"], "payment": ["done"]})
    standing = await customer.wait_for_plan("pro")
    assert standing.upgrade is not None
    assert (standing.upgrade.state, standing.upgrade.payment_url) == ("approved", None)
    (event,) = await shop.wait_for_event("checkout.session.completed", effect="approved")
    (change,) = await shop.billing.rows("SELECT actor FROM billing.subscription_changes WHERE plan = 'pro'")
    assert change["actor"] == f"stripe:{event['event_id']}"
    row = await shop.upgrade(upgrade)
    assert (row["payment_amount"], row["payment_currency"], row["payment_plan"]) == (AMOUNTS["pro"], "eur", "pro")


async def test_the_same_wish_asked_for_again_has_the_same_page(shop: Shop) -> None:
    customer, upgrade_id = await a_customer(shop.bus), uuid4()
    first = await customer.upgrade("pro", upgrade_id=upgrade_id)
    assert await customer.upgrade("pro", upgrade_id=upgrade_id) == first


async def test_a_plan_without_a_price_is_not_for_sale(shop: Shop) -> None:
    customer = await a_customer(shop.bus)
    assert await customer.ask_for("business") == UpgradeRefused(reason="not_for_sale")
    assert await customer.state() is None


@pytest.mark.parametrize("fault", [{"status": 500}, {"delay_seconds": 5.0}])
async def test_without_stripe_nothing_is_lost_and_the_same_wish_can_be_asked_for_again(
    shop: Shop, fault: dict[str, Any]
) -> None:
    customer, upgrade_id = await a_customer(shop.bus), uuid4()
    first = await customer.upgrade("plus")
    await shop.stripe.fail(count=2, **fault)
    refused = await customer.ask_for("pro", upgrade_id=upgrade_id)
    assert refused == UpgradeRefused(reason="payment_unavailable")
    assert (await customer.standing()).upgrade == first
    await shop.stripe.fail(count=0)
    again = await customer.upgrade("pro", upgrade_id=upgrade_id)
    assert (again.state, (await shop.session(again))["status"]) == ("pending", "open")


async def test_another_wish_shuts_the_payment_page_of_the_first(shop: Shop) -> None:
    customer = await a_customer(shop.bus)
    first = await customer.upgrade("plus")
    second = await customer.upgrade("pro")
    assert (await shop.session(first))["status"] == "expired"
    assert (await shop.upgrade(first))["state"] != "pending"
    assert (await customer.standing()).upgrade == second


async def test_a_wish_that_is_being_paid_is_neither_replaced_nor_withdrawn(
    fresh_database: FreshDatabase, nats_url: str
) -> None:
    async with a_shop(await fresh_database("billing"), nats_url, with_notices=False) as shop:
        customer = await a_customer(shop.bus)
        paid = await customer.upgrade("plus")
        assert paid.payment_url is not None
        await shop.stripe.pay(paid.payment_url)
        assert await customer.ask_for("pro") == UpgradeRefused(reason="payment_unavailable")
        kept = await customer.withdraw(paid.upgrade_id)
        assert kept is not None
        assert kept.state == "pending"


async def test_a_withdrawn_wish_cannot_be_paid_any_more(shop: Shop) -> None:
    customer = await a_customer(shop.bus)
    upgrade = await customer.upgrade("pro")
    withdrawn = await customer.withdraw(upgrade.upgrade_id)
    assert withdrawn is not None
    assert withdrawn.state in ("withdrawn", "declined"), "the notice of the page's end may come first"
    assert (await shop.session(upgrade))["status"] == "expired"
    assert (await customer.standing()).plan == "free"


async def test_slow_money_counts_when_it_has_come(shop: Shop) -> None:
    customer = await a_customer(shop.bus)
    upgrade = await customer.upgrade("pro")
    assert upgrade.payment_url is not None
    await shop.stripe.pay(upgrade.payment_url, slowly=True)
    await shop.wait_for_event("checkout.session.completed", effect="none")
    assert ((await customer.standing()).plan, await customer.state()) == ("free", "pending")
    await shop.stripe.arrive(await shop.reference(upgrade), "succeeded")
    await customer.wait_for_plan("pro")


async def test_slow_money_that_does_not_come_declines_the_wish(shop: Shop) -> None:
    customer = await a_customer(shop.bus)
    upgrade = await customer.upgrade("pro")
    assert upgrade.payment_url is not None
    await shop.stripe.pay(upgrade.payment_url, slowly=True)
    await shop.stripe.arrive(await shop.reference(upgrade), "failed")
    await shop.wait_for_event("checkout.session.async_payment_failed", effect="declined")
    standing = await customer.standing()
    assert standing.upgrade is not None
    assert (standing.plan, standing.upgrade.state, standing.upgrade.reason) == (
        "free",
        "declined",
        "the payment failed",
    )


async def test_a_subscription_that_ends_takes_its_plan_with_it(shop: Shop) -> None:
    customer = await a_customer(shop.bus)
    _, subscription = await shop.bought(customer, "pro")
    await shop.stripe.end(subscription)
    await customer.wait_for_plan("free")


async def test_a_subscription_that_ends_does_not_take_what_staff_gave(shop: Shop) -> None:
    customer = await a_customer(shop.bus)
    _, subscription = await shop.bought(customer, "pro")
    await shop.billing.command("set-plan", str(customer.account_id), "max", "--actor", "anna")
    await shop.stripe.end(subscription)
    await shop.wait_for_event("customer.subscription.deleted", effect="ended")
    assert (await customer.standing()).plan == "max"


async def test_another_price_of_a_subscription_is_another_plan(shop: Shop) -> None:
    customer = await a_customer(shop.bus)
    _, subscription = await shop.bought(customer, "pro")
    await shop.stripe.call(f"/v1/subscriptions/{subscription}", **{"items[0][plan]": "price_plus"})
    await customer.wait_for_plan("plus")
    await shop.stripe.end(subscription)
    await customer.wait_for_plan("free")


async def test_who_buys_a_larger_plan_does_not_pay_for_both(shop: Shop) -> None:
    customer = await a_customer(shop.bus)
    _, first = await shop.bought(customer, "plus")
    _, second = await shop.bought(customer, "pro")

    async def is_ended() -> bool:
        return await shop.status(first) == "canceled"

    assert await until(is_ended, within_seconds=30)
    await shop.wait_for_event("customer.subscription.deleted", effect="none")
    assert (await customer.standing()).plan == "pro"
    await shop.stripe.end(second)
    await customer.wait_for_plan("free")


async def test_a_notice_is_told_again_until_the_earlier_subscription_is_ended(shop: Shop) -> None:
    customer = await a_customer(shop.bus)
    _, first = await shop.bought(customer, "plus")
    upgrade = await customer.upgrade("pro")
    assert upgrade.payment_url is not None
    await shop.stripe.fail(count=1_000, status=500)
    await shop.stripe.pay(upgrade.payment_url)
    await customer.wait_for_plan("pro")

    async def is_told_again() -> bool:
        return 503 in [each["status"] for each in await shop.stripe.deliveries()]

    assert await until(is_told_again, within_seconds=30)
    await shop.stripe.fail(count=0)

    async def is_ended() -> bool:
        return await shop.status(first) == "canceled"

    assert await until(is_ended, within_seconds=20, every_seconds=0.1)
    await shop.wait_for_event("checkout.session.completed", effect="approved", count=2)


async def test_staff_may_give_what_waits_for_a_payment_and_the_page_is_shut(shop: Shop) -> None:
    customer = await a_customer(shop.bus)
    upgrade = await customer.upgrade("pro")
    code, out, _ = await shop.billing.command("approve-upgrade", str(customer.account_id), "--actor", "anna")
    assert (code, out.splitlines()[-1]) == (0, "published: in force everywhere")
    assert (await shop.session(upgrade))["status"] == "expired"
    assert ((await customer.standing()).plan, await customer.state()) == ("pro", "approved")


async def test_a_payment_for_what_staff_declined_is_left_to_staff(shop: Shop) -> None:
    customer = await a_customer(shop.bus)
    upgrade = await customer.upgrade("pro")
    assert upgrade.payment_url is not None
    away = Billing(shop.billing.database, shop.billing.nats_url)
    assert (await away.command("decline-upgrade", str(upgrade.upgrade_id), "--reason", "ask sales"))[0] == 0
    await shop.stripe.pay(upgrade.payment_url)
    await shop.wait_for_event("checkout.session.completed", effect="for_staff")
    assert (await customer.standing()).plan == "free"
    code, out, _ = await shop.billing.command("payments", "--for-staff")
    assert (code, out.splitlines()[-1]) == (0, "1 notice")
    assert "paid, but the wish is declined" in out
