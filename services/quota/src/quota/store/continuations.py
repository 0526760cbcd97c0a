"""The statement for asks that continue a turn, in pieces: what it reads of turns, what it decides, what it writes.

`store.admission` puts it together with the locks and the state of accounts that every admission begins with, so its
rules hold here too. The row of a turn and the reservation of its opener are locked after the account's windows, so what
is read of them is the newest. A turn that was never continued has no row: two replicas that make it at once meet in its
primary key, and the second one decides anew. Nothing here touches a window or a grant.

An ask that does not qualify is `new`, and goes on to the statement that holds prompts. A batch is decided as if its
asks had come one by one: what is refused for speed takes no call and answers nothing.
"""

ASKED = """
asked AS MATERIALIZED (
    SELECT q.*,
           (SELECT true FROM quota.reservations AS r
            WHERE r.account_id = q.account_id AND r.request_id = q.request_id) IS NOT NULL AS is_replay,
           (SELECT true FROM quota.blocked_tokens AS b WHERE b.token_id = q.token_id) IS NOT NULL AS is_blocked
    FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::bool[], $8::text[],
                $9::uuid[], $10::int[])
         WITH ORDINALITY
         AS q (account_id, request_id, token_id, gateway, alias, endpoint, is_stream, trace_id, turn_id, answers, place)
    OFFSET 0
)"""

# Locks in order: `wanted` needs the accounts and windows, `openers` the turns.
_TURNS = """
, wanted AS MATERIALIZED (
    SELECT DISTINCT q.account_id, q.turn_id
    FROM asked AS q JOIN state AS s ON s.account_id = q.account_id
    ORDER BY q.account_id, q.turn_id
), turns AS MATERIALIZED (
    SELECT t.account_id, t.turn_id, t.calls, t.answered
    FROM quota.turns AS t JOIN wanted AS w ON w.account_id = t.account_id AND w.turn_id = t.turn_id
    WHERE t.turn_id = ANY ($9)
    ORDER BY t.turn_id, t.account_id
    FOR NO KEY UPDATE OF t
), openers AS MATERIALIZED (
    SELECT w.account_id, w.turn_id, r.reserved_at, r.call = 1 AND (r.outcome IS NULL OR r.charged) AS is_paid
    FROM wanted AS w
    CROSS JOIN LATERAL (
        SELECT r.call, r.outcome, r.charged, r.reserved_at FROM quota.reservations AS r
        WHERE r.account_id = w.account_id AND r.request_id = w.turn_id AND (SELECT count(*) FROM turns) >= 0
        OFFSET 0 FOR NO KEY UPDATE) AS r
)"""

# `place_of_answer` is 1 for the first ask of the batch that gives this answer: only that one can ride.
_RIDING = """
, eligible AS (
    SELECT q.place, q.account_id, q.turn_id, q.answers, o.reserved_at AS opened_at, t.turn_id IS NOT NULL AS is_known,
           coalesce(t.calls, 1) AS calls, p.calls_per_turn,
           least(s.room_in_flight, s.room_in_bucket) AS allowed,
           row_number() OVER (PARTITION BY q.account_id, q.turn_id, q.answers ORDER BY q.place) AS place_of_answer
    FROM asked AS q
    JOIN state AS s ON s.account_id = q.account_id
    JOIN openers AS o ON o.account_id = q.account_id AND o.turn_id = q.turn_id
    JOIN unnest({names}::text[], {calls_per_turn}::int[], {turn_seconds}::int[])
      AS p (name, calls_per_turn, turn_seconds) ON p.name = s.plan
    LEFT JOIN turns AS t ON t.account_id = q.account_id AND t.turn_id = q.turn_id
    WHERE NOT q.is_replay AND NOT q.is_blocked AND o.is_paid
      AND o.reserved_at > (SELECT now FROM today) - p.turn_seconds * interval '1 second'
      AND q.answers BETWEEN 1 AND coalesce(t.calls, 1) AND q.answers <> ALL (coalesce(t.answered, ARRAY[]::int[]))
), called AS (
    SELECT e.*, calls + row_number() OVER (PARTITION BY account_id, turn_id, place_of_answer = 1 ORDER BY place) AS call
    FROM eligible AS e
), placed AS (
    SELECT c.*, row_number() OVER (PARTITION BY account_id, place_of_answer = 1 AND call <= calls_per_turn
                                   ORDER BY place) AS position
    FROM called AS c
), fitted AS (
    SELECT p.*, place_of_answer = 1 AND call <= calls_per_turn AND coalesce(position <= allowed, true) AS is_riding
    FROM placed AS p
), riding AS (
    SELECT f.*,
           bool_or(is_riding) OVER (PARTITION BY account_id, turn_id, answers)
           OR calls + count(*) FILTER (WHERE is_riding) OVER (PARTITION BY account_id, turn_id) >= calls_per_turn
           AS is_too_late
    FROM fitted AS f
)"""

