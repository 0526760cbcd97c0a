"""Stripe's events: only genuine ones are read, and only as what they say."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import stripe

from billing.domain.payments import Ended, Fact, NotPaid, Paid, Priced
from billing.errors import NoticeUnfit
from billing.payments import StaffApproves
from billing.payments.stripe_checkout import StripeCheckout, StripeSettings, _back_to
from billing.payments.stripe_notices import notice_of

SECRET = "whsec_of_a_test"
PLANS = {"price_pro": "pro", "price_max": "max"}
SETTINGS = StripeSettings("sk_test_x", SECRET, {"pro": "price_pro", "max": "price_max"})
A_SESSION = {
    "id": "cs_1",
    "object": "checkout.session",
    "mode": "subscription",
    "payment_status": "paid",
    "amount_total": 2900,
    "currency": "eur",
    "subscription": "sub_1",
    "client_reference_id": "an-account",
    "metadata": {"upgrade_id": "a-wish", "account_id": "an-account"},
}
A_SUBSCRIPTION = {
    "id": "sub_1",
    "status": "active",
    "items": {"object": "list", "data": [{"id": "si_1", "price": {"id": "price_max"}}]},
    "metadata": {"upgrade_id": "a-wish"},
}
PAID = Paid("cs_1", "sub_1", 2900, "eur", upgrade="a-wish", account="an-account")


def an_event(kind: str, about: dict[str, Any]) -> str:
    return json.dumps({"id": "evt_1", "type": kind, "created": 1_795_000_000, "data": {"object": about}, "more": 1})


def signed(body: str, *, secret: str = SECRET, at: float | None = None) -> str:
    when = int(time.time() if at is None else at)
    return str(stripe.WebhookSignature.generate_signature_header(body, secret, when))


BODY = an_event("checkout.session.completed", A_SESSION)


def refused(body: str, signature: str) -> str:
    with pytest.raises(NoticeUnfit) as refusal:
        StripeCheckout(SETTINGS).read(body, signature)
    return refusal.value.reason


def test_a_genuine_notice_is_read_with_its_id_and_time() -> None:
    notice = StripeCheckout(SETTINGS).read(BODY, signed(BODY))
    assert (notice.event_id, notice.actor, notice.subject) == ("evt_1", "stripe:evt_1", "cs_1")
    assert (notice.told_at, notice.fact) == (datetime.fromtimestamp(1_795_000_000, UTC), PAID)


FORGED: dict[str, Callable[[], tuple[str, str]]] = {
    "nothing": lambda: (BODY, ""),
    "an empty one": lambda: (BODY, "t=1,v1="),
    "nonsense": lambda: (BODY, "nonsense"),
    "no time": lambda: (BODY, "t=now,v1=abc"),
    "a time without end": lambda: (BODY, f"t={'9' * 5000},v1=abc"),
    "not ASCII": lambda: (BODY, f"t={int(time.time())},v1=é"),
    "by another secret": lambda: (BODY, signed(BODY, secret="whsec_of_another")),
    "too old": lambda: (BODY, signed(BODY, at=time.time() - 301)),
    "of another scheme": lambda: (BODY, signed(BODY).replace("v1=", "v0=")),
    "of another amount": lambda: (BODY.replace("2900", "9900"), signed(BODY)),
    "of nearly this body": lambda: (BODY + " ", signed(BODY)),
}


@pytest.mark.parametrize("kind", list(FORGED))
def test_what_is_not_signed_by_stripe_just_now_is_refused(kind: str) -> None:
    assert refused(*FORGED[kind]()) == "bad_signature"


def test_a_notice_that_is_some_minutes_old_is_taken() -> None:
    assert StripeCheckout(SETTINGS).read(BODY, signed(BODY, at=time.time() - 290)).fact == PAID


@pytest.mark.parametrize(
    "body",
    [
        *("", "[]", "{", "{}", "é" * 10),
        '{"id": "evt_1", "type": "x", "created": "soon", "data": {"object": {}}}',
        '{"id": "evt_1", "type": "x", "created": 1e30, "data": {"object": {}}}',
        '{"id": "evt_1", "type": "x", "created": 99999999999999, "data": {"object": {}}}',
        an_event("checkout.session.completed", {}),
        an_event("customer.subscription.deleted", {"id": 7}),
    ],
)
def test_a_signed_body_that_is_no_event_is_unreadable(body: str) -> None:
    assert refused(body, signed(body)) == "unreadable"


SUBSCRIPTION_OBJECT = {"id": "sub_1", "object": "subscription"}
OLD_ITEMS = {"data": [{"plan": {"id": "price_pro"}}]}
TWO_ITEMS = {"data": [{"price": {"id": "price_pro"}}, {"price": {"id": "price_max"}}]}


@pytest.mark.parametrize(
    ("kind", "about", "fact"),
    [
        ("checkout.session.completed", A_SESSION, PAID),
        ("checkout.session.completed", A_SESSION | {"subscription": SUBSCRIPTION_OBJECT}, PAID),
        ("checkout.session.completed", A_SESSION | {"payment_status": "unpaid"}, None),
        ("checkout.session.completed", A_SESSION | {"mode": "payment"}, None),
        ("checkout.session.async_payment_succeeded", A_SESSION, PAID),
        ("checkout.session.async_payment_failed", A_SESSION, NotPaid("cs_1", "the payment failed")),
        ("checkout.session.expired", A_SESSION, NotPaid("cs_1", "the payment page was not used in time")),
        ("customer.subscription.deleted", A_SUBSCRIPTION, Ended("sub_1", "a-wish")),
        ("customer.subscription.updated", A_SUBSCRIPTION, Priced("sub_1", "max", "a-wish")),
        ("customer.subscription.updated", A_SUBSCRIPTION | {"items": OLD_ITEMS}, Priced("sub_1", "pro", "a-wish")),
        ("customer.subscription.updated", A_SUBSCRIPTION | {"items": TWO_ITEMS}, Priced("sub_1", None, "a-wish")),
        ("customer.subscription.updated", A_SUBSCRIPTION | {"status": "past_due"}, None),
        ("customer.subscription.created", A_SUBSCRIPTION, None),
        ("invoice.paid", {"id": "in_1"}, None),
        ("of.tomorrow", {}, None),
    ],
)
def test_of_each_event_only_what_matters_is_read(kind: str, about: dict[str, Any], fact: Fact | None) -> None:
    assert notice_of(an_event(kind, about), PLANS).fact == fact


def test_what_needed_no_payment_was_not_paid() -> None:
    fact = notice_of(
        an_event("checkout.session.completed", A_SESSION | {"payment_status": "no_payment_required"}), PLANS
    ).fact
    assert isinstance(fact, Paid)
    assert fact.amount == 0


def test_where_staff_decides_no_notice_is_expected() -> None:
    with pytest.raises(NoticeUnfit, match="not_expected"):
        StaffApproves().read(BODY, signed(BODY))


def test_the_customer_comes_back_to_where_the_wish_was_made() -> None:
    assert _back_to("https://a.example/plans?x=1#pro", payment="done") == "https://a.example/plans?x=1&payment=done#pro"


def test_secrets_are_not_in_what_is_printed() -> None:
    assert "sk_test_x" not in repr(SETTINGS)
    assert SECRET not in repr(SETTINGS)
