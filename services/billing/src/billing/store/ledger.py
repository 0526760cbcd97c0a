"""The ledger: lines are appended to the chains of their accounts, and read. Nothing here changes a line."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb

from billing.domain.chain import Head, Link, append, document
from billing.domain.lines import Entry, Kind, Line, Posted, Settlement
from billing.domain.routes import Routes, route_beside, routes_of
from billing.domain.settling import Decided, History, Recorded, decide
from billing.errors import UnknownLine
from billing.store.rows import EXPLAINED_COLUMNS, LINE_COLUMNS_OF_LINE, NAMES, TYPES, explained, posted
from billing.store.session import Connection
from chassis import database

# Shared by all who append, taken alone by whoever closes a day.
_LOCK_POSTING = "SELECT pg_advisory_xact_lock_shared(hashtext('billing posting'))"
_LOCK_HEADS = """
SELECT account_id, sequence, hash FROM billing.ledger_heads WHERE account_id = ANY(%s::uuid[])
ORDER BY account_id FOR UPDATE
"""
# After both locks. A clock that stepped back must not post to a day that is closed.
_READ_CLOCK = """
SELECT at, greatest((at AT TIME ZONE 'UTC')::date, (SELECT max(day) + 1 FROM billing.closes))
FROM (SELECT clock_timestamp() AS at) AS clock
"""
_OPEN_HEADS = """
INSERT INTO billing.ledger_heads (account_id, sequence, hash)
SELECT account_id, 0, %s FROM unnest(%s::uuid[]) AS unknown (account_id) ORDER BY account_id
ON CONFLICT (account_id) DO NOTHING
"""
# The very bytes that were hashed, routes beside them, in one parameter: an array per column costs twice the time.
_APPEND = f"""
INSERT INTO billing.ledger ({NAMES}) SELECT {NAMES}
FROM ROWS FROM (json_to_recordset(%s::json) AS ({TYPES})) WITH ORDINALITY AS line ({NAMES}, place)
ORDER BY place ON CONFLICT (request_id, revision) DO NOTHING
"""
_MOVE_HEADS = """
UPDATE billing.ledger_heads AS head SET sequence = line.sequence, hash = line.hash
FROM unnest(%s::uuid[], %s::bigint[], %s::text[]) AS line (account_id, sequence, hash)
WHERE head.account_id = line.account_id
"""
_LINES_OF_REQUESTS = f"""
SELECT {EXPLAINED_COLUMNS} FROM billing.ledger WHERE request_id = ANY(%s::uuid[]) ORDER BY request_id, revision
"""
_LINES_FOR_RECEIPT = f"""
SELECT {EXPLAINED_COLUMNS} FROM billing.ledger WHERE request_id = %s AND account_id = %s ORDER BY revision
"""
_REQUEST_OF_LINE = "SELECT request_id FROM billing.ledger WHERE id = %s"
_KEEP_CONFLICTS = """
INSERT INTO billing.settlement_conflicts (request_id, stream_sequence, payload)
SELECT request_id, stream_sequence, payload
FROM unnest(%s::uuid[], %s::bigint[], %s::jsonb[]) AS loser (request_id, stream_sequence, payload)
ORDER BY request_id, stream_sequence ON CONFLICT (request_id, stream_sequence) DO NOTHING
"""
_CONFLICTS = f"""
SELECT loser.stream_sequence, loser.payload, loser.recorded_at, {LINE_COLUMNS_OF_LINE}
FROM billing.settlement_conflicts AS loser
JOIN LATERAL (
    SELECT * FROM billing.ledger WHERE request_id = loser.request_id AND kind = 'settlement'
    ORDER BY revision DESC LIMIT 1
) AS line ON true
WHERE %s::uuid IS NULL OR line.account_id = %s
ORDER BY loser.recorded_at DESC, loser.request_id, loser.stream_sequence LIMIT %s
"""

# A second round finds what the first one met; a third one is for requests that two accounts claim at once.
_ROUNDS = 4

Correct = Callable[[Posted, Sequence[Posted], datetime], Entry]


@dataclass(frozen=True, slots=True)
class LedgerFilter:
    """Which lines to read: the newest `limit` of those that fit."""

    account_id: UUID | None = None
    request_id: UUID | None = None
    day: date | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True)
class Conflict:
    """A settlement that was not the first of its request, and the line that its request has."""

    stream_sequence: int
    payload: dict[str, Any]
    recorded_at: datetime
    winner: Posted


@dataclass(slots=True)
class _Posting:
    """What holds while the locks are held: heads, the moment that lines are recorded at, the day they are posted to."""

    heads: dict[UUID, Head]
    recorded_at: datetime
    posted_on: date


class _NewAccounts(Exception):
    """Accounts without a head: they get one in a transaction of its own, so that locks are taken in order."""

    def __init__(self, account_ids: Sequence[UUID]) -> None:
        super().__init__()
        self.account_ids = account_ids


class Ledger:
    """`ledger`, `ledger_heads` and `settlement_conflicts`. Lines are written one batch at a time."""

    def __init__(self, url: str) -> None:
        self._writing = Connection(url)
        self._reading = Connection(url)

    async def disconnect(self) -> None:
        await self._writing.disconnect()
        await self._reading.disconnect()

    async def record(self, settlements: Sequence[Settlement]) -> Recorded:
        """Each request's first settlement in stream order has the line, whatever came before; the others are kept.

        Committed on return. Repeating it with the same settlements changes nothing.
        """
        async with self._writing.held() as connection:
            with database.statement("INSERT", "billing.ledger", batch_size=len(settlements)):
                return await record(connection, settlements)

    async def correct(self, named: UUID | int, correct: Correct) -> Posted:
        """Append the line that `correct` makes of the named line, all lines of its request, and the time.

        A request names its settlement line that holds. Raises `UnknownLine`, and what `correct` raises.
        """
        async with self._writing.held() as connection, connection.transaction():
            request_id = named if isinstance(named, UUID) else await _request_of(connection, named)
            lines = (await _history(connection, [request_id])).get(request_id, ())
            if not lines:
                raise UnknownLine(named)
            posting = await _lock(connection, {lines[0].entry.account_id})
            # Read again: until the head was locked, the request could get more lines.
            lines = (await _history(connection, [request_id]))[request_id]
            entry = correct(_named(lines, named), lines, posting.recorded_at)
            if await _append(connection, posting, [entry], {}) is None:
                raise database.StoreAway("the request got another line at the same time")
            return (await _history(connection, [request_id]))[request_id][-1]

    async def lines(self, wanted: LedgerFilter) -> Sequence[Posted]:
        """The newest lines that fit, oldest of them first."""
        conditions = {"account_id": wanted.account_id, "request_id": wanted.request_id, "day": wanted.day}
        given = {name: value for name, value in conditions.items() if value is not None}
        where = " AND ".join(f"{name} = %({name})s" for name in given) or "true"
        # Both say which line is newer; an account's own order has an index.
        order = "sequence" if wanted.account_id is not None and wanted.day is None else "id"
        query = f"SELECT {EXPLAINED_COLUMNS} FROM billing.ledger WHERE {where} ORDER BY {order} DESC LIMIT %(limit)s"
        async with self._reading.held() as connection:
            rows = await (await connection.execute(query.encode(), given | {"limit": wanted.limit})).fetchall()
        return [explained(row) for row in reversed(rows)]

    async def lines_of(self, request_id: UUID, *, account_id: UUID) -> Sequence[Posted]:
        """All lines of one request of that account, in the order of their revision.

        Asked in front of a customer: a kept connection that died with its server is replaced within the same ask.
        """
        try:
            return await self._lines_of(request_id, account_id=account_id)
        except database.StoreAway:
            return await self._lines_of(request_id, account_id=account_id)

    async def _lines_of(self, request_id: UUID, *, account_id: UUID) -> Sequence[Posted]:
        async with self._reading.held() as connection:
            with database.statement("SELECT", "billing.ledger"):
                rows = await (await connection.execute(_LINES_FOR_RECEIPT, (request_id, account_id))).fetchall()
        return [explained(row) for row in rows]

    async def conflicts(self, *, account_id: UUID | None, limit: int) -> Sequence[Conflict]:
        """The newest settlements that were kept without effect, newest first."""
        async with self._reading.held() as connection:
            rows = await (await connection.execute(_CONFLICTS, (account_id, account_id, limit))).fetchall()
        return [Conflict(row[0], row[1], row[2], posted(row[3:])) for row in rows]


async def record(connection: psycopg.AsyncConnection, settlements: Sequence[Settlement]) -> Recorded:
    """`Ledger.record` over a connection with autocommit."""
    accounts = {settlement.settled.account_id for settlement in settlements}
    try:
        return await _record(connection, accounts, settlements)
    except _NewAccounts as new:
        await _open_heads(connection, new.account_ids)
        return await _record(connection, accounts, settlements)


async def _record(
    connection: psycopg.AsyncConnection, accounts: set[UUID], settlements: Sequence[Settlement]
) -> Recorded:
    async with connection.transaction():
        posting = await _lock(connection, accounts)
        decided, lines = await _append_decided(connection, posting, settlements)
        kept = await _keep(connection, decided.conflicts)
    ages = [
        (line.recorded_at - line.entry.event_time).total_seconds()
        for line in lines
        if line.entry.kind == Kind.SETTLEMENT
    ]
    return Recorded(ages_seconds=ages, lines=len(lines), conflicts=kept, late_firsts=decided.late_firsts)


async def _lock(connection: psycopg.AsyncConnection, accounts: set[UUID]) -> _Posting:
    """Take the locks of these accounts, in order, and read the clock. Raises `_NewAccounts`."""
    async with connection.pipeline():
        await connection.execute(_LOCK_POSTING)
        locked = await connection.execute(_LOCK_HEADS, [list(accounts)])
        clock = await connection.execute(_READ_CLOCK)
    heads = {row[0]: Head(row[1], row[2]) for row in await locked.fetchall()}
    if unknown := accounts - heads.keys():
        raise _NewAccounts(sorted(unknown))
    recorded_at, posted_on = await clock.fetchone() or ()
    return _Posting(heads, recorded_at, posted_on)


async def _append_decided(
    connection: psycopg.AsyncConnection, posting: _Posting, settlements: Sequence[Settlement]
) -> tuple[Decided, Sequence[Line]]:
    """Write what is decided without looking; where the key says no, look at what is there and decide again."""
    history: History = {}
    routes = routes_of(settlements)
    for _ in range(_ROUNDS):
        decided = decide(settlements, history)
        lines = await _append(connection, posting, decided.entries, routes)
        if lines is not None:
            return decided, lines
        history = await _history(connection, [settlement.settled.request_id for settlement in settlements])
    raise database.StoreAway("a request got lines of two accounts at once")


async def _append(
    connection: psycopg.AsyncConnection, posting: _Posting, entries: Sequence[Entry], routes: Routes
) -> Sequence[Line] | None:
    """The lines that were written, all of them; None and nothing, if a request has one of that revision already."""
    if not entries:
        return []
    links, heads = _chained(posting, entries)
    async with connection.transaction() as savepoint:
        documents = [document(link, route_beside(link.line.entry, routes)) for link in links]
        written = await connection.execute(_APPEND, ["[" + ",".join(documents) + "]"])
        if written.rowcount != len(links):
            raise psycopg.Rollback(savepoint)
        await connection.execute(
            _MOVE_HEADS,
            (list(heads), [head.sequence for head in heads.values()], [head.hash for head in heads.values()]),
        )
        return [link.line for link in links]
    return None


def _chained(posting: _Posting, entries: Sequence[Entry]) -> tuple[Sequence[Link], dict[UUID, Head]]:
    """The entries as lines, in their order, and the heads of their accounts after them."""
    by_account: defaultdict[UUID, list[int]] = defaultdict(list)
    for place, entry in enumerate(entries):
        by_account[entry.account_id].append(place)
    links: dict[int, Link] = {}
    heads: dict[UUID, Head] = {}
    for account_id, places in by_account.items():
        chained, heads[account_id] = append(
            posting.heads[account_id],
            [entries[place] for place in places],
            recorded_at=posting.recorded_at,
            posted_on=posting.posted_on,
        )
        links.update(zip(places, chained, strict=True))
    return [links[place] for place in range(len(entries))], heads


async def _open_heads(connection: psycopg.AsyncConnection, account_ids: Sequence[UUID]) -> None:
    await connection.execute(_OPEN_HEADS, (Head().hash, list(account_ids)))


async def _history(connection: psycopg.AsyncConnection, request_ids: Sequence[UUID]) -> dict[UUID, list[Posted]]:
    found: defaultdict[UUID, list[Posted]] = defaultdict(list)
    for row in await (await connection.execute(_LINES_OF_REQUESTS, [list(request_ids)])).fetchall():
        line = explained(row)
        found[line.entry.request_id].append(line)
    return dict(found)


async def _request_of(connection: psycopg.AsyncConnection, line_id: int) -> UUID:
    row = await (await connection.execute(_REQUEST_OF_LINE, [line_id])).fetchone()
    if row is None:
        raise UnknownLine(line_id)
    return UUID(str(row[0]))


def _named(lines: Sequence[Posted], named: UUID | int) -> Posted:
    """The line of that id; of a request, the newest settlement."""
    if isinstance(named, int):
        return next(line for line in lines if line.id == named)
    return next(line for line in reversed(lines) if line.entry.kind == Kind.SETTLEMENT)


async def _keep(connection: psycopg.AsyncConnection, losers: Sequence[Settlement]) -> int:
    """How many of these were not kept before."""
    if not losers:
        return 0
    kept = await connection.execute(
        _KEEP_CONFLICTS,
        (
            [loser.settled.request_id for loser in losers],
            [loser.sequence for loser in losers],
            [Jsonb(loser.settled.model_dump(mode="json")) for loser in losers],
        ),
    )
    return kept.rowcount
