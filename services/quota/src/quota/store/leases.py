"""Leases of open requests: renewed by their gateway, and what is found when one has run out.

Only the database's clock counts. The statements that change leases lock reservations by key, as the fold does after its
other locks, so nobody waits in a circle.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel.ext.asyncio.session import AsyncSession

from chassis import database
from contracts.outcomes import Outcome
from quota.domain import Counts, OpenReservations, Overdue, Settlement, Windows

Key = tuple[UUID, UUID]
"""Account and request."""

# A reservation whose end is told is not renewed, although it may still be open: see `quota.domain.settlements`.
_RENEW = """
WITH asked AS MATERIALIZED (
    SELECT DISTINCT account_id, request_id
    FROM unnest(%(accounts)s::uuid[], %(requests)s::uuid[]) AS q (account_id, request_id)
), held AS MATERIALIZED (
    SELECT r.account_id, r.request_id
    FROM quota.reservations AS r
    JOIN asked AS q ON r.account_id = q.account_id AND r.request_id = q.request_id
    WHERE r.outcome IS NULL AND r.gateway = %(gateway)s
      AND NOT EXISTS (SELECT FROM quota.settlement_conflicts AS c
                      WHERE c.request_id = r.request_id AND c.account_id = r.account_id)
    ORDER BY r.account_id, r.request_id
    FOR NO KEY UPDATE OF r
), renewed AS (
    UPDATE quota.reservations AS r SET lease_until = quota.clock() + make_interval(secs => %(lease)s)
    FROM held AS h WHERE r.account_id = h.account_id AND r.request_id = h.request_id
)
SELECT q.request_id FROM asked AS q
WHERE NOT EXISTS (SELECT FROM held AS h WHERE h.account_id = q.account_id AND h.request_id = q.request_id)
"""

_ABANDON = """
WITH held AS MATERIALIZED (
    SELECT r.account_id, r.request_id
    FROM quota.reservations AS r
    JOIN unnest(%(accounts)s::uuid[], %(requests)s::uuid[]) AS q (account_id, request_id)
      ON r.account_id = q.account_id AND r.request_id = q.request_id
    WHERE r.outcome IS NULL AND r.gateway = %(gateway)s AND r.lease_until > quota.clock()
    ORDER BY r.account_id, r.request_id
    FOR NO KEY UPDATE OF r
)
UPDATE quota.reservations AS r SET lease_until = quota.clock()
FROM held AS h WHERE r.account_id = h.account_id AND r.request_id = h.request_id
RETURNING r.request_id
"""

_OVERDUE = """
SELECT r.account_id, r.request_id, r.token_id, r.turn_id, r.call, r.plan, r.plans_version, r.alias, r.endpoint,
       r.is_stream, r.trace_id, r.reserved_at, r.lease_until, quota.clock(),
       r.grant_id IS NOT NULL, coalesce(g.starts_at <= quota.clock() AND g.ends_at > quota.clock(), false),
       k.sequence, k.outcome, k.ended_as, r.day, r.month, coalesce(a.extra, 0),
       coalesce(d.used, 0), coalesce(d.reserved, 0), coalesce(d.drawn, 0),
       coalesce(m.used, 0), coalesce(m.reserved, 0), coalesce(m.drawn, 0)
FROM (SELECT * FROM quota.reservations
      WHERE outcome IS NULL AND lease_until <= quota.clock()
        AND (lease_until, account_id, request_id) > (%(lease)s::timestamptz, %(account)s::uuid, %(request)s::uuid)
      ORDER BY lease_until, account_id, request_id LIMIT %(limit)s) AS r
LEFT JOIN quota.accounts AS a ON a.account_id = r.account_id
LEFT JOIN quota.grants AS g ON g.grant_id = r.grant_id
LEFT JOIN quota.windows AS d ON d.account_id = r.account_id AND d.kind = 'day' AND d.starts_on = r.day
LEFT JOIN quota.windows AS m ON m.account_id = r.account_id AND m.kind = 'month' AND m.starts_on = r.month
LEFT JOIN LATERAL (
    SELECT c.sequence, c.outcome, c.ended_as FROM quota.settlement_conflicts AS c
    WHERE c.request_id = r.request_id AND c.account_id = r.account_id ORDER BY c.sequence LIMIT 1) AS k ON true
ORDER BY r.lease_until, r.account_id, r.request_id
"""

_LOCK_OVERDUE = """
SELECT r.account_id, r.request_id
FROM quota.reservations AS r
JOIN unnest(%(accounts)s::uuid[], %(requests)s::uuid[]) AS q (account_id, request_id)
  ON r.account_id = q.account_id AND r.request_id = q.request_id
