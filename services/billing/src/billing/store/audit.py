"""What a comparison reads: the stream folded into a temporary table, the ledger beside it, chains and sums.

One connection, one snapshot. The stream is copied in as it comes and folded by Postgres; everything else is read
through server-side cursors: a million lines take no more memory than a thousand. Written are temporary tables, and up
to where chains were found whole.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from operator import attrgetter
from typing import Any
from uuid import UUID

import psycopg
from psycopg import IsolationLevel
from psycopg.rows import RowFactory, namedtuple_row, tuple_row

from billing.domain.books import LedgerSums
from billing.domain.chain import Head, line_hash
from billing.domain.close_faults import Contents
from billing.domain.closes import Close, LinesDigest, totals_of
from billing.domain.lines import Settlement, settlement_entry
from billing.domain.walk import ChainLine
from billing.store import audit_queries as queries
from billing.store.audit_queries import SAID
from billing.store.closes import closes_of, groups_of, hashes_of
from billing.store.rows import posted
from billing.store.session import schema_errors
from chassis import database

__all__ = ["SAID", "Audit", "Extent", "audit", "head_of"]

_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Extent:
    """What one comparison covers: messages from `first` to `through`, and the sequences in `again` once more.

    With `day` and `account_id` only settlements of that window and account.
    """

    first: int
    through: int
    day: date | None = None
    account_id: UUID | None = None
    again: Sequence[int] = ()

    @property
    def parameters(self) -> dict[str, object]:
        return {
            "first": self.first,
            "through": self.through,
            "day": self.day,
            "account": self.account_id,
            "again": list(self.again),
        }


# A row of one of the queries above, by the names of its columns.
Row = Any


class Audit:
    """One session with its temporary tables: `copy` the stream in, then read inside `snapshot`. Raises `StoreAway`."""

    def __init__(self, connection: psycopg.AsyncConnection) -> None:
        self._connection = connection
        self._cursors = 0

    async def copy(self, settlements: Sequence[Settlement]) -> Sequence[Settlement]:
        """Add what the stream says; returned are those that no line could ever be made of."""
        try:
            await self._copy(settlements)
        except (psycopg.DataError, ArithmeticError, ValueError):
            if len(settlements) == 1:
                return settlements
            # One of them; which one, only trying tells.
            return [refused for settlement in settlements for refused in await self.copy([settlement])]
        return ()

    async def _copy(self, settlements: Sequence[Settlement]) -> None:
        values = attrgetter(*SAID)
        async with self._connection.cursor() as cursor, cursor.copy(queries.COPY.encode()) as copy:
            for settlement in settlements:
                await copy.write_row(values(settlement_entry(settlement)))

    async def fold(self) -> None:
        """After the last `copy`: find the first settlement of each request."""
        for statement in queries.FOLD.split(";"):
            await self._connection.execute(statement.encode())

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[None]:
        """Everything that is read inside is of one moment."""
        await self._connection.set_isolation_level(IsolationLevel.REPEATABLE_READ)
        async with self._connection.transaction():
            yield
        await self._connection.set_isolation_level(None)

    async def unlike(self, extent: Extent) -> AsyncIterator[Row]:
        """Winning settlements without a line, or with one that says something else or is of another message."""
        async for row in self._rows(queries.UNLIKE, extent.parameters):
            yield row

    async def untold(self, extent: Extent) -> AsyncIterator[Row]:
        """Live lines whose message is not in the stream."""
        async for row in self._rows(queries.UNTOLD, extent.parameters):
            yield row

    async def doubled(self, extent: Extent, *, only_told: bool) -> AsyncIterator[Row]:
        """Requests with more than one live line; `only_told`: among those that were read from the stream."""
        async for row in self._rows(queries.DOUBLED, extent.parameters | {"only_told": only_told}):
            yield row

    async def wrong_reversals(self, extent: Extent) -> AsyncIterator[Row]:
        """Reversals that are not the exact opposite of one settlement line."""
        async for row in self._rows(queries.REVERSALS, extent.parameters):
            yield row

    async def over_limit(self, extent: Extent) -> AsyncIterator[Row]:
        """Charged lines that say themselves that their window was over its limit."""
        async for row in self._rows(queries.OVER_LIMIT, extent.parameters):
            yield row

    async def sums(self, day: date, extent: Extent, *, with_month: bool) -> AsyncIterator[LedgerSums]:
        """What the ledger says was used, by account in the order of ids. Without the month only that day is read."""
        month = day.replace(day=1)
        span = {"from_day": month, "to_day": _last_of(month)} if with_month else {"from_day": day, "to_day": day}
        parameters = extent.parameters | span | {"day": day, "month": month}
        async for row in self._rows(queries.SUMS, parameters):
            month_sums = (row.month_prompts, row.month_limit) if with_month else (None, None)
            yield LedgerSums(row.account_id, row.day_prompts, row.day_requests, row.day_limit, *month_sums)

    async def days(self) -> tuple[date | None, date, date]:
        """The first and the last day that the ledger, the stream or the clock know, and today."""
        first, last, today = await self._one(queries.DAYS)
        return first, last, today

    async def earliest_of(self, day: date, *, first: int) -> int | None:
        """The lowest stream sequence, from `first` on, that a line of this day names."""
        (earliest,) = await self._one(queries.EARLIEST, {"day": day, "first": first})
        return None if earliest is None else int(earliest)

    async def chain(self, account_id: UUID | None) -> AsyncIterator[ChainLine]:
        """Every line of every account (or of that one), in the order of the chains."""
        async for row in self._rows(queries.CHAIN, {"account": account_id}, by_name=False):
            yield _chain_line(row)

    async def grown_chain(self) -> AsyncIterator[ChainLine]:
        """The lines after the verified place of each account whose head has moved since."""
        async for row in self._rows(queries.GROWN_CHAIN, {}, by_name=False):
            yield _chain_line(row)

    async def headless(self, account_id: UUID | None, *, is_grown: bool) -> AsyncIterator[Row]:
        """Heads and verified places that no line goes with."""
        async for row in self._rows(queries.HEADLESS, {"account": account_id, "is_grown": is_grown}):
            yield row

    async def closes(self) -> Sequence[Close]:
        """Every closed day, oldest first."""
        return await closes_of(self._connection)

    async def contents_of(self, day: date) -> Contents:
        """What the lines posted to a day are now."""
        digest = LinesDigest()
        async for hashes in hashes_of(self._connection, day):
            digest.feed(hashes)
        return Contents(digest.lines, digest.hex, totals_of(await groups_of(self._connection, day)))

    async def counted(self) -> tuple[int, int]:
        """Messages that were copied in, and requests among them."""
        messages, requests = await self._one(queries.COUNTED)
        return int(messages), int(requests)

    async def note_whole(self, heads: Sequence[tuple[UUID, Head]]) -> None:
        """These chains hold up to here: the next comparison goes on from there, and notices if it is taken back."""
        columns = {
            "accounts": [account_id for account_id, _ in heads],
            "sequences": [head.sequence for _, head in heads],
            "hashes": [head.hash for _, head in heads],
        }
        await self._connection.execute(queries.NOTE_WHOLE.encode(), columns)

    async def _one(self, query: str, parameters: Mapping[str, object] | None = None) -> tuple[Any, ...]:
        row = await (await self._connection.execute(query.encode(), parameters)).fetchone()
        assert row is not None, "every one of these queries has a row"
        return row

    async def _rows(
        self, query: str, parameters: Mapping[str, object], *, by_name: bool = True
    ) -> AsyncGenerator[Row, None]:
        self._cursors += 1
        factory: RowFactory[Any] = namedtuple_row if by_name else tuple_row
        async with self._connection.cursor(f"rows_{self._cursors}", row_factory=factory) as cursor:
            cursor.itersize = _PAGE
            await cursor.execute(query.encode(), parameters)
            async for row in cursor:
                yield row


@asynccontextmanager
async def audit(url: str) -> AsyncIterator[Audit | None]:
    """A session for one comparison; None while another one has it, in whatever process. Raises `StoreAway`."""
    connection = await database.connect(url)
    try:
        with schema_errors(), database.store_errors():
            for statement in queries.SESSION:
                await connection.execute(statement.encode())
            cursor = await connection.execute(queries.ONE_AUDIT.encode())
            (is_ours,) = await cursor.fetchone() or (False,)
            if is_ours:
                await connection.execute(queries.PREPARE.encode())
            yield Audit(connection) if is_ours else None
    finally:
        await connection.close()


def _chain_line(row: Row) -> ChainLine:
    *columns, head_sequence, head_hash, verified_sequence, verified_hash = row
    found = posted(columns)
    line = found.line
    return ChainLine(
        found.id,
        line.entry.account_id,
        line.entry.request_id,
        Head(line.sequence, line.hash),
        line.previous_hash,
        line_hash(line),
        head_of(head_sequence, head_hash),
        head_of(verified_sequence, verified_hash),
    )


def head_of(sequence: int | None, line_hash: str | None) -> Head | None:
    """The place that two columns name, if they name one."""
    return None if sequence is None or line_hash is None else Head(sequence, line_hash)


def _last_of(month: date) -> date:
    return (month + timedelta(days=31)).replace(day=1) - timedelta(days=1)
