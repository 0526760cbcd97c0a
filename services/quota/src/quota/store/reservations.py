"""The hot path: reservations, a batch at a time, each batch by one statement on one connection.

Asks that continue a turn go first, by a statement of their own; those that cannot ride on it are then decided with the
others.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg
from opentelemetry.trace import SpanContext
from psycopg.types.array import ListBinaryDumper

from chassis import database
from chassis.database import StoreAway
from quota.domain import Ask, Counts, Decision, Held, Refused, Terms, Windows
from quota.store.accounts import LOCK_ACCOUNTS, REFRESH
from quota.store.admission import (
    PLANNING,
    TODAY,
    Row,
    Statements,
    busy,
    continuing_parameters,
    held,
    not_held,
    parameters,
    statements,
)

# Longer than any batch takes, and no longer than callers should wait behind a connection that is silently dead.
STATEMENT_SECONDS = 3.0
# Races and windows that begin resolve in one more round; this many mean that something is wrong.
ROUNDS = 8

_RECALL = """
SELECT r.account_id, r.request_id, r.plan, r.plans_version, r.turn_id, r.call, r.day, r.month, a.extra,
       d.used, d.reserved, d.drawn, m.used, m.reserved, m.drawn
FROM unnest(%(accounts)b::uuid[], %(requests)b::uuid[]) AS q (account_id, request_id)
CROSS JOIN LATERAL (
    SELECT * FROM quota.reservations AS r
    WHERE r.account_id = q.account_id AND r.request_id = q.request_id OFFSET 0) AS r
CROSS JOIN LATERAL (
    SELECT a.extra FROM quota.accounts AS a WHERE a.account_id = r.account_id OFFSET 0) AS a
CROSS JOIN LATERAL (
    SELECT w.used, w.reserved, w.drawn FROM quota.windows AS w
    WHERE w.account_id = r.account_id AND w.kind = 'day' AND w.starts_on = r.day OFFSET 0) AS d
CROSS JOIN LATERAL (
    SELECT w.used, w.reserved, w.drawn FROM quota.windows AS w
    WHERE w.account_id = r.account_id AND w.kind = 'month' AND w.starts_on = r.month OFFSET 0) AS m
"""

# Accounts before windows, as in every order of locks: the count makes the second wait for the first.
_OPEN_WINDOWS = f"""
WITH {TODAY}, wanted AS (
    SELECT DISTINCT account_id FROM unnest(%(accounts)b::uuid[]) AS q (account_id)
), opened AS (
    INSERT INTO quota.accounts (account_id, plan, revision)
    SELECT account_id, %(default_plan)s, 0 FROM wanted ORDER BY account_id
    ON CONFLICT DO NOTHING
    RETURNING account_id
)
INSERT INTO quota.windows (account_id, kind, starts_on, used, reserved)
SELECT account_id, kind, starts_on, 0, 0
FROM wanted CROSS JOIN today
CROSS JOIN LATERAL (VALUES ('day', today.day), ('month', today.month)) AS k (kind, starts_on)
WHERE (SELECT count(*) FROM opened) >= 0
ORDER BY account_id, kind, starts_on
ON CONFLICT DO NOTHING
"""

_BUSY = """
SELECT q.account_id, q.request_id
FROM unnest(%(accounts)b::uuid[], %(requests)b::uuid[], %(turns)b::uuid[], %(answers)b::int[])
     AS q (account_id, request_id, turn_id, answers)
WHERE (SELECT true FROM quota.reservations AS r
       WHERE r.turn_id = q.turn_id AND r.account_id = q.account_id AND r.answers = q.answers AND r.outcome IS NULL
       LIMIT 1)
