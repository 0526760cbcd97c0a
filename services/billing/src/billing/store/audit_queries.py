"""The SQL of a comparison (`store.audit`)."""

from collections.abc import Sequence
from dataclasses import fields

from billing.domain.lines import Entry
from billing.store.rows import LINE_COLUMNS

_ENTRY = tuple(field.name for field in fields(Entry))
_OWN = frozenset({"kind", "revision", "corrects", "author", "reason"})
# What a settlement says, all of which its line must say, too.
SAID = tuple(name for name in _ENTRY if name not in _OWN)
# Lines of release 0.1 do not have these.
SAID_LATER = frozenset(
    {"started_at", "admitted_ms", "first_content_ms", "total_ms", "cost", "cost_currency", "settled_by"}
    | {
        f"{window}_{figure}"
        for window in ("daily", "monthly")
        for figure in ("limit", "used", "remaining", "resets_at")
    }
)
_SAID_ALWAYS = tuple(name for name in SAID if name not in SAID_LATER)
SESSION = (
    "SET statement_timeout = '30min'",
    "SET plan_cache_mode = auto",
    "SET work_mem = '32MB'",
    "SET jit = off",
)
# One comparison at a time, whatever the number of replicas: each of them reads a whole day.
ONE_AUDIT = "SELECT pg_try_advisory_lock(hashtext('billing reconcile'))"
PREPARE = f"CREATE TEMPORARY TABLE told AS SELECT {', '.join(SAID)} FROM billing.ledger WITH NO DATA"
COPY = f"COPY pg_temp.told ({', '.join(SAID)}) FROM STDIN"
# Of several settlements of a request the first one in the stream counts, for everyone.
FOLD = """
CREATE TEMPORARY TABLE firsts AS
SELECT DISTINCT ON (request_id) * FROM pg_temp.told ORDER BY request_id, stream_sequence;
CREATE INDEX ON pg_temp.firsts (request_id);
CREATE INDEX ON pg_temp.told (stream_sequence);
ANALYZE pg_temp.firsts;
ANALYZE pg_temp.told
"""

# The settlement lines that no reversal took back.
_LIVE = """
live AS NOT MATERIALIZED (
    SELECT l.* FROM billing.ledger AS l
    WHERE l.kind = 'settlement' AND NOT EXISTS (
        SELECT FROM billing.ledger AS r
        WHERE r.request_id = l.request_id AND r.kind = 'reversal' AND r.corrects = l.id))
"""
_FILTER = """
(%(day)s::date IS NULL OR {0}.day = %(day)s) AND (%(account)s::uuid IS NULL OR {0}.account_id = %(account)s)
"""
_IN_RANGE = """
({0}.stream_sequence BETWEEN %(first)s AND %(through)s OR {0}.stream_sequence = ANY(%(again)s::bigint[]))
"""


def _same(names: Sequence[str]) -> str:
    left, right = (", ".join(f"{side}.{name}" for name in names) for side in ("f", "l"))
    return f"({left}) IS NOT DISTINCT FROM ({right})"


