"""The statements that admit a batch of asks: their texts, their parameters, and what their rows mean.

Everything of an account changes under the lock of its row in `accounts`, which is taken first. What is read of locked
rows is the newest version. What else a reservation depends on (blocked tokens, which grants there are) is as old as the
statement's snapshot; whoever changes it raises the account's `version` under the same lock. So where the version in the
snapshot and the one under the lock differ, nothing is decided, and the next round sees what changed.
"""

from collections.abc import Sequence
from datetime import date
from typing import Any, Literal, NamedTuple

from psycopg import sql

from quota.domain import (
    LONGEST_TURN,
    Ask,
    Counts,
    Held,
    Refusal,
    Refused,
    Standing,
    Terms,
    Windows,
    refill_microseconds,
    refused,
)
from quota.store import continuations

# As long as it usually takes until the end of a request is folded.
BUSY_RETRY_SECONDS = 0.1

TODAY = """
today AS MATERIALIZED (
    SELECT now, day, date_trunc('month', day)::date AS month
    FROM (SELECT quota.clock() AS now, (quota.clock() AT TIME ZONE 'UTC')::date AS day) AS clock
)"""

# These statements are planned once per connection, perhaps while the tables are empty, for arrays of unknown length. So
# the plan is prescribed: rows of tables are looked up by key (arrays, scalar subqueries, LATERAL … OFFSET 0, which the
# planner cannot turn around), what is joined besides is hashed. Left to itself it read whole tables, or compared
# every ask of a batch with every other.
PLANNING = "SELECT set_config(name, 'off', false) FROM (VALUES ('enable_seqscan'), ('enable_nestloop')) AS s (name)"

_WINDOWS_OF_NOW = """
    w.kind IN ('day', 'month')
    AND w.starts_on IN ((SELECT day FROM today), (SELECT month FROM today))
    AND w.starts_on = CASE w.kind WHEN 'day' THEN (SELECT day FROM today) ELSE (SELECT month FROM today) END"""

_ASKED = """
asked AS MATERIALIZED (
    SELECT q.*, row_number() OVER (PARTITION BY account_id, is_replay OR is_blocked ORDER BY place) AS position
    FROM (
        SELECT q.*,
               (SELECT true FROM quota.reservations AS r
                WHERE r.account_id = q.account_id AND r.request_id = q.request_id) IS NOT NULL AS is_replay,
               (SELECT true FROM quota.blocked_tokens AS b WHERE b.token_id = q.token_id) IS NOT NULL AS is_blocked
        FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::bool[], $8::text[])
             WITH ORDINALITY
             AS q (account_id, request_id, token_id, gateway, alias, endpoint, is_stream, trace_id, place)
        OFFSET 0) AS q
)"""