"""

_Key = tuple[UUID, UUID]


@dataclass(slots=True)
class _Round:
    """What one statement left to do. `doubtful` are replays (None) and refusals, which a later look has to confirm.

    `new` continue nothing after all, `unpaid` need a prompt of a grant.
    """

    decided: dict[_Key, Decision] = field(default_factory=dict)
    doubtful: dict[_Key, Refused | None] = field(default_factory=dict)
    new: dict[_Key, Row] = field(default_factory=dict)
    unpaid: list[Ask] = field(default_factory=list)
    missing: list[UUID] = field(default_factory=list)
    due: list[UUID] = field(default_factory=list)

    def take(self, ask: Ask, row: Row, terms: Terms, *, is_riding: bool) -> None:
        """Sort one answer in. A stale account leaves nothing to do but to ask again."""
        key = (ask.account_id, ask.request_id)
        match row.verdict:
            case "held":
                self.decided[key] = held(ask, row, terms)
            case "full" | "blocked" | "suspended":
                self.doubtful[key] = not_held(row, terms, is_riding=is_riding)
            case "replay":
                self.doubtful[key] = None
            case "new":
                self.new[key] = row
            case "unpaid":
                self.unpaid.append(ask)
            case "missing":
                self.missing.append(ask.account_id)
            case "due":
                self.due.append(ask.account_id)
            case "stale":
                pass


class Reservations:
    """The one connection on which batches are committed, each by one statement.

    A second one where grants are drawn, and one before it where turns are continued.
    """

    def __init__(self, url: str, *, lease_seconds: float) -> None:
        self._url = url
        self._lease_seconds = lease_seconds
        self._connection: psycopg.AsyncConnection | None = None
        self._connecting = asyncio.Lock()
        self._statements: tuple[Terms, Statements] | None = None

    async def reserve(
        self, asks: Sequence[Ask], terms: Terms, *, senders: Sequence[SpanContext] = ()
    ) -> list[Decision]:
        """One decision per ask, in order; the same request id is decided once, now and for ever.

        Raises `StoreAway` when the outcome is unknown: asked again, it is the same.
        """
        unique = {(ask.account_id, ask.request_id): ask for ask in reversed(asks)}
        undecided = dict(reversed(unique.items()))
        decided: dict[_Key, Decision] = {}
        parent, links = _parent_and_links(senders)
        with database.statement("INSERT", "quota.reservations", batch_size=len(asks), parent=parent, links=links):
            for _ in range(ROUNDS):
                decided |= await self._round(list(undecided.values()), terms)
                undecided = {key: ask for key, ask in undecided.items() if key not in decided}
                if not undecided:
                    return [decided[ask.account_id, ask.request_id] for ask in asks]
        raise StoreAway(f"{len(undecided)} asks undecided after {ROUNDS} rounds")

    async def is_there(self) -> bool:
        """Whether the connection works; one that was lost is made again."""
        connection = await self._connected()
        await connection.execute("SELECT 1")
        return True

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()

    async def _round(self, asks: Sequence[Ask], terms: Terms) -> dict[_Key, Decision]:
        """Decide what can be decided now, and prepare another round for the rest: windows opened, plans looked up."""
        found = _Round()
        texts = self._statements_of(terms)
        continuing = [ask for ask in asks if ask.continues is not None]
        if continuing:
            await self._admit(texts.carry_on, continuing, terms, found, is_riding=True)
            await self._leave_waiting(continuing, found)
            asks = [ask for ask in asks if ask.continues is None or (ask.account_id, ask.request_id) in found.new]
        if asks:
            await self._admit(texts.admit, asks, terms, found)
        if found.unpaid:
            unpaid, found.unpaid = found.unpaid, []
            await self._admit(texts.admit_drawing, unpaid, terms, found)
            # What is still not paid counted on more than the grants hold: the sum has to be made again.
            found.due += [ask.account_id for ask in found.unpaid]
        if found.doubtful:
            # A refusal may be as old as the snapshot: another replica may have admitted this very id since.
            found.decided |= {key: refused for key, refused in found.doubtful.items() if refused is not None}
            found.decided |= await self._recall(list(found.doubtful))
        if found.missing:
            opening = {"accounts": found.missing, "default_plan": terms.default_plan}
            await self._run(_OPEN_WINDOWS, opening, is_read=False)
        if found.due:
            await self._refresh(found.due)
        return found.decided

    async def _leave_waiting(self, asks: Sequence[Ask], found: _Round) -> None:
        """Those that would open a turn only because another request with their answer is open, and rather wait."""
        waiting = {
            (ask.account_id, ask.request_id): ask.continues
            for ask in asks
            if ask.continues is not None and ask.continues.waits and (ask.account_id, ask.request_id) in found.new
        }
        if not waiting:
            return
        wanted = {
            "accounts": [account_id for account_id, _ in waiting],
            "requests": [request_id for _, request_id in waiting],
            "turns": [continues.turn_id for continues in waiting.values()],
            "answers": [continues.answers for continues in waiting.values()],
        }
        for account_id, request_id in await self._run(_BUSY, wanted):
            found.decided[account_id, request_id] = busy(found.new.pop((account_id, request_id)))

    async def _admit(
        self, statement: str, asks: Sequence[Ask], terms: Terms, found: _Round, *, is_riding: bool = False
    ) -> None:
        given = continuing_parameters(asks) if is_riding else parameters(asks)
        try:
            rows = await self._run(statement, given, cursor=psycopg.AsyncRawCursor)
        except psycopg.errors.UniqueViolation:
            # Another replica has just admitted one of these ids (next time it is a replay), or made one of these turns.
            return
        for ask, row in zip(asks, rows, strict=True):
            found.take(ask, Row(*row), terms, is_riding=is_riding)

    def _statements_of(self, terms: Terms) -> Statements:
        if self._statements is None or self._statements[0] is not terms:
            self._statements = (terms, statements(terms, lease_seconds=self._lease_seconds))
        return self._statements[1]

    async def _recall(self, keys: Sequence[_Key]) -> dict[_Key, Held]:
        """Those of these requests that are admitted or were, with their windows as they are now."""
        wanted = {"accounts": [key[0] for key in keys], "requests": [key[1] for key in keys]}
        return {
            (account_id, request_id): Held(
                assigned_plan=plan,
                plan=plan,
                plans_version=version,
                turn_id=turn_id,
                call=call,
                windows=Windows(day, month, Counts(*counts[:3]), Counts(*counts[3:]), extra),
                is_replay=True,
            )
            for account_id, request_id, plan, version, turn_id, call, day, month, extra, *counts in await self._run(
                _RECALL, wanted
            )
        }

    async def _refresh(self, accounts: Sequence[UUID]) -> None:
        """Work out what time has changed of these accounts."""
        async with self._transaction():
            await self._run(LOCK_ACCOUNTS, {"accounts": list(accounts)}, is_read=False)
            await self._run(REFRESH, {"accounts": list(accounts)}, is_read=False)

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[None]:
        connection = await self._connected()
        async with connection.transaction():
            yield

    async def _run(
        self,
        query: str,
        parameters: Sequence[Any] | Mapping[str, Any],
        *,
        is_read: bool = True,
        cursor: type[psycopg.AsyncCursor[tuple[Any, ...]]] = psycopg.AsyncCursor,
    ) -> list[tuple[Any, ...]]:
        connection = await self._connected()
        try:
            async with asyncio.timeout(STATEMENT_SECONDS):
                done = await cursor(connection).execute(query, parameters, prepare=True, binary=True)
                return await done.fetchall() if is_read else []
        except TimeoutError as exc:
            await connection.close()
            raise StoreAway("no answer from Postgres") from exc

    async def _connected(self) -> psycopg.AsyncConnection:
        async with self._connecting:
            if self._connection is None or self._connection.closed:
                self._connection = await database.connect(self._url)
                # Arrays in binary, a quarter of the work: a raw cursor cannot say so of each parameter.
                self._connection.adapters.register_dumper(list, ListBinaryDumper)
                await self._connection.execute(PLANNING)
            return self._connection


def _parent_and_links(senders: Sequence[SpanContext]) -> tuple[SpanContext | None, list[SpanContext]]:
    """A batch belongs to the trace of its first sampled ask and is linked to the others."""
    sampled = [sender for sender in senders if sender.is_valid and sender.trace_flags.sampled]
    if sampled:
        return sampled[0], sampled[1:]
    return next((sender for sender in senders if sender.is_valid), None), []
