"""What billing is asked for a visitor: the subscription, wishes for a larger plan, and what payments came."""

import logging
from collections.abc import Sequence
from typing import Literal
from urllib.parse import urlsplit
from uuid import UUID, uuid5

from chassis.bus import Bus, PeerUnavailable, ask
from contracts.billing import (
    READ_SUBSCRIPTION,
    REQUEST_UPGRADE,
    TAKE_PAYMENT_NOTICE,
    WITHDRAW_UPGRADE,
    NoSubscription,
    NoticeRefused,
    NoticeTaken,
    PaymentNotice,
    ReadSubscription,
    RequestUpgrade,
    SubscriptionStanding,
    Upgrade,
    UpgradeRefused,
    UpgradeRequested,
    UpgradeWithdrawn,
    WithdrawUpgrade,
)
from contracts.endpoint import ReplyT, RequestT, Rpc
from contracts.failures import Failure
from contracts.plans import Plan, PlanCatalogue
from gateway.errors import ServiceUnavailable
from gateway.portal.visit import Visitor

log = logging.getLogger(__name__)

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Subscriptions:
    """Asks billing, which decides. Everything raises `ServiceUnavailable` when it does not answer.

    What it may have to ask a payment provider for has `payment_timeout_seconds`.
    """

    def __init__(self, bus: Bus, *, timeout_seconds: float, payment_timeout_seconds: float) -> None:
        self._bus = bus
        self._timeout_seconds = timeout_seconds
        self._payment_timeout_seconds = payment_timeout_seconds

    async def standing(self, visitor: Visitor) -> SubscriptionStanding | None:
        """The plan and what is to become of it. None: billing has not heard of the account yet."""
        reply = await self._ask(
            READ_SUBSCRIPTION, ReadSubscription(account_id=visitor.account_id), self._timeout_seconds
        )
        match reply:
            case SubscriptionStanding():
                return reply
            case NoSubscription():
                return None
            case Failure():
                raise ServiceUnavailable

    async def request(
        self, visitor: Visitor, plan: str, *, wish: str, return_url: str
    ) -> UpgradeRequested | UpgradeRefused:
        """Ask for a plan. A form carries its own `wish`, so that one that is sent twice is one wish.

        The id is made of it under the account's own, so that no form can name a wish of somebody else.
        """
        wanted = RequestUpgrade(
            upgrade_id=uuid5(visitor.account_id, wish),
            account_id=visitor.account_id,
            plan=plan,
            return_url=return_url,
            email=visitor.email,
        )
        reply = await self._ask(REQUEST_UPGRADE, wanted, self._payment_timeout_seconds)
        match reply:
            case UpgradeRequested() | UpgradeRefused():
                return reply
            case Failure():
                raise ServiceUnavailable

    async def withdraw(self, visitor: Visitor, upgrade_id: UUID) -> Upgrade | None:
        """The wish as it is now. None: the account has no such wish."""
        wanted = WithdrawUpgrade(upgrade_id=upgrade_id, account_id=visitor.account_id)
        reply = await self._ask(WITHDRAW_UPGRADE, wanted, self._payment_timeout_seconds)
        match reply:
            case UpgradeWithdrawn(upgrade=upgrade):
                return upgrade
            case Failure():
                raise ServiceUnavailable

    async def take_notice(self, *, provider: Literal["stripe"], body: str, signature: str) -> bool:
        """Whether the notice is genuine; what it says is recorded then."""
        notice = PaymentNotice(provider=provider, body=body, signature=signature)
        reply = await self._ask(TAKE_PAYMENT_NOTICE, notice, self._payment_timeout_seconds)
        match reply:
            case NoticeTaken():
                return True
            case NoticeRefused():
                return False
            case Failure():
                raise ServiceUnavailable

    async def _ask(self, rpc: Rpc[RequestT, ReplyT], request: RequestT, timeout_seconds: float) -> ReplyT:
        try:
            reply = await ask(self._bus, rpc, request, timeout_seconds=timeout_seconds)
        except PeerUnavailable as exc:
            log.warning("billing did not answer", extra={"subject": rpc.subject})
            raise ServiceUnavailable from exc
        if isinstance(reply, Failure):
            log.warning("billing failed", extra={"subject": rpc.subject, "reason": reply.code})
        return reply


def larger_plans(plans: PlanCatalogue, *, than: str) -> Sequence[str]:
    """The plans above one; all, when it left the catalogue."""
    names = plans.names
    return names[names.index(than) + 1 :] if than in names else names


def payment_page(upgrade: Upgrade | None) -> str | None:
    """Where a pending wish can be paid, when that is a place that a visitor may be sent to."""
    if upgrade is None or upgrade.state != "pending" or upgrade.payment_url is None:
        return None
    try:
        parts = urlsplit(upgrade.payment_url)
        is_safe = bool(parts.hostname) and (
            parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
        )
    except ValueError:
        is_safe = False
    if not is_safe:
        log.error("payment page not shown", extra={"upgrade_id": str(upgrade.upgrade_id)})
        return None
    return upgrade.payment_url


def named(plans: PlanCatalogue, name: str) -> str:
    """A plan as pages call it; one that left the catalogue, too."""
    plan: Plan | None = plans.plan(name)
    return (plan.name if plan is not None else name).capitalize()
