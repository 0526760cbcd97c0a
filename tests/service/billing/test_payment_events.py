"""Notices of payments that are wrong, late, repeated or forged, against the real tables."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
import stripe

from billing.domain.subscriptions import Subscription
from billing.domain.upgrades import PaymentPage, Wish
from billing.handlers import take_payment_notice
from billing.payments import PaymentPort, StaffApproves
from billing.payments.stripe_checkout import StripeCheckout, StripeSettings
from billing.store import Store
from chassis.database import create_engine
from chassis.watched import Watched
from contracts.billing import NoticeRefused, NoticeTaken, PaymentNotice, PaymentNoticeReply
from contracts.plans import PlanCatalogue
from devstack.pytest_plugin import FreshDatabase
from devstack.repository import PLANS
from tests.service.billing.billing_process import Billing

SECRET = "whsec_of_a_test"
NOW = int(time.time())


@dataclass(frozen=True, slots=True)
class Till:
    """Billing's tables and its handler of notices, in this process. Nobody may be called: there is no Stripe."""

    billing: Billing
    store: Store
    port: PaymentPort

    async def an_account(self, plan: str = "free") -> UUID:
        anna = Subscription(uuid4(), "Anna", plan, 1, datetime.now(UTC))
        await self.store.subscriptions.open(anna, actor="test")
        return anna.account_id

    async def a_wish(self, account_id: UUID, plan: str = "pro") -> Wish:
        page = PaymentPage(f"cs_{uuid4()}", "https://pay.example.com", 2900, "eur")
        made = await self.store.upgrades.request(uuid4(), account_id, plan, check=lambda _holds: None, page=page)
        assert made.wish is not None
        return made.wish

    async def post(self, *events: dict[str, Any]) -> None:
        """Each of these, signed; all are taken."""
        for event in events:
            assert await self.answer(json.dumps(event)) == NoticeTaken()

    async def answer(self, body: str, *, secret: str = SECRET) -> PaymentNoticeReply:
        signature = stripe.WebhookSignature.generate_signature_header(body, secret)
        notice = PaymentNotice(provider="stripe", body=body, signature=signature)
        take = take_payment_notice(self.store.payments, Watched(PLANS, PlanCatalogue), self.port)
        return await take(notice)

    async def plans(self, account_id: UUID) -> Sequence[str]:
        """Every plan that the account had, in order."""
        found = await self.billing.rows(
            f"SELECT plan FROM billing.subscription_changes WHERE account_id = '{account_id}' ORDER BY revision"
        )
        return [row["plan"] for row in found]

    async def effects(self) -> Sequence[tuple[str, str]]:
        """What each notice did, in the order in which they came."""
        found = await self.billing.rows("SELECT effect, note FROM billing.payment_events ORDER BY received_at")
        return [(row["effect"], row["note"]) for row in found]


@pytest_asyncio.fixture
async def till(fresh_database: FreshDatabase) -> AsyncIterator[Till]:
    database = await fresh_database("billing")
    store = Store(create_engine(database.url("billing")), database.url("billing"))
    prices = {plan: f"price_{plan}" for plan in ("plus", "pro", "max")}
    port = StripeCheckout(StripeSettings("sk_test_x", SECRET, prices, api_url="http://127.0.0.1:1"))
    yield Till(Billing(database, "nats://127.0.0.1:1"), store, port)
    await port.close()
    await store.close()


def an_event(kind: str, about: dict[str, Any], *, at: int = 0) -> dict[str, Any]:
    return {"id": f"evt_{uuid4()}", "type": kind, "created": NOW + at, "data": {"object": about}}


def paid(wish: Wish, **given: Any) -> dict[str, Any]:
    about = {
        "id": wish.payment_reference,
        "mode": "subscription",
        "payment_status": "paid",
        "amount_total": 2900,
        "currency": "eur",
        "subscription": f"sub_{wish.upgrade_id}",
        "client_reference_id": str(wish.account_id),
        "metadata": {"upgrade_id": str(wish.upgrade_id)},
    }
    return an_event("checkout.session.completed", about | given)


def about_subscription(wish: Wish, kind: str, *, price: str = "price_pro", at: int = 0) -> dict[str, Any]:
    about = {
        "id": f"sub_{wish.upgrade_id}",
        "status": "active",
        "items": {"data": [{"price": {"id": price}}]},
        "metadata": {"upgrade_id": str(wish.upgrade_id)},
    }
    return an_event(f"customer.subscription.{kind}", about, at=at)


async def test_a_notice_that_comes_many_times_at_once_has_its_effect_once(till: Till) -> None:
    account_id = await till.an_account()
    event = paid(await till.a_wish(account_id))
    await asyncio.gather(*(till.post(event) for _ in range(10)))
    assert await till.plans(account_id) == ["free", "pro"]
    assert await till.effects() == [("approved", "")]


async def test_two_notices_of_one_payment_give_its_plan_once(till: Till) -> None:
    account_id = await till.an_account()
    wish = await till.a_wish(account_id)
    await till.post(paid(wish), paid(wish) | {"type": "checkout.session.async_payment_succeeded"})
    assert await till.plans(account_id) == ["free", "pro"]
    assert [effect for effect, _ in await till.effects()] == ["approved", "none"]


async def test_a_subscription_that_ended_before_its_payment_was_told_gives_no_plan(till: Till) -> None:
    account_id = await till.an_account()
    wish = await till.a_wish(account_id)
    await till.post(about_subscription(wish, "deleted", at=5), paid(wish))
    assert await till.plans(account_id) == ["free"]
    assert [effect for effect, _ in await till.effects()] == ["early", "for_staff"]


