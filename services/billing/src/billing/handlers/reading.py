"""What a customer may read: receipts, activity, and the standing of the subscription."""

from collections.abc import Awaitable, Callable
from typing import Literal

from billing.domain.receipts import receipt_of
from billing.domain.upgrades import State, Wish
from billing.store import Activity, Ledger, Subscriptions, Upgrades
from contracts.billing import Activity as ActivityReplied
from contracts.billing import (
    ActivityReply,
    DayActivity,
    NoReceipt,
    NoSubscription,
    ReadActivity,
    ReadReceipt,
    ReadSubscription,
    ReceiptReply,
    SubscriptionReply,
    SubscriptionStanding,
    UpcomingPlan,
    Upgrade,
)
from contracts.outcomes import Outcome

ReadReceiptOf = Callable[[ReadReceipt], Awaitable[ReceiptReply]]
ReadActivityOf = Callable[[ReadActivity], Awaitable[ActivityReply]]
ReadSubscriptionOf = Callable[[ReadSubscription], Awaitable[SubscriptionReply]]

_STATES: dict[str, Literal["pending", "approved", "declined", "withdrawn"]] = {
    State.PENDING: "pending",
    State.APPROVED: "approved",
    State.DECLINED: "declined",
    State.WITHDRAWN: "withdrawn",
}


def read_receipt(ledger: Ledger) -> ReadReceiptOf:
    """The receipt of a request, for its own account only."""

    async def read(asked: ReadReceipt) -> ReceiptReply:
        lines = await ledger.lines_of(asked.request_id, account_id=asked.account_id)
        return receipt_of(lines) if lines else NoReceipt(request_id=asked.request_id)

    return read


def read_activity(activity: Activity) -> ReadActivityOf:
    """Days and latest requests of an account, of nobody else."""

    async def read(asked: ReadActivity) -> ActivityReply:
        days = await activity.days(asked.account_id, since=asked.since)
        page = await activity.latest(asked.account_id, before=asked.before, limit=asked.limit)
        return ActivityReplied(
            account_id=asked.account_id,
            days=tuple(
                DayActivity(day=sum_.day, result=Outcome(sum_.outcome), requests=sum_.requests, prompts=sum_.prompts)
                for sum_ in days
            ),
            requests=tuple(receipt_of(lines) for lines in page.requests),
            more_before=page.more_before,
        )

    return read


def read_subscription(
    subscriptions: Subscriptions, upgrades: Upgrades, *, decides: Literal["staff", "stripe"]
) -> ReadSubscriptionOf:
    """The plan that holds, changes to come, the newest wish."""

    async def read(asked: ReadSubscription) -> SubscriptionReply:
        found = await subscriptions.standing(asked.account_id)
        if found is None:
            return NoSubscription(account_id=asked.account_id)
        wish = await upgrades.newest(asked.account_id)
        return SubscriptionStanding(
            account_id=asked.account_id,
            plan=found.now.plan,
            since=found.now.effective_at,
            upcoming=tuple(
                UpcomingPlan(plan=change.plan, effective_at=change.effective_at) for change in found.pending
            ),
            upgrade=None if wish is None else upgrade_of(wish),
            payment=decides,
        )

    return read


def upgrade_of(wish: Wish) -> Upgrade:
    """A wish as its customer may see it: nothing of who decided, or of the provider's ids."""
    return Upgrade(
        upgrade_id=wish.upgrade_id,
        plan=wish.plan,
        state=_STATES[wish.state],
        requested_at=wish.requested_at,
        decided_at=wish.decided_at,
        reason=wish.reason,
        payment_url=wish.payment_url,
    )