WHERE r.outcome IS NULL AND r.lease_until <= quota.clock()
ORDER BY r.account_id, r.request_id
FOR NO KEY UPDATE OF r
"""

# Those that have heard of their end by now are left to the next sweep, which is at once.
_MOVE_ON = """
UPDATE quota.reservations AS r SET lease_until = quota.clock() + make_interval(secs => %(lease)s)
FROM unnest(%(accounts)s::uuid[], %(requests)s::uuid[]) AS q (account_id, request_id)
WHERE r.account_id = q.account_id AND r.request_id = q.request_id
  AND NOT EXISTS (SELECT FROM quota.settlement_conflicts AS c
                  WHERE c.request_id = r.request_id AND c.account_id = r.account_id)
"""

_OPEN = """
SELECT count(*) FILTER (WHERE lease_until <= quota.clock()),
       coalesce(extract(epoch FROM quota.clock() - min(reserved_at)), 0)
FROM quota.reservations WHERE outcome IS NULL
"""


class Leases:
    """A transaction each."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def renew(self, gateway: str, keys: Sequence[Key], *, lease_seconds: float) -> Sequence[UUID]:
        """Let the open ones of `gateway` run for `lease_seconds` from now; the requests that are not among them."""
        rows = await self._rows(_RENEW, _keys(keys) | {"gateway": gateway, "lease": lease_seconds}, size=len(keys))
        return [request_id for (request_id,) in rows]

    async def abandon(self, gateway: str, keys: Sequence[Key]) -> int:
        """End the leases of these open ones of `gateway` now; how many there were."""
        return len(await self._rows(_ABANDON, _keys(keys) | {"gateway": gateway}, size=len(keys)))

    async def overdue(self, *, after: Overdue | None = None, limit: int) -> Sequence[Overdue]:
        """Open reservations whose lease is over, the longest ago first, those after `after`."""
        place = {
            "lease": "-infinity" if after is None else after.lease_until,
            "account": UUID(int=0) if after is None else after.account_id,
            "request": UUID(int=0) if after is None else after.request_id,
            "limit": limit,
        }
        # No span: a look every few seconds that finds nothing is nobody's trace.
        with database.store_errors():
            async with database.transaction(self._engine) as session:
                return [_overdue(row) for row in await _fetch(session, _OVERDUE, place)]

    async def still_overdue(self, keys: Sequence[Key]) -> Sequence[Key]:
        """Those of them that nobody has renewed or settled by now."""
        rows = await self._rows(_LOCK_OVERDUE, _keys(keys), size=len(keys))
        return [(account_id, request_id) for account_id, request_id in rows]

    async def move_on(self, keys: Sequence[Key], *, lease_seconds: float) -> None:
        """Let those that are still overdue run for one lease more."""
        with database.statement("UPDATE", "quota.reservations", batch_size=len(keys)):
            async with database.transaction(self._engine) as session:
                locked = [
                    (account_id, request_id)
                    for account_id, request_id in await _fetch(session, _LOCK_OVERDUE, _keys(keys))
                ]
                moved = _keys(locked) | {"lease": lease_seconds}
                await (await session.connection()).exec_driver_sql(_MOVE_ON, moved)

    async def open_reservations(self) -> OpenReservations:
        with database.store_errors():
            async with database.transaction(self._engine) as session:
                ((overdue, oldest),) = await _fetch(session, _OPEN, {})
        return OpenReservations(overdue, float(oldest))

    async def _rows(self, query: str, parameters: dict[str, Any], *, size: int) -> Sequence[Sequence[Any]]:
        with database.statement("UPDATE", "quota.reservations", batch_size=size):
            async with database.transaction(self._engine) as session:
                return await _fetch(session, query, parameters)


async def _fetch(session: AsyncSession, query: str, parameters: dict[str, Any]) -> Sequence[Sequence[Any]]:
    return (await (await session.connection()).exec_driver_sql(query, parameters)).all()


def _keys(keys: Sequence[Key]) -> dict[str, Any]:
    return {"accounts": [account_id for account_id, _ in keys], "requests": [request_id for _, request_id in keys]}


def _overdue(row: Sequence[Any]) -> Overdue:
    account_id, request_id = row[:2]
    sequence, outcome, ended_as, day, month, extra, *counts = row[16:]
    kept = None
    if sequence is not None:
        kept = Settlement(account_id, request_id, sequence, outcome, Outcome(outcome).is_charged, ended_as)
    windows = Windows(day, month, Counts(*counts[:3]), Counts(*counts[3:]), extra)
    values: Sequence[Any] = (*row[:16], kept, windows)
    return Overdue(*values)
