"""Everything that billing reads from and writes to Postgres, and all of its SQL.

Settlements are written in bulk over one connection of their own, each statement its own transaction. Everything else
is rare and goes through SQLModel.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

import psycopg
import sqlalchemy.exc
from psycopg.types.json import Jsonb
from sqlalchemy import func, update
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from billing.domain import Change, Recorded, Settlement, Subscription
from billing.errors import UnknownAccount
from billing.tables import LedgerRow, SubscriptionChangeRow, SubscriptionRow
from chassis import database
from contracts.gateway import RequestSettled

# The columns that a settlement fills, with their types as Postgres calls them; `_values` is in the same order.
_LEDGER_COLUMNS = (
    ("request_id", "uuid"),
    ("account_id", "uuid"),
    ("token_id", "uuid"),
    ("turn_id", "uuid"),
    ("call", "int"),
    ("outcome", "text"),
    ("prompts", "smallint"),
    ("plan", "text"),
    ("plans_version", "int"),
    ("alias_asked", "text"),
    ("alias_served", "text"),
    ("endpoint", "text"),
    ("is_stream", "bool"),
    ("target", "text"),
    ("attempts", "int"),
    ("input_tokens", "bigint"),
    ("cached_input_tokens", "bigint"),
    ("output_tokens", "bigint"),
    ("reasoning_tokens", "bigint"),
    ("tokens_source", "text"),
    ("day", "date"),
    ("month", "date"),
    ("event_time", "timestamptz"),
    ("stream_sequence", "bigint"),
    ("error_code", "text"),
    ("trace_id", "text"),
)
_NAMES = ", ".join(name for name, _ in _LEDGER_COLUMNS)
_ARRAYS = ", ".join(f"%s::{kind}[]" for _, kind in _LEDGER_COLUMNS)

# Rows go in in stream order, so that of two settlements of one request in a batch the first one wins.
_RECORD = f"""
INSERT INTO billing.ledger ({_NAMES})
SELECT {_NAMES} FROM unnest({_ARRAYS}) AS settled ({_NAMES}) ORDER BY stream_sequence
ON CONFLICT (request_id) DO NOTHING
RETURNING stream_sequence, extract(epoch FROM recorded_at - event_time)::float8
"""

# Run after `_RECORD` was committed, so that it sees the winner whichever replica wrote it. The same sequence is the
# same message, delivered again: nothing to keep.
_KEEP_CONFLICTS = """
WITH loser AS (
    SELECT * FROM unnest(%s::uuid[], %s::bigint[], %s::jsonb[]) AS loser (request_id, stream_sequence, payload)
), kept AS (
    INSERT INTO billing.settlement_conflicts (request_id, stream_sequence, payload)
    SELECT loser.* FROM loser JOIN billing.ledger USING (request_id)
    WHERE loser.stream_sequence <> ledger.stream_sequence
    ON CONFLICT (request_id, stream_sequence) DO NOTHING
    RETURNING request_id, stream_sequence
)
SELECT kept.request_id, kept.stream_sequence < ledger.stream_sequence
FROM kept JOIN billing.ledger USING (request_id)
"""

# One relay at a time publishes, whatever the number of replicas: that keeps the revisions of an account in order.
_ONE_RELAY = select(func.pg_try_advisory_xact_lock(func.hashtext("billing outbox")))


@dataclass(frozen=True, slots=True)
class LedgerFilter:
    """Which lines to read: the newest `limit` of those that fit."""

    account_id: UUID | None = None
    request_id: UUID | None = None
    day: date | None = None
    limit: int = 50


class SchemaNotReady(database.StoreAway):
    """Tables or rights are not as this release needs them. What waits is kept until they are."""


@contextmanager
def _schema_errors() -> Iterator[None]:
    try:
        yield
    except (psycopg.ProgrammingError, psycopg.NotSupportedError, sqlalchemy.exc.ProgrammingError) as exc:
        # A settlement is not to blame for a migration that has not run: without this it would become a dead letter.
        raise SchemaNotReady(f"schema `billing` is not ready ({type(exc).__name__})") from exc


class Store:
    """The tables of schema `billing`. Every method is one transaction; all raise `StoreAway`."""

    def __init__(self, engine: AsyncEngine, url: str) -> None:
        self.engine = engine
        self._url = url
        self._connection: psycopg.AsyncConnection | None = None
        self._recording = asyncio.Lock()

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()
        await self.engine.dispose()

    async def is_there(self) -> bool:
        """Whether the database answers."""
        async with self._transaction() as session:
            return bool((await session.exec(select(1))).one())

    async def record(self, settlements: Sequence[Settlement]) -> Recorded:
        """A ledger line for every request that has none yet; the other settlements are kept as conflicts.

        Committed on return. Repeating it with the same settlements changes nothing.
        """
        async with self._recording:
            connection = await self._connected()
            try:
                columns = [list(column) for column in zip(*map(_values, settlements), strict=True)]
                with _schema_errors(), database.statement("INSERT", "billing.ledger", batch_size=len(settlements)):
                    won: dict[int, float] = dict(await (await connection.execute(_RECORD, columns)).fetchall())
                losers = [settlement for settlement in settlements if settlement.sequence not in won]
                kept = await _keep_conflicts(connection, losers) if losers else []
            except database.StoreAway:
                await self._disconnect()
                raise
        late_firsts = [request_id for request_id, is_first in kept if is_first]
        return Recorded(ages_seconds=list(won.values()), conflicts=len(kept), late_firsts=late_firsts)

    async def open_subscription(self, subscription: Subscription, *, actor: str) -> bool:
        """Revision 1 of an account, with the change to tell. Whether it is new; a known account stays as it is."""
        row = {name: getattr(subscription, name) for name in SubscriptionRow.model_fields}
        opened = insert(SubscriptionRow).values(row).on_conflict_do_nothing().returning(col(SubscriptionRow.revision))
        async with self._transaction() as session:
            if (await session.exec(opened)).scalar_one_or_none() is None:
                return False
            await session.exec(_recorded(subscription, actor=actor))
            return True

    async def change_plan(self, account_id: UUID, plan: str, *, actor: str) -> Subscription:
        """The account on `plan`; a revision more if that is a change. Raises `UnknownAccount`."""
        locked = select(SubscriptionRow).where(col(SubscriptionRow.account_id) == account_id).with_for_update()
        async with self._transaction() as session:
            row = (await session.exec(locked)).one_or_none()
            if row is None:
                raise UnknownAccount(account_id)
            now: datetime = (await session.exec(select(func.now()))).one()
            before = _subscription(row)
            after = before.moved_to(plan, at=now)
            if after != before:
                row.plan, row.revision, row.effective_at = after.plan, after.revision, after.effective_at
                await session.exec(_recorded(after, actor=actor))
            return after

    @asynccontextmanager
    async def outbox(self, *, limit: int) -> AsyncIterator["Outbox"]:
        """The changes that wait to be told, oldest revision of each account first. What was marked is committed on
        the way out. Empty while another replica has it."""
        waiting = (
            select(SubscriptionChangeRow)
            .where(col(SubscriptionChangeRow.published_at).is_(None))
            .order_by(col(SubscriptionChangeRow.account_id), col(SubscriptionChangeRow.revision))
            .limit(limit)
        )
        async with self._transaction() as session:
            is_ours = (await session.exec(_ONE_RELAY)).one()
            rows = (await session.exec(waiting)).all() if is_ours else []
            yield Outbox(session, [_change(row) for row in rows])

    async def is_published(self, account_id: UUID, revision: int) -> bool:
        """Whether this change of the account has been told."""
        found = select(col(SubscriptionChangeRow.published_at)).where(
            col(SubscriptionChangeRow.account_id) == account_id, col(SubscriptionChangeRow.revision) == revision
        )
        async with self._transaction() as session:
            return (await session.exec(found)).one_or_none() is not None

    async def subscriptions(self) -> Sequence[Subscription]:
        """All accounts with their plans, by name."""
        ordered = select(SubscriptionRow).order_by(col(SubscriptionRow.name), col(SubscriptionRow.account_id))
        async with self._transaction() as session:
            return [_subscription(row) for row in await session.exec(ordered)]

    async def ledger(self, wanted: LedgerFilter) -> Sequence[LedgerRow]:
        """The newest lines that fit, oldest of them first."""
        query = select(LedgerRow).order_by(col(LedgerRow.id).desc()).limit(wanted.limit)
        if wanted.account_id is not None:
            query = query.where(col(LedgerRow.account_id) == wanted.account_id)
        if wanted.request_id is not None:
            query = query.where(col(LedgerRow.request_id) == wanted.request_id)
        if wanted.day is not None:
            query = query.where(col(LedgerRow.day) == wanted.day)
        async with self._transaction() as session:
            return list(reversed((await session.exec(query)).all()))

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[AsyncSession]:
        with _schema_errors():
            async with database.transaction(self.engine) as session:
                yield session

    async def _connected(self) -> psycopg.AsyncConnection:
        if self._connection is None or self._connection.closed:
            self._connection = await database.connect(self._url)
        return self._connection

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()


class Outbox:
    """The changes to tell, inside the transaction that marks them as told."""

    def __init__(self, session: AsyncSession, waiting: Sequence[Change]) -> None:
        self._session = session
        self.waiting = waiting

    async def mark_published(self, change: Change) -> None:
        await self._session.exec(
            update(SubscriptionChangeRow)
            .where(
                col(SubscriptionChangeRow.account_id) == change.account_id,
                col(SubscriptionChangeRow.revision) == change.revision,
            )
            .values(published_at=func.clock_timestamp())
        )


async def _keep_conflicts(
    connection: psycopg.AsyncConnection, losers: Sequence[Settlement]
) -> Sequence[tuple[UUID, bool]]:
    """The requests whose conflict was new, and whether that settlement stands before the winner in the stream."""
    columns = (
        [loser.settled.request_id for loser in losers],
        [loser.sequence for loser in losers],
        [Jsonb(loser.settled.model_dump(mode="json")) for loser in losers],
    )
    with _schema_errors(), database.statement("INSERT", "billing.settlement_conflicts", batch_size=len(losers)):
        return await (await connection.execute(_KEEP_CONFLICTS, columns)).fetchall()


def _values(settlement: Settlement) -> tuple[object, ...]:
    """The ledger line of a settlement, in the order of `_LEDGER_COLUMNS`."""
    settled: RequestSettled = settlement.settled
    return (
        settled.request_id,
        settled.account_id,
        settled.token_id,
        settled.turn_id,
        settled.call,
        settled.outcome.value,
        settled.prompts,
        settled.plan,
        settled.plans_version,
        settled.alias_asked,
        settled.alias_served,
        settled.endpoint,
        settled.is_stream,
        settled.target,
        settled.attempts,
        settled.tokens.input,
        settled.tokens.cached_input,
        settled.tokens.output,
        settled.tokens.reasoning,
        settled.tokens.source,
        settled.day,
        settled.month,
        settled.ended_at,
        settlement.sequence,
        settled.error_code,
        settled.trace_id,
    )


def _subscription(row: SubscriptionRow) -> Subscription:
    return Subscription(row.account_id, row.name, row.plan, row.revision, row.effective_at)


def _change(row: SubscriptionChangeRow) -> Change:
    return Change(row.account_id, row.revision, row.plan, row.effective_at)


def _recorded(subscription: Subscription, *, actor: str) -> Insert:
    return insert(SubscriptionChangeRow).values(
        account_id=subscription.account_id,
        revision=subscription.revision,
        plan=subscription.plan,
        effective_at=subscription.effective_at,
        actor=actor,
    )
