"""Plans and grants of accounts, with their history, and the outbox that tells both to the other services."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from itertools import groupby
from uuid import UUID, uuid4

from sqlalchemy import func, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from billing.domain.subscriptions import Change, Grant, Span, Standing, Subscription, effective_from, standing
from billing.errors import InThePast
from billing.store.plan_changes import announce, changes_of, lock_account, move, read_clock, record
from billing.store.session import transaction
from billing.tables import GrantRow, SubscriptionChangeRow, SubscriptionRow

# One relay at a time publishes, whatever the number of replicas: that keeps the revisions of an account in order.
_ONE_RELAY = select(func.pg_try_advisory_xact_lock(func.hashtext("billing outbox")))

Told = Change | Grant


class Subscriptions:
    """`subscriptions`, `subscription_changes` and `grants`. Every method is one transaction."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def open(self, subscription: Subscription, *, actor: str) -> bool:
        """Revision 1 of an account, with the change to tell. Whether it is new; a known account stays as it is."""
        row = {name: getattr(subscription, name) for name in SubscriptionRow.model_fields}
        opened = insert(SubscriptionRow).values(row).on_conflict_do_nothing().returning(col(SubscriptionRow.revision))
        async with transaction(self._engine) as session:
            if (await session.exec(opened)).scalar_one_or_none() is None:
                return False
            await record(session, subscription, actor=actor)
            return True

    async def change_plan(
        self, account_id: UUID, plan: str, *, actor: str, effective_at: datetime | None = None
    ) -> Subscription:
        """The account on `plan` from then on (None: from now on); a revision more if that is a change.

        Raises `UnknownAccount`, `InThePast`.
        """
        async with transaction(self._engine) as session:
            row = await lock_account(session, account_id)
            at = effective_from(effective_at, now=await read_clock(session))
            return await move(session, row, plan, at=at, actor=actor)

    async def grant(self, account_id: UUID, prompts: int, span: Span, *, actor: str, reason: str) -> Grant:
        """Extra prompts for an account. Raises `UnknownAccount`, and `InThePast` for a span that is over."""
        async with transaction(self._engine) as session:
            await lock_account(session, account_id)
            now = await read_clock(session)
            if span.ends_at <= now:
                raise InThePast(span.ends_at, now)
            grant = Grant(uuid4(), account_id, prompts, span.starts_at or now, span.ends_at, actor, reason)
            values = {name: getattr(grant, name) for name in Grant.__slots__}
            await session.exec(insert(GrantRow).values(values))
            await announce(session)
            return grant

    async def grants(self, *, account_id: UUID | None, limit: int) -> Sequence[Grant]:
        """The newest grants, oldest of them first."""
        query = select(GrantRow).order_by(col(GrantRow.recorded_at).desc(), col(GrantRow.grant_id)).limit(limit)
        if account_id is not None:
            query = query.where(col(GrantRow.account_id) == account_id)
        async with transaction(self._engine) as session:
            return [_grant(row) for row in reversed((await session.exec(query)).all())]

    @asynccontextmanager
    async def outbox(self, *, limit: int) -> AsyncIterator["Outbox"]:
        """What waits to be told: changes of plan, oldest revision of each account first, then grants. What was marked
        is committed on the way out. Empty while another replica has it."""
        async with transaction(self._engine) as session:
            is_ours = (await session.exec(_ONE_RELAY)).one()
            yield Outbox(session, await _waiting(session, limit=limit) if is_ours else [])

    async def is_published(self, told: Subscription | Grant) -> bool:
        """Whether this revision, or this grant, has been told."""
        if isinstance(told, Grant):
            found = select(col(GrantRow.published_at)).where(col(GrantRow.grant_id) == told.grant_id)
        else:
            found = select(col(SubscriptionChangeRow.published_at)).where(
                col(SubscriptionChangeRow.account_id) == told.account_id,
                col(SubscriptionChangeRow.revision) == told.revision,
            )
        async with transaction(self._engine) as session:
            return (await session.exec(found)).one_or_none() is not None

    async def standing(self, account_id: UUID) -> Standing | None:
        """The plan that one account has now, and changes to come. Raises `StoreAway`."""
        async with transaction(self._engine) as session:
            changes = await changes_of(session, account_id)
            return standing(changes, now=await read_clock(session)) if changes else None

    async def standings(self) -> Sequence[Standing]:
        """All accounts, by name, with the plan that holds now and the changes to come."""
        query = (
            select(SubscriptionRow.name, SubscriptionChangeRow, func.now())
            .join(SubscriptionChangeRow, col(SubscriptionChangeRow.account_id) == col(SubscriptionRow.account_id))
            .order_by(col(SubscriptionRow.name), col(SubscriptionRow.account_id), col(SubscriptionChangeRow.revision))
        )
        async with transaction(self._engine) as session:
            rows = (await session.exec(query)).all()
        now = rows[0][2] if rows else None
        changes = [
            Subscription(row.account_id, name, row.plan, row.revision, row.effective_at) for name, row, _ in rows
        ]
        by_account = groupby(changes, key=lambda change: change.account_id)
        return [standing(list(group), now=now) for _, group in by_account] if now is not None else []


class Outbox:
    """What to tell, inside the transaction that marks it as told."""

    def __init__(self, session: AsyncSession, waiting: Sequence[Told]) -> None:
        self._session = session
        self.waiting = waiting

    async def mark_published(self, told: Told) -> None:
        if isinstance(told, Grant):
            which = update(GrantRow).where(col(GrantRow.grant_id) == told.grant_id)
        else:
            which = update(SubscriptionChangeRow).where(
                col(SubscriptionChangeRow.account_id) == told.account_id,
                col(SubscriptionChangeRow.revision) == told.revision,
            )
        await self._session.exec(which.values(published_at=func.clock_timestamp()))


async def _waiting(session: AsyncSession, *, limit: int) -> Sequence[Told]:
    changes = (
        select(SubscriptionChangeRow)
        .where(col(SubscriptionChangeRow.published_at).is_(None))
        .order_by(col(SubscriptionChangeRow.account_id), col(SubscriptionChangeRow.revision))
        .limit(limit)
    )
    waiting: list[Told] = [
        Change(row.account_id, row.revision, row.plan, row.effective_at) for row in await session.exec(changes)
    ]
    grants = (
        select(GrantRow)
        .where(col(GrantRow.published_at).is_(None))
        .order_by(col(GrantRow.recorded_at))
        .limit(limit - len(waiting))
    )
    return [*waiting, *(_grant(row) for row in await session.exec(grants))]


def _grant(row: GrantRow) -> Grant:
    return Grant(*(getattr(row, name) for name in Grant.__slots__))
