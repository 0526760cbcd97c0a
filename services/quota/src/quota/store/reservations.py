"""The hot path: reservations, a batch at a time, each batch by one statement on one connection."""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import psycopg
from opentelemetry.trace import SpanContext

from chassis import database
from chassis.database import StoreAway
from quota.domain import Ask, Counts, Decision, Held, Refused, Terms, Windows, refusal

# Longer than any batch takes, and no longer than callers should wait behind a connection that is silently dead.
STATEMENT_SECONDS = 3.0
# Races of one request id and windows that begin resolve in one more round; this many mean that something is wrong.
ROUNDS = 8

TODAY = """
today AS MATERIALIZED (
    SELECT day, date_trunc('month', day)::date AS month
    FROM (SELECT (quota.clock() AT TIME ZONE 'UTC')::date AS day) AS clock
)"""

# These statements are planned once per connection, perhaps while the tables are empty, for arrays of unknown length. So
# the plan is prescribed: rows of tables are looked up by key (arrays, scalar subqueries, LATERAL … OFFSET 0, which the
# planner cannot turn around), what is joined besides is hashed. Left to itself it read whole tables, or compared
# every ask of a batch with every other.
_PLANNING = "SELECT set_config(name, 'off', false) FROM (VALUES ('enable_seqscan'), ('enable_nestloop')) AS s (name)"

_WINDOWS_OF_NOW = """
    w.account_id = ANY (%(accounts)b::uuid[]) AND w.kind IN ('day', 'month')
    AND w.starts_on IN ((SELECT day FROM today), (SELECT month FROM today))
    AND w.starts_on = CASE w.kind WHEN 'day' THEN (SELECT day FROM today) ELSE (SELECT month FROM today) END"""

_ADMIT = f"""
WITH {TODAY}, asked AS MATERIALIZED (
    SELECT q.account_id, q.request_id, q.token_id, q.gateway, q.place,
           (SELECT true FROM quota.reservations AS r
            WHERE r.account_id = q.account_id AND r.request_id = q.request_id) IS NOT NULL AS is_replay,
           (SELECT true FROM quota.blocked_tokens AS b WHERE b.token_id = q.token_id) IS NOT NULL AS is_blocked
    FROM unnest(%(accounts)b::uuid[], %(requests)b::uuid[], %(tokens)b::uuid[], %(gateways)s::text[])
         WITH ORDINALITY AS q (account_id, request_id, token_id, gateway, place)
), locked AS MATERIALIZED (
    SELECT w.account_id, w.kind, w.used, w.reserved
    FROM quota.windows AS w
    WHERE {_WINDOWS_OF_NOW}
    ORDER BY w.account_id, w.kind, w.starts_on
    FOR NO KEY UPDATE
), counted AS MATERIALIZED (
    SELECT account_id, (SELECT a.plan FROM quota.accounts AS a WHERE a.account_id = locked.account_id) AS assigned_plan,
           max(used) FILTER (WHERE kind = 'day') AS day_used, max(reserved) FILTER (WHERE kind = 'day') AS day_reserved,
           max(used) FILTER (WHERE kind = 'month') AS month_used,
           max(reserved) FILTER (WHERE kind = 'month') AS month_reserved
    FROM locked GROUP BY account_id HAVING count(*) = 2
), state AS (
    SELECT c.*, p.name AS plan,
           least(p.daily - c.day_used - c.day_reserved, p.monthly - c.month_used - c.month_reserved) AS room
    FROM counted AS c
    JOIN unnest(%(plans)s::text[], %(daily)s::int[], %(monthly)s::int[]) AS p (name, daily, monthly)
      ON p.name = CASE WHEN c.assigned_plan = ANY (%(plans)s::text[]) THEN c.assigned_plan ELSE %(default_plan)s END
    WHERE c.assigned_plan IS NOT NULL
), numbered AS (
    SELECT q.*, s.assigned_plan, s.plan, s.room, s.day_used, s.day_reserved, s.month_used, s.month_reserved,
           row_number() OVER (PARTITION BY q.account_id, q.is_replay OR q.is_blocked ORDER BY q.place) AS position
    FROM asked AS q LEFT JOIN state AS s ON s.account_id = q.account_id
), admitted AS (
    SELECT * FROM numbered
    WHERE NOT is_replay AND NOT is_blocked AND plan IS NOT NULL AND (room IS NULL OR position <= room)
), inserted AS (
    INSERT INTO quota.reservations
        (account_id, request_id, token_id, gateway, day, month, turn_id, call, plan, plans_version, reserved_at)
    SELECT account_id, request_id, token_id, gateway, day, month, request_id, 1, plan, %(version)s, quota.clock()
    FROM admitted CROSS JOIN today
), raised AS (
    UPDATE quota.windows AS w SET reserved = w.reserved + n.prompts
    FROM (SELECT account_id, count(*) AS prompts FROM admitted GROUP BY account_id) AS n
    WHERE w.account_id = n.account_id AND {_WINDOWS_OF_NOW}
)
SELECT is_replay, is_blocked, room IS NULL OR position <= room AS fits, assigned_plan, plan, day, month,
       day_used, day_reserved, month_used, month_reserved,
       CASE WHEN is_blocked THEN 0 WHEN room IS NULL THEN position
            ELSE least(position, greatest(room, 0)) END::int AS added
FROM numbered CROSS JOIN today ORDER BY place
"""

