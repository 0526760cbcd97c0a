"""Stripe's events as facts. Of each event only what matters here is read; the rest may look as it likes."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from billing.domain.payments import Ended, Fact, Notice, NotPaid, Paid, Priced
from billing.errors import NoticeUnfit

PROVIDER = "stripe"
# States in which a subscription gives what it is for.
_ACTIVE = frozenset({"active", "trialing"})


class _Read(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Named(_Read):
    id: str


class _Item(_Read):
    price: _Named | None = None
    # As events of old versions of the interface call it.
    plan: _Named | None = None


class _Items(_Read):
    data: Sequence[_Item] = ()


class _Session(_Read):
    id: str
    mode: str | None = None
    payment_status: str | None = None
    amount_total: int | None = None
    currency: str | None = None
    subscription: str | _Named | None = None
    client_reference_id: str | None = None
    metadata: Mapping[str, str] | None = None

    @property
    def claims(self) -> Mapping[str, str]:
        return self.metadata or {}


class _Subscription(_Read):
    id: str
    status: str | None = None
    items: _Items = _Items()
    metadata: Mapping[str, str] | None = None

    @property
    def claimed_upgrade(self) -> str | None:
        return (self.metadata or {}).get("upgrade_id")


class _Data(_Read):
    object: Mapping[str, Any]


class _Event(_Read):
    id: str
    type: str
    created: int
    data: _Data


def notice_of(body: str, plans: Mapping[str, str]) -> Notice:
    """The notice of an event; `plans` are ours by the id of their price. Raises `NoticeUnfit`."""
    try:
        event = _Event.model_validate_json(body)
        fact = _fact(event, plans)
        told_at = datetime.fromtimestamp(event.created, UTC)
    except (ValidationError, ValueError, OverflowError, OSError) as exc:
        raise NoticeUnfit("unreadable") from exc
    return Notice(PROVIDER, event.id, event.type, told_at, fact)


def _fact(event: _Event, plans: Mapping[str, str]) -> Fact | None:
    match event.type:
        case "checkout.session.completed" | "checkout.session.async_payment_succeeded":
            session = _Session.model_validate(event.data.object)
            # Of slow ways to pay the first one tells that the page was left, the second one that the money came.
            return _paid(session) if session.mode == "subscription" and session.payment_status != "unpaid" else None
        case "checkout.session.async_payment_failed":
            return NotPaid(_Session.model_validate(event.data.object).id, "the payment failed")
        case "checkout.session.expired":
            return NotPaid(_Session.model_validate(event.data.object).id, "the payment page was not used in time")
        case "customer.subscription.deleted":
            ended = _Subscription.model_validate(event.data.object)
            return Ended(ended.id, ended.claimed_upgrade)
        case "customer.subscription.updated":
            return _priced(_Subscription.model_validate(event.data.object), plans)
        case _:
            return None


def _paid(session: _Session) -> Paid:
    subscription = session.subscription.id if isinstance(session.subscription, _Named) else session.subscription
    return Paid(
        reference=session.id,
        subscription=subscription,
        # What needed no payment was not paid.
        amount=session.amount_total if session.payment_status == "paid" else 0,
        currency=session.currency,
        upgrade=session.claims.get("upgrade_id"),
        account=session.client_reference_id,
    )


def _priced(subscription: _Subscription, plans: Mapping[str, str]) -> Priced | None:
    if subscription.status not in _ACTIVE:
        return None
    prices = [named.id for item in subscription.items.data if (named := item.price or item.plan) is not None]
    plan = plans.get(prices[0]) if len(prices) == 1 else None
    return Priced(subscription.id, plan, subscription.claimed_upgrade)