# A line of an earlier message than all that was read belongs to a settlement that was compared before, or that the
# stream no longer has. `::text`: for people, and the same on both sides.
UNLIKE = f"""
WITH {_LIVE}
SELECT f.request_id, f.account_id, f.stream_sequence AS message, l.id AS line, l.sequence, l.stream_sequence,
       l.started_at IS NULL AS is_old,
       ARRAY[{", ".join(f"f.{name}::text" for name in SAID)}] AS told,
       ARRAY[{", ".join(f"l.{name}::text" for name in SAID)}] AS written
FROM pg_temp.firsts AS f LEFT JOIN live AS l ON l.request_id = f.request_id
WHERE {_FILTER.format("f")}
  AND CASE WHEN l.id IS NULL THEN true
           WHEN l.stream_sequence < least(f.stream_sequence, %(first)s)
                AND l.stream_sequence <> ALL(%(again)s::bigint[]) THEN false
           WHEN l.started_at IS NULL THEN NOT {_same(_SAID_ALWAYS)}
           ELSE NOT {_same(SAID)} END
ORDER BY f.stream_sequence
"""
UNTOLD = f"""
WITH {_LIVE}
SELECT l.request_id, l.account_id, l.id AS line, l.sequence, l.stream_sequence
FROM live AS l
WHERE {_IN_RANGE.format("l")} AND {_FILTER.format("l")} AND NOT EXISTS (
    SELECT FROM pg_temp.told AS t WHERE t.stream_sequence = l.stream_sequence AND t.request_id = l.request_id)
ORDER BY l.stream_sequence
"""
DOUBLED = f"""
WITH {_LIVE}
SELECT l.request_id, l.account_id, min(l.stream_sequence) AS stream_sequence, array_agg(l.id ORDER BY l.id) AS lines
FROM live AS l
WHERE {_FILTER.format("l")}
  AND (NOT %(only_told)s OR l.request_id IN (SELECT request_id FROM pg_temp.firsts))
GROUP BY l.request_id, l.account_id HAVING count(*) > 1
ORDER BY l.request_id
"""
REVERSALS = f"""
SELECT r.request_id, r.account_id, r.id AS line, r.sequence, r.stream_sequence, r.corrects
FROM billing.ledger AS r LEFT JOIN billing.ledger AS c ON c.id = r.corrects
WHERE r.kind = 'reversal' AND {_FILTER.format("r")}
  AND (c.id IS NULL OR c.kind <> 'settlement'
       OR (r.request_id, r.account_id, r.day, r.month, r.stream_sequence, r.outcome, r.plan)
          IS DISTINCT FROM (c.request_id, c.account_id, c.day, c.month, c.stream_sequence, c.outcome, c.plan)
       OR (-r.prompts, -r.input_tokens, -r.cached_input_tokens, -r.output_tokens, -r.reasoning_tokens, -r.cost)
          IS DISTINCT FROM
          (c.prompts::int, c.input_tokens, c.cached_input_tokens, c.output_tokens, c.reasoning_tokens, c.cost)
       OR EXISTS (SELECT FROM billing.ledger AS o
                  WHERE o.request_id = r.request_id AND o.corrects = r.corrects AND o.kind = 'reversal'
                    AND o.id < r.id))
ORDER BY r.id
"""
OVER_LIMIT = f"""
WITH {_LIVE}
SELECT l.request_id, l.account_id, l.id AS line, l.sequence, l.stream_sequence,
       o.kind AS "window", o.starts_on, o.used, o."limit"
FROM live AS l
CROSS JOIN LATERAL (VALUES ('day', l.day, l.daily_used, l.daily_limit),
                           ('month', l.month, l.monthly_used, l.monthly_limit)) AS o (kind, starts_on, used, "limit")
WHERE l.prompts > 0 AND o.used > o."limit" AND {_IN_RANGE.format("l")} AND {_FILTER.format("l")}
ORDER BY l.id
"""
# Prompts that were used: settlements and reversals. What staff put right later is billed otherwise, but was used.
SUMS = """
SELECT account_id,
       coalesce(sum(prompts) FILTER (WHERE day = %(day)s), 0)::bigint AS day_prompts,
       coalesce(sum(CASE kind WHEN 'settlement' THEN 1 ELSE -1 END) FILTER (WHERE day = %(day)s), 0)::bigint
           AS day_requests,
       CASE WHEN bool_and(daily_limit IS NOT NULL) FILTER (WHERE day = %(day)s)
            THEN max(daily_limit) FILTER (WHERE day = %(day)s) END AS day_limit,
       coalesce(sum(prompts) FILTER (WHERE month = %(month)s), 0)::bigint AS month_prompts,
       CASE WHEN bool_and(monthly_limit IS NOT NULL) FILTER (WHERE month = %(month)s)
            THEN max(monthly_limit) FILTER (WHERE month = %(month)s) END AS month_limit
FROM billing.ledger
WHERE kind IN ('settlement', 'reversal') AND stream_sequence <= %(through)s
  AND day BETWEEN %(from_day)s AND %(to_day)s AND (%(account)s::uuid IS NULL OR account_id = %(account)s)
GROUP BY account_id ORDER BY account_id
"""
DAYS = """
SELECT least((SELECT min(day) FROM billing.ledger), (SELECT min(day) FROM pg_temp.firsts)),
       greatest((SELECT max(day) FROM billing.ledger), (SELECT max(day) FROM pg_temp.firsts),
                (clock_timestamp() AT TIME ZONE 'UTC')::date),
       (clock_timestamp() AT TIME ZONE 'UTC')::date
"""
EARLIEST = """
SELECT min(stream_sequence) FROM billing.ledger
WHERE kind = 'settlement' AND day = %(day)s AND stream_sequence >= %(first)s
"""
COUNTED = "SELECT (SELECT count(*) FROM pg_temp.told), (SELECT count(*) FROM pg_temp.firsts)"
NOTE_WHOLE = """
INSERT INTO billing.verified_heads AS v (account_id, sequence, hash)
SELECT * FROM unnest(%(accounts)s::uuid[], %(sequences)s::bigint[], %(hashes)s::text[])
ON CONFLICT (account_id) DO UPDATE SET sequence = excluded.sequence, hash = excluded.hash
WHERE v.sequence <= excluded.sequence
"""

_CHAIN_COLUMNS = f"""
{", ".join(f"l.{name}" for name in LINE_COLUMNS.split(", "))}, h.sequence, h.hash, v.sequence, v.hash
"""
CHAIN = f"""
SELECT {_CHAIN_COLUMNS}
FROM billing.ledger AS l
LEFT JOIN billing.ledger_heads AS h ON h.account_id = l.account_id
LEFT JOIN billing.verified_heads AS v ON v.account_id = l.account_id
WHERE (%(account)s::uuid IS NULL OR l.account_id = %(account)s)
ORDER BY l.account_id, l.sequence
"""
GROWN_CHAIN = f"""
SELECT {_CHAIN_COLUMNS}
FROM billing.ledger_heads AS h
LEFT JOIN billing.verified_heads AS v ON v.account_id = h.account_id
JOIN billing.ledger AS l ON l.account_id = h.account_id AND l.sequence > coalesce(v.sequence, 0)
WHERE (h.sequence, h.hash) IS DISTINCT FROM (v.sequence, v.hash)
ORDER BY l.account_id, l.sequence
"""
# A head, or a place that was whole before, without any line; of the grown ones: without any line beyond that place.
HEADLESS = """
SELECT coalesce(h.account_id, v.account_id) AS account_id, h.sequence AS head_sequence, h.hash AS head_hash,
       v.sequence AS verified_sequence, v.hash AS verified_hash
FROM billing.ledger_heads AS h FULL JOIN billing.verified_heads AS v ON v.account_id = h.account_id
WHERE greatest(h.sequence, v.sequence) > 0
  AND (NOT %(is_grown)s OR (h.sequence, h.hash) IS DISTINCT FROM (v.sequence, v.hash))
  AND (%(account)s::uuid IS NULL OR coalesce(h.account_id, v.account_id) = %(account)s)
  AND NOT EXISTS (SELECT FROM billing.ledger AS l WHERE l.account_id = coalesce(h.account_id, v.account_id)
                  AND l.sequence > CASE WHEN %(is_grown)s THEN coalesce(v.sequence, 0) ELSE 0 END)
ORDER BY 1
"""
