"""Wishes for a larger plan, and notices of payments for them.

Nothing is asked of the payment provider inside of a transaction. A wish is recorded when its payment page is there: a
provider that is away leaves everything as it was.
"""

import logging
from collections.abc import Awaitable, Callable
from datetime import datetime

from billing.domain.payments import Effect
from billing.domain.upgrades import PaymentPage, Refusal, State, Wish, refusal
from billing.errors import NoticeUnfit, PaymentAway, UnknownAccount
from billing.handlers.reading import upgrade_of
from billing.payments.port import Order, PaymentPort
from billing.store import Considered, Payments, Upgrades
from chassis import telemetry
from chassis.bus import TryLater
from chassis.watched import Watched
from contracts.billing import (
    NoticeRefused,
    NoticeTaken,
    PaymentNotice,
    PaymentNoticeReply,
    RequestUpgrade,
    RequestUpgradeReply,
    UpgradeRefused,
    UpgradeRequested,
    UpgradeWithdrawn,
    WithdrawUpgrade,
    WithdrawUpgradeReply,
)
from contracts.plans import PlanCatalogue

log = logging.getLogger(__name__)

notices = telemetry.meter.create_counter(
    "smartroute.billing.payment.notices", unit="{notice}", description="Payment notices, by what they did"
)
pages_failed = telemetry.meter.create_counter(
    "smartroute.billing.payment.pages_failed", unit="{page}", description="Payment pages that the provider did not make"
)
# Beside the effects of genuine ones.
REFUSED = "refused"

BY_CUSTOMER = "withdrawn by the customer"

RequestUpgradeOf = Callable[[RequestUpgrade], Awaitable[RequestUpgradeReply]]
WithdrawUpgradeOf = Callable[[WithdrawUpgrade], Awaitable[WithdrawUpgradeReply]]
TakePaymentNotice = Callable[[PaymentNotice], Awaitable[PaymentNoticeReply]]


def request_upgrade(upgrades: Upgrades, catalogue: Watched[PlanCatalogue], port: PaymentPort) -> RequestUpgradeOf:
    """Record a wish, with a payment page where one is needed."""

    async def request(asked: RequestUpgrade) -> RequestUpgradeReply:
        def check(holds: str) -> Refusal | None:
            return refusal(catalogue.value, wanted=asked.plan, holds=holds, sells=port.sells)

        try:
            found = await upgrades.consider(asked.upgrade_id, asked.account_id, check)
            if found.refused is None and found.wish is None:
                page = await _page(port, asked, replacing=found.pending)
                found = await upgrades.request(asked.upgrade_id, asked.account_id, asked.plan, check=check, page=page)
        except UnknownAccount:
            return UpgradeRefused(reason="unknown_account")
        except PaymentAway as exc:
            pages_failed.add(1)
            log.warning("no payment page", extra={"upgrade_id": str(asked.upgrade_id), "reason": str(exc)})
            return UpgradeRefused(reason="payment_unavailable")
        return _requested(found)

    return request


def withdraw_upgrade(upgrades: Upgrades, port: PaymentPort) -> WithdrawUpgradeOf:
    """A wish that is paid already stays: its payment is about to be told."""

    async def withdraw(asked: WithdrawUpgrade) -> WithdrawUpgradeReply:
        wish = await upgrades.find(asked.upgrade_id, account_id=asked.account_id)
        if wish is None:
            return UpgradeWithdrawn(upgrade=None)
        if wish.is_pending and await shut_page(port, wish):
            wish = await upgrades.decide(wish, _withdrawn)
        return UpgradeWithdrawn(upgrade=upgrade_of(wish))

    return withdraw


def take_payment_notice(payments: Payments, catalogue: Watched[PlanCatalogue], port: PaymentPort) -> TakePaymentNotice:
    """Take a genuine notice with its effect, once. Raises `TryLater` for what the provider is to tell again."""

    async def take(asked: PaymentNotice) -> PaymentNoticeReply:
        try:
            notice = port.read(asked.body, asked.signature)
        except NoticeUnfit as exc:
            log.warning("payment notice refused", extra={"reason": exc.reason})
            notices.add(1, {"effect": REFUSED})
            return NoticeRefused(reason=exc.reason)
        verdict, wish = await payments.take(notice, catalogue.value)
        notices.add(1, {"effect": verdict.effect.value})
        said = {"event": notice.event_id, "kind": notice.kind, "effect": verdict.effect.value, "note": verdict.note}
        log.log(
            logging.ERROR if verdict.effect == Effect.FOR_STAFF else logging.INFO, "payment notice taken", extra=said
        )
        if wish is not None:
            await _end_superseded(payments, port, wish)
        return NoticeTaken()

    return take


async def shut_page(port: PaymentPort, wish: Wish) -> bool:
    """Whether a wish can be given up: nobody will pay for it. A provider that is away is no reason to keep it."""
    if wish.payment_reference is None:
        return True
    try:
        return await port.shut(wish.payment_reference)
    except PaymentAway as exc:
        # Who pays there all the same is found by staff: `python -m billing payments --for-staff`.
        log.warning("payment page not shut", extra={"upgrade_id": str(wish.upgrade_id), "reason": str(exc)})
        return True


async def _page(port: PaymentPort, asked: RequestUpgrade, *, replacing: Wish | None) -> PaymentPage | None:
    """The page of a new wish; that of the one it replaces is shut. Raises `PaymentAway`."""
    order = Order(asked.upgrade_id, asked.account_id, asked.plan, asked.return_url, asked.email)
    page = await port.open(order)
    if replacing is not None and not await shut_page(port, replacing):
        if page is not None:
            await port.shut(page.reference)
        raise PaymentAway(f"upgrade {replacing.upgrade_id} is being paid")
    return page


def _requested(found: Considered) -> RequestUpgradeReply:
    if found.wish is None:
        return UpgradeRefused(reason=found.refused or "payment_unavailable")
    return UpgradeRequested(upgrade=upgrade_of(found.wish))


def _withdrawn(wish: Wish, _holds: str, now: datetime) -> Wish:
    return wish.decided(State.WITHDRAWN, at=now, actor="customer", reason=BY_CUSTOMER) if wish.is_pending else wish


async def _end_superseded(payments: Payments, port: PaymentPort, wish: Wish) -> None:
    """Nobody pays for two plans. The provider tells again what we could not finish."""
    for earlier in await payments.superseded(wish.account_id):
        if earlier.payment_subscription is None:
            continue
        try:
            await port.end(earlier.payment_subscription)
        except PaymentAway as exc:
            raise TryLater(str(exc)) from exc
        await payments.mark_ended(earlier)
