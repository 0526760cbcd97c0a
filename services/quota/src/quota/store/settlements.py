"""The fold of the stream of settlements into reservations, windows, accounts, grants and turns: a batch, a transaction.

Locks are taken in the order that holds everywhere (accounts, windows, each by key), then reservations by key, which the
renewal of leases locks in the same order. Counters change by differences, under those locks; grants and turns only ever
change under the lock of their account.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel.ext.asyncio.session import AsyncSession

from chassis import database
from contracts.outcomes import Outcome
from quota.domain import Continued, Folded, Hold, Settlement, fold
from quota.store.accounts import REFRESH

# The count is there to have the accounts locked before the first window is. A continuation changes no window.
_LOCK = """
WITH accounts AS MATERIALIZED (
    SELECT a.account_id FROM quota.accounts AS a
    WHERE a.account_id = ANY (%(accounts)s::uuid[])
    ORDER BY a.account_id
    FOR NO KEY UPDATE
)
SELECT FROM quota.windows AS w
JOIN (SELECT DISTINCT r.account_id, k.kind, k.starts_on
      FROM unnest(%(accounts)s::uuid[], %(requests)s::uuid[]) AS q (account_id, request_id)
      JOIN quota.reservations AS r ON r.account_id = q.account_id AND r.request_id = q.request_id
                                    AND r.answers IS NULL
      CROSS JOIN LATERAL (VALUES ('day', r.day), ('month', r.month)) AS k (kind, starts_on)) AS k
  ON w.account_id = k.account_id AND w.kind = k.kind AND w.starts_on = k.starts_on
WHERE (SELECT count(*) FROM accounts) >= 0
ORDER BY w.account_id, w.kind, w.starts_on
FOR NO KEY UPDATE OF w
"""

_HOLDS = """
SELECT r.account_id, r.request_id, r.day, r.month, r.grant_id, r.turn_id, r.answers,
       r.settled_sequence, r.outcome, r.charged, r.ended_as,
       CASE WHEN r.outcome IS NULL THEN ARRAY (
           SELECT c.sequence FROM quota.settlement_conflicts AS c
           WHERE c.request_id = r.request_id AND c.account_id = r.account_id ORDER BY c.sequence) END,
       CASE WHEN r.outcome IS NULL THEN ARRAY (
           SELECT c.outcome FROM quota.settlement_conflicts AS c
           WHERE c.request_id = r.request_id AND c.account_id = r.account_id ORDER BY c.sequence) END,
       CASE WHEN r.outcome IS NULL THEN ARRAY (
           SELECT c.ended_as FROM quota.settlement_conflicts AS c
           WHERE c.request_id = r.request_id AND c.account_id = r.account_id ORDER BY c.sequence) END
FROM quota.reservations AS r
JOIN (SELECT DISTINCT account_id, request_id
      FROM unnest(%(accounts)s::uuid[], %(requests)s::uuid[]) AS q (account_id, request_id)) AS q
  ON r.account_id = q.account_id AND r.request_id = q.request_id
ORDER BY r.account_id, r.request_id
FOR NO KEY UPDATE OF r
"""

_WRITE_SETTLED = """
WITH windows AS (
    UPDATE quota.windows AS w SET used = w.used + c.used, reserved = w.reserved + c.reserved, drawn = w.drawn + c.drawn
    FROM unnest(%(window_accounts)s::uuid[], %(kinds)s::text[], %(starts)s::date[],
                %(used)s::int[], %(reserved)s::int[], %(drawn)s::int[])
         AS c (account_id, kind, starts_on, used, reserved, drawn)
    WHERE w.account_id = c.account_id AND w.kind = c.kind AND w.starts_on = c.starts_on
), accounts AS (
    UPDATE quota.accounts AS a SET in_flight = greatest(a.in_flight + c.in_flight, 0)
    FROM unnest(%(flying_accounts)s::uuid[], %(in_flight)s::int[]) AS c (account_id, in_flight)
    WHERE a.account_id = c.account_id
)
UPDATE quota.reservations AS r
SET outcome = s.outcome, charged = s.charged, settled_sequence = s.sequence, settled_at = quota.clock(),
    ended_as = s.ended_as
FROM unnest(%(accounts)s::uuid[], %(requests)s::uuid[], %(outcomes)s::text[], %(charged)s::bool[],
            %(sequences)s::bigint[], %(ended_as)s::text[])
     AS s (account_id, request_id, outcome, charged, sequence, ended_as)
WHERE r.account_id = s.account_id AND r.request_id = s.request_id
"""

_LOCK_GRANTS = "SELECT FROM quota.grants WHERE grant_id = ANY (%(grants)s::uuid[]) ORDER BY grant_id FOR NO KEY UPDATE"

_WRITE_GRANTS = """
UPDATE quota.grants AS g SET taken = g.taken + c.taken
FROM unnest(%(grants)s::uuid[], %(taken)s::int[]) AS c (grant_id, taken)
WHERE g.grant_id = c.grant_id
"""

# `answered` mentions a call as often as it is answered; it gets as many mentions more or less as the fold says.
_WRITE_TURNS = """
WITH changes AS MATERIALIZED (
    SELECT * FROM unnest(%(turn_accounts)s::uuid[], %(turns)s::uuid[], %(answers)s::int[], %(answered)s::int[])
                  AS c (account_id, turn_id, call, number)
)
UPDATE quota.turns AS t SET answered = ARRAY (
    SELECT a.call
    FROM (SELECT m.call, sum(m.number) AS number
          FROM (SELECT k.call, 1 AS number FROM unnest(t.answered) AS k (call)
                UNION ALL
                SELECT c.call, c.number FROM changes AS c
                WHERE c.account_id = t.account_id AND c.turn_id = t.turn_id) AS m
          GROUP BY m.call) AS a
    CROSS JOIN LATERAL generate_series(1, a.number) ORDER BY a.call)