async def test_changes_of_price_that_come_in_the_wrong_order_end_at_the_last_one(till: Till) -> None:
    account_id = await till.an_account()
    wish = await till.a_wish(account_id)
    await till.post(
        paid(wish),
        about_subscription(wish, "updated", price="price_max", at=20),
        about_subscription(wish, "updated", price="price_plus", at=10),
    )
    assert await till.plans(account_id) == ["free", "pro", "max"]


async def test_a_notice_that_comes_again_does_not_undo_what_was_told_in_the_same_second(till: Till) -> None:
    account_id = await till.an_account()
    wish = await till.a_wish(account_id)
    first = about_subscription(wish, "updated", price="price_max", at=10)
    second = about_subscription(wish, "updated", price="price_plus", at=10)
    await till.post(paid(wish), first, second, first)
    assert await till.plans(account_id) == ["free", "pro", "max", "plus"]


async def test_a_late_word_of_an_ended_subscription_brings_nothing_back(till: Till) -> None:
    account_id = await till.an_account()
    wish = await till.a_wish(account_id)
    await till.post(
        paid(wish),
        about_subscription(wish, "deleted", at=20),
        about_subscription(wish, "updated", price="price_max", at=30),
        paid(wish),
    )
    assert await till.plans(account_id) == ["free", "pro", "free"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"amount_total": 1},
        {"currency": "jpy"},
        {"client_reference_id": str(uuid4())},
        {"metadata": {"upgrade_id": str(uuid4())}},
        {"id": "cs_of_nobody"},
        {"payment_status": "no_payment_required"},
        {"subscription": None},
    ],
)
async def test_a_payment_that_does_not_fit_is_kept_for_staff_and_gives_nothing(
    till: Till, wrong: dict[str, Any]
) -> None:
    account_id = await till.an_account()
    wish = await till.a_wish(account_id)
    await till.post(paid(wish, **wrong))
    assert await till.plans(account_id) == ["free"]
    kept = await till.store.payments.events(for_staff_only=True, limit=10)
    assert [event.effect for event in kept] == ["for_staff"]
    newest = await till.store.upgrades.newest(account_id)
    assert newest is not None
    assert newest.is_pending


async def test_the_page_of_one_account_gives_nothing_to_another_one(till: Till) -> None:
    anna, ben = await till.an_account(), await till.an_account()
    cheap, dear = await till.a_wish(anna, "plus"), await till.a_wish(ben, "max")
    claims = {"client_reference_id": str(ben), "metadata": {"upgrade_id": str(dear.upgrade_id)}}
    await till.post(paid(cheap, **claims), paid(dear, id=cheap.payment_reference))
    assert (await till.plans(anna), await till.plans(ben)) == (["free"], ["free"])


async def test_a_wish_that_has_no_page_cannot_be_paid_by_naming_it(till: Till) -> None:
    account_id = await till.an_account()
    made = await till.store.upgrades.request(uuid4(), account_id, "max", check=lambda _holds: None, page=None)
    assert made.wish is not None
    await till.post(paid(made.wish, id="cs_made_up"), about_subscription(made.wish, "updated", price="price_max"))
    assert await till.plans(account_id) == ["free"]


async def test_a_payment_for_less_than_the_account_has_by_now_takes_nothing_away(till: Till) -> None:
    account_id = await till.an_account()
    wish = await till.a_wish(account_id)
    await till.store.subscriptions.change_plan(account_id, "max", actor="anna")
    await till.post(paid(wish))
    assert await till.plans(account_id) == ["free", "max"]
    assert [effect for effect, _ in await till.effects()] == ["for_staff"]


async def test_notices_that_say_nothing_to_us_are_taken_and_kept(till: Till) -> None:
    await till.post(an_event("of.tomorrow", {"id": "x"}), an_event("customer.subscription.deleted", {"id": "sub_9"}))
    assert [effect for effect, _ in await till.effects()] == ["none", "none"]


async def test_forged_notices_and_those_that_nobody_expects_leave_no_trace(till: Till) -> None:
    account_id = await till.an_account()
    body = json.dumps(paid(await till.a_wish(account_id)))
    assert await till.answer(body, secret="whsec_guessed") == NoticeRefused(reason="bad_signature")
    assert await till.answer("{") == NoticeRefused(reason="unreadable")
    no_stripe = Till(till.billing, till.store, StaffApproves())
    assert await no_stripe.answer(body) == NoticeRefused(reason="not_expected")
    assert (await till.plans(account_id), await till.effects()) == (["free"], [])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"BILLING_STRIPE_SECRET_KEY": "sk_test_secret"}, "BILLING_STRIPE_WEBHOOK_SECRET and BILLING_STRIPE_PRICES"),
        (
            {
                "BILLING_STRIPE_SECRET_KEY": "sk_test_secret",
                "BILLING_STRIPE_WEBHOOK_SECRET": SECRET,
                "BILLING_STRIPE_PRICES": '{"gold": "price_1"}',
            },
            "BILLING_STRIPE_PRICES names gold; the plans are: free, plus",
        ),
    ],
)
@pytest.mark.parametrize("command", ["check-config", "serve"])
async def test_settings_of_stripe_that_do_not_fit_end_the_start_with_a_sentence(
    till: Till, command: str, given: dict[str, str], said: str
) -> None:
    code, _, err = await Billing(till.billing.database, "nats://127.0.0.1:1", settings=given).command(command)
    assert (code, said in err, "Traceback" in err, "sk_test_secret" in err) == (2, True, False, False)