_RECALL = """
SELECT r.account_id, r.request_id, r.plan, r.plans_version, r.turn_id, r.call, r.day, r.month,
       d.used, d.reserved, m.used, m.reserved
FROM unnest(%(accounts)b::uuid[], %(requests)b::uuid[]) AS q (account_id, request_id)
CROSS JOIN LATERAL (
    SELECT * FROM quota.reservations AS r
    WHERE r.account_id = q.account_id AND r.request_id = q.request_id OFFSET 0) AS r
CROSS JOIN LATERAL (
    SELECT w.used, w.reserved FROM quota.windows AS w
    WHERE w.account_id = r.account_id AND w.kind = 'day' AND w.starts_on = r.day OFFSET 0) AS d
CROSS JOIN LATERAL (
    SELECT w.used, w.reserved FROM quota.windows AS w
    WHERE w.account_id = r.account_id AND w.kind = 'month' AND w.starts_on = r.month OFFSET 0) AS m
"""

_OPEN_WINDOWS = f"""
WITH {TODAY}, wanted AS (
    SELECT DISTINCT account_id FROM unnest(%(accounts)b::uuid[]) AS q (account_id)
), opened AS (
    INSERT INTO quota.accounts (account_id, plan, revision)
    SELECT account_id, %(default_plan)s, 0 FROM wanted ORDER BY account_id
    ON CONFLICT DO NOTHING
)
INSERT INTO quota.windows (account_id, kind, starts_on, used, reserved)
SELECT account_id, kind, starts_on, 0, 0
FROM wanted CROSS JOIN today
CROSS JOIN LATERAL (VALUES ('day', today.day), ('month', today.month)) AS k (kind, starts_on)
ORDER BY account_id, kind, starts_on
ON CONFLICT DO NOTHING
"""

_Key = tuple[UUID, UUID]


