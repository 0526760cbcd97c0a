"""What all changes of a plan have in common, inside a transaction: the account's lock, the clock, and the record, which
is history and outbox in one."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import func
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from billing.domain.subscriptions import Subscription, standing
from billing.errors import UnknownAccount
from billing.tables import SubscriptionChangeRow, SubscriptionRow

# The relays of all replicas listen there: told at the commit, to nobody when there is none.
OUTBOX_CHANNEL = "billing_outbox"


async def lock_account(session: AsyncSession, account_id: UUID) -> SubscriptionRow:
    """The account's row, for this transaction alone. Raises `UnknownAccount`."""
    locked = select(SubscriptionRow).where(col(SubscriptionRow.account_id) == account_id).with_for_update()
    row = (await session.exec(locked)).one_or_none()
    if row is None:
        raise UnknownAccount(account_id)
    return row


async def read_clock(session: AsyncSession) -> datetime:
    """Read under the lock: a change that waited for it is newer than the one that it waited for."""
    now: datetime = (await session.exec(select(func.clock_timestamp()))).one()
    return now


async def changes_of(session: AsyncSession, account_id: UUID) -> Sequence[Subscription]:
    """Every revision of one account, oldest first; nothing for an unknown one."""
    query = (
        select(SubscriptionRow.name, SubscriptionChangeRow)
        .join(SubscriptionChangeRow, col(SubscriptionChangeRow.account_id) == col(SubscriptionRow.account_id))
        .where(col(SubscriptionRow.account_id) == account_id)
        .order_by(col(SubscriptionChangeRow.revision))
    )
    return [
        Subscription(row.account_id, name, row.plan, row.revision, row.effective_at)
        for name, row in (await session.exec(query)).all()
    ]


async def plan_now(session: AsyncSession, account_id: UUID, *, now: datetime) -> str:
    """The plan that holds, which need not be that of the newest revision. Raises `UnknownAccount`."""
    changes = await changes_of(session, account_id)
    if not changes:
        raise UnknownAccount(account_id)
    return standing(changes, now=now).now.plan


async def move(session: AsyncSession, row: SubscriptionRow, plan: str, *, at: datetime, actor: str) -> Subscription:
    """The account of a locked row on `plan` from then on; a revision more if that is a change."""
    before = Subscription(row.account_id, row.name, row.plan, row.revision, row.effective_at)
    after = before.moved_to(plan, at=at)
    if after != before:
        row.plan, row.revision, row.effective_at = after.plan, after.revision, after.effective_at
        await record(session, after, actor=actor)
    return after


async def record(session: AsyncSession, subscription: Subscription, *, actor: str) -> None:
    """The revision is history, and waits to be told."""
    await session.exec(
        insert(SubscriptionChangeRow).values(
            account_id=subscription.account_id,
            revision=subscription.revision,
            plan=subscription.plan,
            effective_at=subscription.effective_at,
            actor=actor,
        )
    )
    await announce(session)


async def announce(session: AsyncSession) -> None:
    """Something waits in the outbox from the commit on: whoever listens hears of it at that moment."""
    await session.exec(select(func.pg_notify(OUTBOX_CHANNEL, "")))