# Locks are taken in order because each of these needs the one before: `held`, `locked`, `pools`.
_STATE = f"""
, held AS MATERIALIZED (
    SELECT a.account_id, a.plan, a.version, a.is_suspended, a.extra, a.changes_at, a.in_flight, a.rate_full_at
    FROM quota.accounts AS a
    WHERE a.account_id = ANY ($1)
    ORDER BY a.account_id
    FOR NO KEY UPDATE
), locked AS MATERIALIZED (
    SELECT w.account_id, w.kind, w.used, w.reserved, w.drawn
    FROM quota.windows AS w
    WHERE w.account_id = ANY (ARRAY(SELECT account_id FROM held)) AND {_WINDOWS_OF_NOW}
    ORDER BY w.account_id, w.kind, w.starts_on
    FOR NO KEY UPDATE
), counted AS (
    SELECT account_id,
           max(used) FILTER (WHERE kind = 'day') AS day_used, max(reserved) FILTER (WHERE kind = 'day') AS day_reserved,
           max(drawn) FILTER (WHERE kind = 'day') AS day_drawn, max(used) FILTER (WHERE kind = 'month') AS month_used,
           max(reserved) FILTER (WHERE kind = 'month') AS month_reserved,
           max(drawn) FILTER (WHERE kind = 'month') AS month_drawn
    FROM locked GROUP BY account_id HAVING count(*) = 2
), found AS (
    SELECT h.*, c.day_used, c.day_reserved, c.day_drawn, c.month_used, c.month_reserved, c.month_drawn, today.now,
           CASE WHEN h.rate_full_at > today.now
                THEN (extract(epoch FROM h.rate_full_at - today.now) * 1000000)::bigint ELSE 0 END AS debt
    FROM held AS h JOIN counted AS c ON c.account_id = h.account_id CROSS JOIN today
), state AS MATERIALIZED (
    SELECT f.account_id, f.plan AS assigned_plan, f.is_suspended, f.extra, f.in_flight, f.debt, f.day_used,
           f.day_reserved, f.day_drawn, f.month_used, f.month_reserved, f.month_drawn, p.name AS plan, p.refill,
           f.changes_at <= f.now AS is_due,
           f.version <> (SELECT a.version FROM quota.accounts AS a WHERE a.account_id = f.account_id) AS is_stale,
           CASE WHEN p.daily IS NOT NULL OR p.monthly IS NOT NULL
                THEN greatest(least(p.daily - (f.day_used + f.day_reserved - f.day_drawn),
                                    p.monthly - (f.month_used + f.month_reserved - f.month_drawn)), 0) END AS room,
           CASE WHEN p.in_flight IS NOT NULL THEN greatest(p.in_flight - f.in_flight, 0) END AS room_in_flight,
           CASE WHEN p.requests IS NOT NULL
                THEN greatest(p.requests - (f.debt + p.refill - 1) / p.refill, 0) END AS room_in_bucket
    FROM found AS f
    JOIN unnest({{names}}::text[], {{daily}}::int[], {{monthly}}::int[], {{in_flight}}::int[], {{rates}}::int[],
                {{refills}}::int[]) AS p (name, daily, monthly, in_flight, requests, refill)
      ON p.name = CASE WHEN f.plan = ANY ({{names}}::text[]) THEN f.plan ELSE {{default_plan}} END
)"""

_NO_SHARES = """
, shares AS (
    SELECT NULL::uuid AS account_id, NULL::uuid AS grant_id, 0 AS after, 0 AS upto WHERE false
)"""

# Grants in the order of their ends; the n-th prompt beyond the room of the plan is the one in whose share n falls.
_SHARES = """
, pools AS MATERIALIZED (
    SELECT g.grant_id, g.account_id, g.ends_at, greatest(g.prompts - g.taken, 0) AS spare
    FROM quota.grants AS g
    WHERE g.account_id = ANY (ARRAY(SELECT account_id FROM state WHERE extra > 0))
      AND g.ends_at > (SELECT now FROM today) AND g.starts_at <= (SELECT now FROM today)
    ORDER BY g.account_id, g.ends_at, g.grant_id
    FOR NO KEY UPDATE
), shares AS (
    SELECT account_id, grant_id, sum(spare) OVER shared - spare AS after, sum(spare) OVER shared AS upto
    FROM pools WINDOW shared AS (PARTITION BY account_id ORDER BY ends_at, grant_id)
)"""

_DECIDED = """
, decided AS MATERIALIZED (
    SELECT q.*, s.assigned_plan, s.plan, s.refill, g.grant_id, s.day_used, s.day_reserved,
           s.day_drawn, s.month_used, s.month_reserved, s.month_drawn, s.extra, s.in_flight, s.debt, s.room,
           least(s.room + s.extra, s.room_in_flight, s.room_in_bucket) AS allowed,
           CASE WHEN q.is_replay THEN 'replay' WHEN s.plan IS NULL THEN 'missing' WHEN s.is_due THEN 'due'
                WHEN s.is_stale THEN 'stale' WHEN q.is_blocked THEN 'blocked' WHEN s.is_suspended THEN 'suspended'
                WHEN q.position > least(s.room + s.extra, s.room_in_flight, s.room_in_bucket) THEN 'full'
                WHEN q.position > s.room AND g.grant_id IS NULL THEN 'unpaid' ELSE 'held' END AS verdict
    FROM asked AS q
    LEFT JOIN state AS s ON s.account_id = q.account_id
    LEFT JOIN shares AS g
      ON g.account_id = s.account_id AND q.position - s.room > g.after AND q.position - s.room <= g.upto
)"""