class Reservations:
    """The one connection on which batches are committed, each by one statement."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: psycopg.AsyncConnection | None = None
        self._connecting = asyncio.Lock()

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
        """Decide what can be decided now. What is left out wants another round, with its windows there by then."""
        try:
            rows = await self._run(_ADMIT, _asked(asks) | _terms(terms))
        except psycopg.errors.UniqueViolation:
            return {}  # another replica has just admitted one of these ids: next time it is a replay
        decided: dict[_Key, Decision] = {}
        doubtful: dict[_Key, Refused | None] = {}
        missing: list[UUID] = []
        for ask, row in zip(asks, rows, strict=True):
            is_replay, _, fits, *_ = row
            key = (ask.account_id, ask.request_id)
            if is_replay:
                doubtful[key] = None
            elif row[4] is None:
                missing.append(ask.account_id)
            elif fits and not row[1]:
                decided[key] = _held(ask, row, terms)
            else:
                doubtful[key] = _refused(row, terms)
        if doubtful:
            # A refusal may be as old as the snapshot: another replica may have admitted this very id since.
            found = await self._recall(list(doubtful))
            decided |= {key: refused for key, refused in doubtful.items() if refused is not None}
            decided |= found
        if missing:
            await self._run(_OPEN_WINDOWS, {"accounts": missing, "default_plan": terms.default_plan}, is_read=False)
        return decided

    async def _recall(self, keys: Sequence[_Key]) -> dict[_Key, Held]:
        """Those of these prompts that are held or were, with their windows as they are now."""
        parameters = {"accounts": [key[0] for key in keys], "requests": [key[1] for key in keys]}
        return {
            (account_id, request_id): Held(
                assigned_plan=plan,
                plan=plan,
                plans_version=version,
                turn_id=turn_id,
                call=call,
                windows=Windows(day, month, Counts(*counts[:2]), Counts(*counts[2:])),
                is_replay=True,
            )
            for account_id, request_id, plan, version, turn_id, call, day, month, *counts in await self._run(
                _RECALL, parameters
            )
        }

    async def _run(self, query: str, parameters: dict[str, Any], *, is_read: bool = True) -> list[tuple[Any, ...]]:
        connection = await self._connected()
        try:
            async with asyncio.timeout(STATEMENT_SECONDS):
                cursor = connection.cursor(binary=True)
                await cursor.execute(query, parameters, prepare=True)
                return await cursor.fetchall() if is_read else []
        except TimeoutError as exc:
            await connection.close()
            raise StoreAway("no answer from Postgres") from exc

    async def _connected(self) -> psycopg.AsyncConnection:
        async with self._connecting:
            if self._connection is None or self._connection.closed:
                self._connection = await database.connect(self._url)
                await self._connection.execute(_PLANNING)
            return self._connection


def _parent_and_links(senders: Sequence[SpanContext]) -> tuple[SpanContext | None, list[SpanContext]]:
    """A batch belongs to the trace of its first sampled ask and is linked to the others."""
    sampled = [sender for sender in senders if sender.is_valid and sender.trace_flags.sampled]
    if sampled:
        return sampled[0], sampled[1:]
    return next((sender for sender in senders if sender.is_valid), None), []


def _asked(asks: Sequence[Ask]) -> dict[str, Any]:
    return {
        "accounts": [ask.account_id for ask in asks],
        "requests": [ask.request_id for ask in asks],
        "tokens": [ask.token_id for ask in asks],
        "gateways": [ask.gateway for ask in asks],
    }


def _terms(terms: Terms) -> dict[str, Any]:
    return {
        "plans": list(terms.limits),
        "daily": [limits.daily for limits in terms.limits.values()],
        "monthly": [limits.monthly for limits in terms.limits.values()],
        "default_plan": terms.default_plan,
        "version": terms.version,
    }


def _windows(row: tuple[Any, ...]) -> Windows:
    day, month, day_used, day_reserved, month_used, month_reserved, added = row[5:]
    return Windows(day, month, Counts(day_used, day_reserved + added), Counts(month_used, month_reserved + added))


def _held(ask: Ask, row: tuple[Any, ...], terms: Terms) -> Held:
    return Held(
        assigned_plan=row[3],
        plan=row[4],
        plans_version=terms.version,
        turn_id=ask.request_id,  # each request is a turn of its own
        call=1,
        windows=_windows(row),
        is_replay=False,
    )


def _refused(row: tuple[Any, ...], terms: Terms) -> Refused:
    _, is_blocked, _, assigned_plan, plan, *_ = row
    windows = _windows(row)
    reason = refusal(windows, terms.limits[plan], is_blocked=is_blocked)
    return Refused(reason=reason, assigned_plan=assigned_plan, plan=plan, windows=windows)
