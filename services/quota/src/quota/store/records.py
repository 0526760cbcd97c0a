"""All that is not the hot path: usage, entitlements, blocked tokens, and the fold of settlements."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel.ext.asyncio.session import AsyncSession

from chassis import database, migrations
from quota.domain import Counts, Folded, Hold, Settlement, Windows, fold
from quota.store.reservations import TODAY

_USAGE = f"""
WITH {TODAY}
SELECT a.plan, today.day, today.month, coalesce(d.used, 0), coalesce(d.reserved, 0),
       coalesce(m.used, 0), coalesce(m.reserved, 0)
FROM today
LEFT JOIN quota.accounts AS a ON a.account_id = %(account)s
LEFT JOIN quota.windows AS d ON d.account_id = %(account)s AND d.kind = 'day' AND d.starts_on = today.day
LEFT JOIN quota.windows AS m ON m.account_id = %(account)s AND m.kind = 'month' AND m.starts_on = today.month
"""

_BLOCK_TOKEN = "INSERT INTO quota.blocked_tokens (token_id) VALUES (%(token)s) ON CONFLICT DO NOTHING"

_CHANGE_PLAN = """
INSERT INTO quota.accounts AS a (account_id, plan, revision) VALUES (%(account)s, %(plan)s, %(revision)s)
ON CONFLICT (account_id) DO UPDATE SET plan = excluded.plan, revision = excluded.revision
WHERE a.revision < excluded.revision
"""

# The same order of locks as in _ADMIT, so that settlements and reservations never wait for each other in a circle.
_LOCK_WINDOWS = """
SELECT FROM quota.windows AS w
JOIN (SELECT DISTINCT r.account_id, k.kind, k.starts_on
      FROM unnest(%(accounts)s::uuid[], %(requests)s::uuid[]) AS q (account_id, request_id)
      JOIN quota.reservations AS r ON r.account_id = q.account_id AND r.request_id = q.request_id
      CROSS JOIN LATERAL (VALUES ('day', r.day), ('month', r.month)) AS k (kind, starts_on)) AS k
  ON w.account_id = k.account_id AND w.kind = k.kind AND w.starts_on = k.starts_on
ORDER BY w.account_id, w.kind, w.starts_on
FOR NO KEY UPDATE OF w
"""

_HOLDS = """
SELECT DISTINCT r.account_id, r.request_id, r.day, r.month, r.settled_sequence, r.outcome, r.charged
FROM unnest(%(accounts)s::uuid[], %(requests)s::uuid[]) AS q (account_id, request_id)
JOIN quota.reservations AS r ON r.account_id = q.account_id AND r.request_id = q.request_id
"""

_WRITE_SETTLED = """
UPDATE quota.reservations AS r
SET outcome = s.outcome, charged = s.charged, settled_sequence = s.sequence, settled_at = quota.clock()
FROM unnest(%(accounts)s::uuid[], %(requests)s::uuid[], %(outcomes)s::text[], %(charged)s::bool[],
            %(sequences)s::bigint[]) AS s (account_id, request_id, outcome, charged, sequence)
WHERE r.account_id = s.account_id AND r.request_id = s.request_id
"""

_WRITE_WINDOWS = """
UPDATE quota.windows AS w SET used = w.used + c.used, reserved = w.reserved + c.reserved
FROM unnest(%(accounts)s::uuid[], %(kinds)s::text[], %(starts)s::date[], %(used)s::int[], %(reserved)s::int[])
     AS c (account_id, kind, starts_on, used, reserved)
WHERE w.account_id = c.account_id AND w.kind = c.kind AND w.starts_on = c.starts_on
"""

_WRITE_CONFLICTS = """
INSERT INTO quota.settlement_conflicts (request_id, sequence, account_id, outcome, reason)
SELECT * FROM unnest(%(requests)s::uuid[], %(sequences)s::bigint[], %(accounts)s::uuid[], %(outcomes)s::text[],
                     %(reasons)s::text[])
