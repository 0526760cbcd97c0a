"""Payment notices, each once, in one transaction with what they do to wishes and plans."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from billing.domain.payments import (
    Effect,
    Ended,
    Known,
    Notice,
    NotPaid,
    Paid,
    Priced,
    Verdict,
    decide,
    decide_unknown,
)
from billing.domain.upgrades import State, Wish
from billing.errors import UnknownUpgrade
from billing.store.plan_changes import lock_account, move, plan_now, read_clock
from billing.store.session import transaction
from billing.store.upgrades import save, wish_of
from billing.tables import PaymentEventRow, UpgradeRow
from contracts.plans import PlanCatalogue

AGAIN = Verdict(Effect.NONE, "taken before")


@dataclass(frozen=True, slots=True)
class PaymentEvent:
    """A notice as it was taken, and what it did."""

    provider: str
    event_id: str
    kind: str
    subject: str
    told_at: datetime
    received_at: datetime
    effect: str
    note: str
    upgrade_id: UUID | None


class Payments:
    """`payment_events`, and what they change in `upgrades` and in the plans of accounts."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def take(self, notice: Notice, catalogue: PlanCatalogue) -> tuple[Verdict, Wish | None]:
        """What the notice did now, and the wish that it was about. The same notice again does nothing."""
        async with transaction(self._engine) as session:
            meant = await _meant(session, notice)
            if meant is None:
                verdict = Verdict(Effect.NONE) if notice.fact is None else decide_unknown(notice.fact)
                return await _recorded(session, notice, verdict, None), None
            account = await lock_account(session, meant.account_id)
            if await _is_taken(session, notice):
                return AGAIN, meant
            now = await read_clock(session)
            verdict = decide(notice, await _known(session, notice, meant, catalogue, now=now), at=now)
            if verdict.wish is not None:
                await save(session, verdict.wish)
            if verdict.plan is not None:
                await move(session, account, verdict.plan, at=now, actor=notice.actor)
            return await _recorded(session, notice, verdict, meant.upgrade_id), meant

    async def superseded(self, account_id: UUID) -> Sequence[Wish]:
        """Wishes of an account whose subscriptions still pay although that of a later one does."""
        query = select(UpgradeRow).where(_pays(account_id)).order_by(col(UpgradeRow.decided_at).desc())
        async with transaction(self._engine) as session:
            return [wish_of(row) for row in (await session.exec(query)).all()[1:]]

    async def mark_ended(self, wish: Wish) -> None:
        """The subscription of the wish was ended by us."""
        async with transaction(self._engine) as session:
            await lock_account(session, wish.account_id)
            row = (
                await session.exec(select(UpgradeRow).where(col(UpgradeRow.upgrade_id) == wish.upgrade_id))
            ).one_or_none()
            if row is None:
                raise UnknownUpgrade(wish.upgrade_id)
            if row.payment_ended_at is None:
                row.payment_ended_at = await read_clock(session)

    async def events(self, *, for_staff_only: bool, limit: int) -> Sequence[PaymentEvent]:
        """The newest notices, oldest of them first."""
        query = select(PaymentEventRow).order_by(col(PaymentEventRow.received_at).desc(), col(PaymentEventRow.event_id))
        if for_staff_only:
            query = query.where(col(PaymentEventRow.effect) == Effect.FOR_STAFF)
        async with transaction(self._engine) as session:
            rows = (await session.exec(query.limit(limit))).all()
        return [PaymentEvent(*(getattr(row, name) for name in PaymentEvent.__slots__)) for row in reversed(rows)]


def _pays(account_id: UUID) -> ColumnElement[bool]:
    """Wishes of an account that a subscription pays for now."""
    return and_(
        col(UpgradeRow.account_id) == account_id,
        col(UpgradeRow.state) == State.APPROVED,
        col(UpgradeRow.payment_subscription).is_not(None),
        col(UpgradeRow.payment_ended_at).is_(None),
    )


async def _meant(session: AsyncSession, notice: Notice) -> Wish | None:
    """The wish that a notice is about, by what we wrote into it; of unknown subscriptions, by what they claim."""
    match notice.fact:
        case Paid(reference=reference) | NotPaid(reference=reference):
            query = select(UpgradeRow).where(col(UpgradeRow.payment_reference) == reference)
        case Ended(subscription=subscription) | Priced(subscription=subscription):
            query = select(UpgradeRow).where(col(UpgradeRow.payment_subscription) == subscription)
        case None:
            return None
    row = (await session.exec(query)).one_or_none()
    if row is None and isinstance(notice.fact, Ended | Priced):
        row = await _claimed(session, notice.fact.upgrade)
    return None if row is None else wish_of(row)


async def _claimed(session: AsyncSession, upgrade: str | None) -> UpgradeRow | None:
    try:
        upgrade_id = UUID(upgrade or "")
    except ValueError:
        return None
    query = select(UpgradeRow).where(
        col(UpgradeRow.upgrade_id) == upgrade_id, col(UpgradeRow.payment_reference).is_not(None)
    )
    return (await session.exec(query)).one_or_none()


async def _known(
    session: AsyncSession, notice: Notice, meant: Wish, catalogue: PlanCatalogue, *, now: datetime
) -> Known:
    """All that a decision rests on, as it is under the lock of the account."""
    query = (
        select(UpgradeRow)
        .where(col(UpgradeRow.upgrade_id) == meant.upgrade_id)
        .execution_options(populate_existing=True)
    )
    wish = wish_of((await session.exec(query)).one())
    others = select(func.count()).where(_pays(wish.account_id), col(UpgradeRow.upgrade_id) != wish.upgrade_id)
    return Known(
        wish=wish,
        holds=await plan_now(session, wish.account_id, now=now),
        catalogue=catalogue,
        is_only_payer=(await session.exec(others)).one() == 0,
        was_early=await _was_early(session, notice),
    )


async def _was_early(session: AsyncSession, notice: Notice) -> bool:
    if not isinstance(notice.fact, Paid) or notice.fact.subscription is None:
        return False
    query = select(func.count()).where(
        col(PaymentEventRow.provider) == notice.provider,
        col(PaymentEventRow.subject) == notice.fact.subscription,
        col(PaymentEventRow.effect) == Effect.EARLY,
    )
    return (await session.exec(query)).one() > 0


async def _is_taken(session: AsyncSession, notice: Notice) -> bool:
    query = select(func.count()).where(
        col(PaymentEventRow.provider) == notice.provider, col(PaymentEventRow.event_id) == notice.event_id
    )
    return (await session.exec(query)).one() > 0


async def _recorded(session: AsyncSession, notice: Notice, verdict: Verdict, upgrade_id: UUID | None) -> Verdict:
    """The verdict, if the notice was not taken before."""
    row = {
        "provider": notice.provider,
        "event_id": notice.event_id,
        "kind": notice.kind,
        "subject": notice.subject,
        "told_at": notice.told_at,
        "effect": verdict.effect.value,
        "note": verdict.note,
        "upgrade_id": upgrade_id,
    }
    taken = insert(PaymentEventRow).values(row).on_conflict_do_nothing().returning(col(PaymentEventRow.event_id))
    return AGAIN if (await session.exec(taken)).scalar_one_or_none() is None else verdict