_DECIDED = """
, decided AS MATERIALIZED (
    SELECT q.*, s.assigned_plan, s.plan, s.refill, s.day_used, s.day_reserved, s.day_drawn, s.month_used,
           s.month_reserved, s.month_drawn, s.extra, s.room, s.in_flight, s.debt, r.call, r.opened_at, r.is_known,
           CASE WHEN r.is_riding THEN 0 ELSE coalesce(r.allowed, 0) END AS ahead,
           CASE WHEN q.is_replay THEN 'replay' WHEN s.plan IS NULL THEN 'missing' WHEN s.is_due THEN 'due'
                WHEN s.is_stale THEN 'stale' WHEN q.is_blocked THEN 'blocked' WHEN s.is_suspended THEN 'suspended'
                WHEN r.is_riding THEN 'held' WHEN NOT r.is_too_late THEN 'full' ELSE 'new' END AS verdict
    FROM asked AS q
    LEFT JOIN state AS s ON s.account_id = q.account_id
    LEFT JOIN riding AS r ON r.place = q.place
)"""

_WRITE = """
, admissions AS MATERIALIZED (
    SELECT account_id, refill, count(*) AS requests FROM decided WHERE verdict = 'held' GROUP BY account_id, refill
), rides AS MATERIALIZED (
    SELECT account_id, turn_id, opened_at, is_known, count(*) AS calls, array_agg(answers ORDER BY answers) AS answers
    FROM decided WHERE verdict = 'held' GROUP BY account_id, turn_id, opened_at, is_known
), inserted AS (
    INSERT INTO quota.reservations
        (account_id, request_id, token_id, gateway, day, month, turn_id, call, plan, plans_version, reserved_at,
         lease_until, alias, endpoint, is_stream, trace_id, answers)
    SELECT account_id, request_id, token_id, gateway, day, month, turn_id, call, plan, {version}, now,
           now + {lease}::interval, alias, endpoint, is_stream, trace_id, answers
    FROM decided CROSS JOIN today
    WHERE verdict = 'held'
), begun AS (
    INSERT INTO quota.turns (turn_id, account_id, opened_at, calls, answered)
    SELECT turn_id, account_id, opened_at, 1 + calls, answers FROM rides WHERE NOT is_known
), gone_on AS (
    UPDATE quota.turns AS t SET calls = t.calls + r.calls, answered = t.answered || r.answers
    FROM rides AS r
    WHERE r.is_known AND t.account_id = r.account_id AND t.turn_id = r.turn_id AND t.turn_id = ANY ($9)
), counted_in AS (
    UPDATE quota.accounts AS a
    SET in_flight = a.in_flight + n.requests,
        rate_full_at = CASE WHEN n.refill IS NULL THEN a.rate_full_at
            ELSE greatest(a.rate_full_at, (SELECT now FROM today))
                 + n.requests * n.refill * interval '1 microsecond' END
    FROM admissions AS n
    WHERE a.account_id = n.account_id AND a.account_id = ANY ($1)
)
SELECT verdict, assigned_plan, plan, day, month, day_used, day_reserved, day_drawn, month_used, month_reserved,
       month_drawn, extra, (in_flight + ahead)::int, (debt + ahead * coalesce(refill, 0))::bigint, room, 0,
       coalesce(call, 0)::int
FROM decided CROSS JOIN today ORDER BY place
"""

DECIDED = _TURNS + _RIDING + _DECIDED + _WRITE
