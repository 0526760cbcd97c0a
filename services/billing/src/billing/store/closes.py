"""Daily closes: one UTC day after the other, each one once, whoever closes it.

A day is closed in two transactions. The first one takes the posting lock alone for a moment: whoever appended before
has committed, and whoever appends after it reads a later clock. The second one adds the day up; nobody waits for it.
"""

from collections.abc import AsyncIterator, Sequence
from datetime import date
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from billing.domain.closes import Close, Group, LinesDigest, Signer, close_of, days_to_close
from billing.store.session import Connection
from chassis import database

_LOCK_POSTING_ALONE = "SELECT pg_advisory_xact_lock(hashtext('billing posting'))"
_LOCK_CLOSING = "SELECT pg_advisory_xact_lock(hashtext('billing closes'))"
_TODAY = "SELECT (clock_timestamp() AT TIME ZONE 'UTC')::date"
_NOW = "SELECT clock_timestamp()"
# A big day takes longer than any other statement may.
_TAKE_TIME = "SET LOCAL statement_timeout = '15min'"
_KEEP_OPEN = "SET LOCAL idle_in_transaction_session_timeout = '5min'"
_COLUMNS = "day, lines, totals, lines_digest, previous_digest, digest, signature, key_id, closed_at"
_CLOSES = f"SELECT {_COLUMNS} FROM billing.closes ORDER BY day"
_CLOSE_OF = f"SELECT {_COLUMNS} FROM billing.closes WHERE day = %s"
_LAST = f"SELECT {_COLUMNS} FROM billing.closes ORDER BY day DESC LIMIT 1"
_FIRST_DAY = "SELECT min(posted_on) FROM billing.ledger"
_WAITING_SINCE = """
SELECT coalesce(
    (SELECT max(day) + 1 FROM billing.closes), (SELECT posted_on FROM billing.ledger ORDER BY id LIMIT 1)
)
"""
_GROUPS = """
SELECT plan, outcome, kind, cost_currency, count(*), sum(prompts), sum(input_tokens), sum(cached_input_tokens),
    sum(output_tokens), sum(reasoning_tokens), coalesce(sum(cost), 0)
FROM billing.ledger WHERE posted_on = %s GROUP BY plan, outcome, kind, cost_currency
"""
_HASHES = "SELECT hash FROM billing.ledger WHERE posted_on = %s ORDER BY account_id, sequence"
_ADD = f"""
INSERT INTO billing.closes ({_COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (day) DO NOTHING
"""
_HASHES_AT_ONCE = 5000


class Closes:
    """The table `closes`, and what a close is made of."""

    def __init__(self, url: str) -> None:
        self._connection = Connection(url)

    async def disconnect(self) -> None:
        await self._connection.disconnect()

    async def all(self) -> Sequence[Close]:
        """Every closed day, oldest first."""
        async with self._connection.held() as connection:
            return await closes_of(connection)

    async def of(self, day: date) -> Close | None:
        async with self._connection.held() as connection:
            return await _one(connection, _CLOSE_OF, day)

    async def overdue(self) -> int:
        """How many days are over and not closed."""
        async with self._connection.held() as connection:
            (since,) = await (await connection.execute(_WAITING_SINCE)).fetchone() or (None,)
            today = await _today(connection)
        return 0 if since is None else max((today - since).days, 0)

    async def today(self) -> date:
        """The UTC day of the database's clock."""
        async with self._connection.held() as connection:
            return await _today(connection)

    async def close_next(self, signer: Signer, *, through: date | None = None) -> Close | None:
        """Close the earliest day that is over and not closed, at most `through`; None when there is none."""
        async with self._connection.held() as connection:
            async with connection.transaction():
                await connection.execute(_LOCK_POSTING_ALONE)
                today = await _today(connection)
            async with connection.transaction():
                for statement in (_TAKE_TIME, _KEEP_OPEN, _LOCK_CLOSING):
                    await connection.execute(statement)
                before = await _one(connection, _LAST)
                day = await _next_day(connection, before, today)
                if day is None or (through is not None and day > through):
                    return None
                with database.statement("INSERT", "billing.closes"):
                    close = await _closed(connection, day, before, signer)
                    added = await connection.execute(_ADD, _row(close))
                return close if added.rowcount else None


async def closes_of(connection: psycopg.AsyncConnection) -> Sequence[Close]:
    """Every closed day, oldest first."""
    return [Close(*row) for row in await (await connection.execute(_CLOSES)).fetchall()]


async def groups_of(connection: psycopg.AsyncConnection, day: date) -> Sequence[Group]:
    """What the lines posted to a day add up to."""
    rows = await (await connection.execute(_GROUPS, [day])).fetchall()
    return [
        Group(row[0], row[1], row[2], row[3], row[4], int(row[5]), tuple(int(sum_) for sum_ in row[6:10]), row[10])
        for row in rows
    ]


async def hashes_of(connection: psycopg.AsyncConnection, day: date) -> AsyncIterator[Sequence[str]]:
    """The hashes of the lines posted to a day, by account and sequence, some thousand at a time. In a transaction."""
    async with connection.cursor(name="hashes_of_a_day") as cursor:
        await cursor.execute(_HASHES, [day])
        while rows := await cursor.fetchmany(_HASHES_AT_ONCE):
            yield [row[0] for row in rows]


async def _closed(connection: psycopg.AsyncConnection, day: date, before: Close | None, signer: Signer) -> Close:
    digest = LinesDigest()
    async for hashes in hashes_of(connection, day):
        digest.feed(hashes)
    groups = await groups_of(connection, day)
    return close_of(day, groups, digest, before, signer=signer, closed_at=await _value(connection, _NOW))


async def _next_day(connection: psycopg.AsyncConnection, before: Close | None, today: date) -> date | None:
    first: date | None = None if before is not None else await _value(connection, _FIRST_DAY)
    return next(days_to_close(first=first, closed=before.day if before else None, today=today), None)


async def _one(connection: psycopg.AsyncConnection, query: str, *given: object) -> Close | None:
    row = await (await connection.execute(query.encode(), given)).fetchone()
    return None if row is None else Close(*row)


async def _today(connection: psycopg.AsyncConnection) -> date:
    today: date = await _value(connection, _TODAY)
    return today


async def _value(connection: psycopg.AsyncConnection, query: str) -> Any:
    """The only value of a query's only row."""
    (value,) = await (await connection.execute(query.encode())).fetchone() or (None,)
    return value


def _row(close: Close) -> tuple[object, ...]:
    return (
        close.day,
        close.lines,
        Jsonb(close.totals),
        close.lines_digest,
        close.previous_digest,
        close.digest,
        close.signature,
        close.key_id,
        close.closed_at,
    )