_PAID = """
, paid AS (
    UPDATE quota.grants AS g SET taken = g.taken + n.prompts
    FROM (SELECT grant_id, count(*) AS prompts FROM decided WHERE verdict = 'held' GROUP BY grant_id) AS n
    WHERE g.grant_id = n.grant_id
      AND g.grant_id = ANY (ARRAY(SELECT grant_id FROM decided WHERE verdict = 'held' AND grant_id IS NOT NULL))
)"""

_WRITE = f"""
, admissions AS MATERIALIZED (
    SELECT account_id, refill, count(*) AS prompts, count(grant_id) AS drawn
    FROM decided WHERE verdict = 'held' GROUP BY account_id, refill
), inserted AS (
    INSERT INTO quota.reservations
        (account_id, request_id, token_id, gateway, day, month, turn_id, call, plan, plans_version, reserved_at,
         lease_until, grant_id, alias, endpoint, is_stream, trace_id)
    SELECT account_id, request_id, token_id, gateway, day, month, request_id, 1, plan, {{version}}, now,
           now + {{lease}}::interval, grant_id, alias, endpoint, is_stream, trace_id
    FROM decided CROSS JOIN today
    WHERE verdict = 'held'
), counted_in AS (
    UPDATE quota.accounts AS a
    SET in_flight = a.in_flight + n.prompts, extra = a.extra - n.drawn,
        rate_full_at = CASE WHEN n.refill IS NULL THEN a.rate_full_at
            ELSE greatest(a.rate_full_at, (SELECT now FROM today))
                 + n.prompts * n.refill * interval '1 microsecond' END
    FROM admissions AS n
    WHERE a.account_id = n.account_id AND a.account_id = ANY ($1)
), raised AS (
    UPDATE quota.windows AS w SET reserved = w.reserved + n.prompts, drawn = w.drawn + n.drawn
    FROM admissions AS n
    WHERE w.account_id = n.account_id AND w.account_id = ANY ($1) AND {_WINDOWS_OF_NOW}
)
SELECT verdict, assigned_plan, plan, day, month, day_used, day_reserved, day_drawn, month_used, month_reserved,
       month_drawn, extra, in_flight, debt, room,
       CASE WHEN verdict IN ('blocked', 'suspended') THEN 0 ELSE least(position, allowed) END::int AS added
FROM decided CROSS JOIN today ORDER BY place
"""

_BEGIN = f"\nWITH {TODAY}, "
_ADMIT = _BEGIN + _ASKED + _STATE + _NO_SHARES + _DECIDED + _WRITE
_ADMIT_DRAWING = _BEGIN + _ASKED + _STATE + _SHARES + _DECIDED + _PAID + _WRITE
_CONTINUE = _BEGIN + continuations.ASKED + _STATE + continuations.DECIDED


class Row(NamedTuple):
    """One ask as the statement answers it: the account before the batch, and how many of the batch went `added` to it.

    Nothing is decided where the account's windows are `missing`, its plan or grants are `due` to be looked up, or it is
    `stale`: it changed since the snapshot. `unpaid` has to draw from a grant, for `full` there is no room at all.

    A continuation adds nothing to the windows; its `in_flight` and `debt` have what went before it in the batch. `new`
    is one that has to hold a prompt.
    """

    verdict: Literal["replay", "missing", "due", "stale", "blocked", "suspended", "full", "unpaid", "held", "new"]
    assigned_plan: str
    plan: str
    day: date
    month: date
    day_used: int
    day_reserved: int
    day_drawn: int
    month_used: int
    month_reserved: int
    month_drawn: int
    extra: int
    in_flight: int
    debt: int
    room: int | None
    added: int
    call: int = 1

    @property
    def windows(self) -> Windows:
        """Both windows with what this ask and those before it added."""
        drawn = 0 if self.room is None else max(self.added - self.room, 0)
        return Windows(
            self.day,
            self.month,
            Counts(self.day_used, self.day_reserved + self.added, self.day_drawn + drawn),
            Counts(self.month_used, self.month_reserved + self.added, self.month_drawn + drawn),
            self.extra - drawn,
        )


