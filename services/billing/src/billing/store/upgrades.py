"""Wishes for a larger plan, with their history, and what payment providers told of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from billing.domain.upgrades import Check, PaymentPage, Refusal, State, Wish, new_wish
from billing.errors import UnknownUpgrade
from billing.store.plan_changes import lock_account, move, plan_now, read_clock
from billing.store.session import transaction
from billing.tables import UpgradeRow

REPLACED = "replaced by another wish"

# Of the wish as it is under the lock, the plan that its account has, and the time.
Decision = Callable[[Wish, str, datetime], Wish]


@dataclass(frozen=True, slots=True)
class Considered:
    """What came of asking for a wish: refused, or the wish as it is (None: there is none of that id yet), and the
    account's other one that was pending."""

    refused: Refusal | Literal["unknown_account"] | None = None
    wish: Wish | None = None
    pending: Wish | None = None


class Upgrades:
    """`upgrades`. Every method is one transaction, under the lock of its account where it writes."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def consider(self, upgrade_id: UUID, account_id: UUID, check: Check) -> Considered:
        """Whether the wish is there, and if not, whether it may be made. Raises `UnknownAccount`."""
        async with transaction(self._engine) as session:
            return await _considered(session, upgrade_id, account_id, check)

    async def request(
        self, upgrade_id: UUID, account_id: UUID, plan: str, *, check: Check, page: PaymentPage | None
    ) -> Considered:
        """Record the wish, unless it is there or may not be made; one that is pending is replaced.

        Raises `UnknownAccount`.
        """
        async with transaction(self._engine) as session:
            await lock_account(session, account_id)
            considered = await _considered(session, upgrade_id, account_id, check)
            if considered.wish is not None or considered.refused is not None:
                return considered
            now = await read_clock(session)
            if considered.pending is not None:
                replaced = considered.pending.decided(State.WITHDRAWN, at=now, actor="customer", reason=REPLACED)
                await save(session, replaced)
            wish = new_wish(upgrade_id, account_id, plan=plan, requested_at=now, page=page)
            await session.exec(insert(UpgradeRow).values({name: getattr(wish, name) for name in Wish.__slots__}))
            return Considered(wish=wish, pending=considered.pending)

    async def find(self, upgrade_id: UUID, *, account_id: UUID) -> Wish | None:
        """The wish, if it is one of that account."""
        async with transaction(self._engine) as session:
            wish = await _find(session, upgrade_id)
            return wish if wish is not None and wish.account_id == account_id else None

    async def newest(self, account_id: UUID) -> Wish | None:
        async with transaction(self._engine) as session:
            return await _first(session, account_id)

    async def pending(self, named: UUID) -> Wish:
        """The wish of that id, decided or not, or the pending one of that account. Raises `UnknownUpgrade`."""
        async with transaction(self._engine) as session:
            wish = await _find(session, named) or await _pending(session, named)
        if wish is None:
            raise UnknownUpgrade(named)
        return wish

    async def decide(self, wish: Wish, decision: Decision) -> Wish:
        """The wish after `decision`; one that is approved by it moves its account. Raises what `decision` raises."""
        async with transaction(self._engine) as session:
            account = await lock_account(session, wish.account_id)
            found = await _find(session, wish.upgrade_id)
            if found is None:
                raise UnknownUpgrade(wish.upgrade_id)
            now = await read_clock(session)
            decided = decision(found, await plan_now(session, wish.account_id, now=now), now)
            if decided != found:
                await save(session, decided)
                if decided.state == State.APPROVED:
                    await move(session, account, decided.plan, at=now, actor=decided.actor)
            return decided

    async def list(self, *, account_id: UUID | None, pending_only: bool, limit: int) -> Sequence[Wish]:
        """The newest wishes, oldest of them first."""
        query = select(UpgradeRow).order_by(col(UpgradeRow.requested_at).desc(), col(UpgradeRow.upgrade_id))
        if account_id is not None:
            query = query.where(col(UpgradeRow.account_id) == account_id)
        if pending_only:
            query = query.where(col(UpgradeRow.state) == State.PENDING)
        async with transaction(self._engine) as session:
            return [wish_of(row) for row in reversed((await session.exec(query.limit(limit))).all())]


def wish_of(row: UpgradeRow) -> Wish:
    return Wish(*(getattr(row, name) for name in Wish.__slots__))


async def save(session: AsyncSession, wish: Wish) -> None:
    """Write what became of a wish; what was wished for stays."""
    row = (await session.exec(select(UpgradeRow).where(col(UpgradeRow.upgrade_id) == wish.upgrade_id))).one()
    before = wish_of(row)
    for name in Wish.__slots__:
        if getattr(before, name) != getattr(wish, name):
            setattr(row, name, getattr(wish, name))
    await session.flush()


async def _considered(session: AsyncSession, upgrade_id: UUID, account_id: UUID, check: Check) -> Considered:
    # The account first: a wish of another one must not be told from one that is not there.
    holds = await plan_now(session, account_id, now=await read_clock(session))
    known = await _find(session, upgrade_id)
    if known is not None:
        return Considered(wish=known) if known.account_id == account_id else Considered(refused="unknown_account")
    return Considered(refused=check(holds), pending=await _pending(session, account_id))


async def _find(session: AsyncSession, upgrade_id: UUID) -> Wish | None:
    row = (await session.exec(select(UpgradeRow).where(col(UpgradeRow.upgrade_id) == upgrade_id))).one_or_none()
    return None if row is None else wish_of(row)


async def _pending(session: AsyncSession, account_id: UUID) -> Wish | None:
    query = select(UpgradeRow).where(col(UpgradeRow.account_id) == account_id, col(UpgradeRow.state) == State.PENDING)
    row = (await session.exec(query)).one_or_none()
    return None if row is None else wish_of(row)


async def _first(session: AsyncSession, account_id: UUID) -> Wish | None:
    query = (
        select(UpgradeRow)
        .where(col(UpgradeRow.account_id) == account_id)
        .order_by(col(UpgradeRow.requested_at).desc(), col(UpgradeRow.upgrade_id))
        .limit(1)
    )
    row = (await session.exec(query)).one_or_none()
    return None if row is None else wish_of(row)