FROM (SELECT DISTINCT account_id, turn_id FROM changes) AS d
WHERE t.account_id = d.account_id AND t.turn_id = d.turn_id
"""

# A sweep finds those whose end is told and waits by their lease, which is over.
_WRITE_WAITING = """
UPDATE quota.reservations AS r SET lease_until = least(r.lease_until, quota.clock())
FROM unnest(%(accounts)s::uuid[], %(requests)s::uuid[]) AS q (account_id, request_id)
WHERE r.account_id = q.account_id AND r.request_id = q.request_id
"""

_WRITE_CONFLICTS = """
INSERT INTO quota.settlement_conflicts (request_id, sequence, account_id, outcome, ended_as, reason)
SELECT * FROM unnest(%(requests)s::uuid[], %(sequences)s::bigint[], %(accounts)s::uuid[], %(outcomes)s::text[],
                     %(ended_as)s::text[], %(reasons)s::text[])
ON CONFLICT DO NOTHING
"""


async def fold_settlements(
    engine: AsyncEngine, settlements: Sequence[Settlement], *, folded_through: int = 0
) -> Folded:
    """Fold a batch, in one transaction; what is folded already changes nothing. Raises `StoreAway`."""
    keys = {
        "accounts": [settlement.account_id for settlement in settlements],
        "requests": [settlement.request_id for settlement in settlements],
    }
    with database.statement("UPDATE", "quota.reservations", batch_size=len(settlements)):
        async with database.transaction(engine) as session:
            await _run(session, _LOCK, keys)
            holds = [_hold(row) for row in await _rows(session, _HOLDS, keys)]
            folded = fold(holds, settlements, folded_through=folded_through)
            await _write(session, folded)
    return folded


def _hold(row: Sequence[Any]) -> Hold:
    account_id, request_id, day, month, grant_id, turn_id, answers, sequence, outcome, charged, ended_as, *kept = row
    winner = None if sequence is None else Settlement(account_id, request_id, sequence, outcome, charged, ended_as)
    told = tuple(
        Settlement(account_id, request_id, number, ended, Outcome(ended).is_charged, as_)
        for number, ended, as_ in zip(*(values or () for values in kept), strict=True)
    )
    continues = None if answers is None else Continued(turn_id, answers)
    return Hold(account_id, request_id, day, month, winner, grant_id, told, continues)


async def _write(session: AsyncSession, folded: Folded) -> None:
    if folded.settled:
        await _write_grants(session, folded)
        await _run(session, _WRITE_SETTLED, _winners(folded) | _changes(folded))
    if folded.turns:
        await _run(session, _WRITE_TURNS, _turns(folded))
    if folded.waiting:
        waiting = {
            "accounts": [hold.account_id for hold in folded.waiting],
            "requests": [hold.request_id for hold in folded.waiting],
        }
        await _run(session, _WRITE_WAITING, waiting)
    if folded.conflicts:
        losers = _settled([conflict.settlement for conflict in folded.conflicts])
        reasons = {"reasons": [conflict.objection.value for conflict in folded.conflicts]}
        await _run(session, _WRITE_CONFLICTS, losers | reasons)


async def _write_grants(session: AsyncSession, folded: Folded) -> None:
    if folded.grants:
        grants = {"grants": [grant_id for _, grant_id in folded.grants], "taken": list(folded.grants.values())}
        await _run(session, _LOCK_GRANTS, grants)
        await _run(session, _WRITE_GRANTS, grants)
        await _run(session, REFRESH, {"accounts": [account_id for account_id, _ in folded.grants]})


def _winners(folded: Folded) -> dict[str, Any]:
    winners = [hold.winner for hold in folded.settled if hold.winner is not None]
    return _settled(winners) | {"charged": [winner.is_charged for winner in winners]}


def _changes(folded: Folded) -> dict[str, Any]:
    return {
        "window_accounts": [account_id for account_id, _, _ in folded.changes],
        "kinds": [kind for _, kind, _ in folded.changes],
        "starts": [starts_on for _, _, starts_on in folded.changes],
        "used": [change.used for change in folded.changes.values()],
        "reserved": [change.reserved for change in folded.changes.values()],
        "drawn": [change.drawn for change in folded.changes.values()],
        "flying_accounts": list(folded.accounts),
        "in_flight": list(folded.accounts.values()),
    }


def _turns(folded: Folded) -> dict[str, Any]:
    return {
        "turn_accounts": [account_id for account_id, _ in folded.turns],
        "turns": [continued.turn_id for _, continued in folded.turns],
        "answers": [continued.answers for _, continued in folded.turns],
        "answered": list(folded.turns.values()),
    }


def _settled(settlements: Sequence[Settlement]) -> dict[str, Any]:
    return {
        "accounts": [settlement.account_id for settlement in settlements],
        "requests": [settlement.request_id for settlement in settlements],
        "outcomes": [settlement.outcome for settlement in settlements],
        "sequences": [settlement.sequence for settlement in settlements],
        "ended_as": [settlement.ended_as for settlement in settlements],
    }


async def _run(session: AsyncSession, query: str, parameters: dict[str, Any]) -> None:
    await (await session.connection()).exec_driver_sql(query, parameters)


async def _rows(session: AsyncSession, query: str, parameters: dict[str, Any]) -> Sequence[Sequence[Any]]:
    return (await (await session.connection()).exec_driver_sql(query, parameters)).all()