ON CONFLICT DO NOTHING
"""


class Store:
    """What is asked for less often than reservations, or in batches: a pool of connections, a transaction each."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def is_current(self) -> bool:
        return await migrations.is_current(self._engine, "quota")

    async def usage(self, account_id: UUID) -> tuple[str | None, Windows]:
        """The account's plan, None when quota never heard of it, and both windows of now."""
        with database.statement("SELECT", "quota.windows"):
            async with database.transaction(self._engine) as session:
                ((plan, day, month, *counts),) = await _rows(session, _USAGE, {"account": account_id})
        return plan, Windows(day, month, Counts(*counts[:2]), Counts(*counts[2:]))

    async def block_token(self, token_id: UUID) -> None:
        """No reservation that begins after this admits the token."""
        with database.statement("INSERT", "quota.blocked_tokens"):
            async with database.transaction(self._engine) as session:
                await _run(session, _BLOCK_TOKEN, {"token": token_id})

    async def change_plan(self, account_id: UUID, plan: str, *, revision: int) -> None:
        """Note the plan of an account, unless a newer revision is known already."""
        with database.statement("INSERT", "quota.accounts"):
            async with database.transaction(self._engine) as session:
                await _run(session, _CHANGE_PLAN, {"account": account_id, "plan": plan, "revision": revision})

    async def settle(self, settlements: Sequence[Settlement]) -> Folded:
        """Fold a batch into reservations and windows, in one transaction; what is folded already changes nothing."""
        keys = {
            "accounts": [settlement.account_id for settlement in settlements],
            "requests": [settlement.request_id for settlement in settlements],
        }
        with database.statement("UPDATE", "quota.reservations", batch_size=len(settlements)):
            async with database.transaction(self._engine) as session:
                await _run(session, _LOCK_WINDOWS, keys)
                holds = [_hold(row) for row in await _rows(session, _HOLDS, keys)]
                folded = fold(holds, settlements)
                await _write(session, folded)
        return folded


def _hold(row: Sequence[Any]) -> Hold:
    account_id, request_id, day, month, sequence, outcome, charged = row
    winner = None if sequence is None else Settlement(account_id, request_id, sequence, outcome, charged)
    return Hold(account_id, request_id, day, month, winner)


async def _write(session: AsyncSession, folded: Folded) -> None:
    winners = [hold.winner for hold in folded.settled if hold.winner is not None]
    if winners:
        outcomes = _settled(winners) | {"charged": [winner.is_charged for winner in winners]}
        await _run(session, _WRITE_SETTLED, outcomes)
    if folded.changes:
        changes = {
            "accounts": [account_id for account_id, _, _ in folded.changes],
            "kinds": [kind for _, kind, _ in folded.changes],
            "starts": [starts_on for _, _, starts_on in folded.changes],
            "used": [change.used for change in folded.changes.values()],
            "reserved": [change.reserved for change in folded.changes.values()],
        }
        await _run(session, _WRITE_WINDOWS, changes)
    if folded.conflicts:
        losers = _settled([conflict.settlement for conflict in folded.conflicts])
        reasons = {"reasons": [conflict.objection.value for conflict in folded.conflicts]}
        await _run(session, _WRITE_CONFLICTS, losers | reasons)


def _settled(settlements: Sequence[Settlement]) -> dict[str, Any]:
    return {
        "accounts": [settlement.account_id for settlement in settlements],
        "requests": [settlement.request_id for settlement in settlements],
        "outcomes": [settlement.outcome for settlement in settlements],
        "sequences": [settlement.sequence for settlement in settlements],
    }


async def _run(session: AsyncSession, query: str, parameters: dict[str, Any]) -> None:
    await (await session.connection()).exec_driver_sql(query, parameters)


async def _rows(session: AsyncSession, query: str, parameters: dict[str, Any]) -> Sequence[Sequence[Any]]:
    return (await (await session.connection()).exec_driver_sql(query, parameters)).all()