class Statements(NamedTuple):
    """With numbered parameters, for a raw cursor: the driver reads a text as long as these anew for every batch.

    `admit_drawing` is for asks that find the plan's room spent and prompts in live grants, `carry_on` for those that
    continue a turn.
    """

    admit: str
    admit_drawing: str
    carry_on: str


def statements(terms: Terms, *, lease_seconds: float) -> Statements:
    """The terms are part of the text, which is prepared once: as parameters they would cost as much as many asks."""
    limits = list(terms.limits.values())
    rates = [each.requests_per_minute for each in limits]
    values = {
        "names": list(terms.limits),
        "daily": [each.daily for each in limits],
        "monthly": [each.monthly for each in limits],
        "in_flight": [each.in_flight for each in limits],
        "rates": rates,
        "refills": [rate and refill_microseconds(rate) for rate in rates],
        "calls_per_turn": [each.turns.calls_per_turn for each in limits],
        "turn_seconds": [min(each.turns.open_for_minutes * 60, int(LONGEST_TURN.total_seconds())) for each in limits],
        "default_plan": terms.default_plan,
        "version": terms.version,
        "lease": f"{lease_seconds} seconds",
    }
    texts = (_ADMIT, _ADMIT_DRAWING, _CONTINUE)
    return Statements(*(sql.SQL(text).format(**values).as_string() for text in texts))


def parameters(asks: Sequence[Ask]) -> list[list[Any]]:
    return [
        [ask.account_id for ask in asks],
        [ask.request_id for ask in asks],
        [ask.token_id for ask in asks],
        [ask.gateway for ask in asks],
        [ask.alias for ask in asks],
        [ask.endpoint for ask in asks],
        [ask.is_stream for ask in asks],
        [ask.trace_id for ask in asks],
    ]


def continuing_parameters(asks: Sequence[Ask]) -> list[list[Any]]:
    """Of asks that all continue something."""
    continued = [ask.continues for ask in asks if ask.continues is not None]
    return [*parameters(asks), [each.turn_id for each in continued], [each.answers for each in continued]]


def held(ask: Ask, row: Row, terms: Terms) -> Held:
    return Held(
        assigned_plan=row.assigned_plan,
        plan=row.plan,
        plans_version=terms.version,
        turn_id=ask.continues.turn_id if ask.continues is not None and row.call > 1 else ask.request_id,
        call=row.call,
        windows=row.windows,
        is_replay=False,
    )


def busy(row: Row) -> Refused:
    """The answer to an ask that waits for another request with the same answer."""
    return Refused(
        reason=Refusal.TURN_BUSY,
        assigned_plan=row.assigned_plan,
        plan=row.plan,
        windows=row.windows,
        retry_after_seconds=BUSY_RETRY_SECONDS,
    )


def not_held(row: Row, terms: Terms, *, is_riding: bool) -> Refused:
    limits = terms.limits[row.plan]
    rate = limits.requests_per_minute
    standing = Standing(
        windows=row.windows,
        in_flight=row.in_flight + row.added,
        debt_microseconds=row.debt + row.added * (refill_microseconds(rate) if rate else 0),
        is_blocked=row.verdict == "blocked",
        is_suspended=row.verdict == "suspended",
        is_riding=is_riding,
    )
    return refused(standing, limits, assigned_plan=row.assigned_plan, plan=row.plan)
