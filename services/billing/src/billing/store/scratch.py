"""A ledger beside the ledger: the tables of billing once more, as temporary ones, written by the service's own code.

The service's statements name their tables with the schema. Over this connection the same statements name the
temporary ones: so what is rebuilt is rebuilt by the code that built it, and the real tables are out of reach.
"""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg import IsolationLevel

from billing.domain.chain import canonical_json, decimals
from billing.domain.lines import Settlement
from billing.store.ledger import record
from billing.store.session import schema_errors
from chassis import database

_OPTIONS = "-c timezone=UTC -c jit=off -c work_mem=32MB"
_TABLES = ("ledger", "ledger_heads", "settlement_conflicts")
_OWN = re.compile(rf"\bbilling\.({'|'.join(_TABLES)})\b")
_PREPARE = tuple(f"CREATE TEMPORARY TABLE {name} (LIKE billing.{name} INCLUDING ALL)" for name in _TABLES)
# By hand, after many lines: temporary tables are not looked after by autovacuum.
_ANALYZE = "ANALYZE pg_temp.ledger, pg_temp.ledger_heads"
_ANALYZE_EVERY = 20_000

# What was used, by everything that a bill is made of. Lines that were taken back cancel each other out. Requests whose
# first settlement the stream no longer has are left out on both sides.
_TOTALS = """
SELECT l.account_id, l.day, l.month, l.plan, l.outcome, l.cost_currency,
       sum(CASE l.kind WHEN 'settlement' THEN 1 ELSE -1 END)::bigint, sum(l.prompts)::bigint,
       sum(l.input_tokens)::numeric(38), sum(l.cached_input_tokens)::numeric(38), sum(l.output_tokens)::numeric(38),
       sum(l.reasoning_tokens)::numeric(38), coalesce(sum(l.cost), 0)::numeric(48, 10)
FROM {ledger} AS l
WHERE l.kind IN ('settlement', 'reversal') AND l.stream_sequence BETWEEN %(first)s AND %(through)s
  AND (%(first)s = 1 OR NOT EXISTS (
      SELECT FROM billing.ledger AS e
      WHERE e.request_id = l.request_id AND e.kind = 'settlement' AND e.stream_sequence < %(first)s))
GROUP BY 1, 2, 3, 4, 5, 6
HAVING (sum(CASE l.kind WHEN 'settlement' THEN 1 ELSE -1 END), sum(l.prompts), sum(l.input_tokens),
        sum(l.cached_input_tokens), sum(l.output_tokens), sum(l.reasoning_tokens), coalesce(sum(l.cost), 0))
       IS DISTINCT FROM (0, 0, 0, 0, 0, 0, 0)
ORDER BY 1, 2, 3, l.plan COLLATE "C", l.outcome COLLATE "C", l.cost_currency COLLATE "C" NULLS FIRST
"""
_SUMS = ("lines", "prompts", "input_tokens", "cached_input_tokens", "output_tokens", "reasoning_tokens")
# How the lines are ordered, and the line itself: canonical JSON, without the end of line.
Total = tuple[tuple[str, ...], bytes]
Totals = AsyncGenerator[Total, None]


class _Moved(psycopg.AsyncConnection):
    """The statements of the service, on the temporary tables."""

    # psycopg's own signature leaves the rows open.
    async def execute(self, query: Any, params: Any = None, **how: Any) -> Any:
        text = query.decode() if isinstance(query, bytes) else query
        return await super().execute(_OWN.sub(r"pg_temp.\1", text).encode(), params, **how)


class Scratch:
    """The scratch tables of one session."""

    def __init__(self, connection: _Moved) -> None:
        self._connection = connection
        self._recorded = 0

    async def record(self, settlements: Sequence[Settlement]) -> Sequence[Settlement]:
        """What the service does with a batch of settlements; returned are those that it would give up."""
        refused: list[Settlement] = []
        try:
            await record(self._connection, settlements)
        except (psycopg.DataError, psycopg.IntegrityError, ArithmeticError):
            if len(settlements) == 1:
                return settlements
            for settlement in settlements:
                refused += await self.record([settlement])
            return refused
        before, self._recorded = self._recorded, self._recorded + len(settlements)
        if before // _ANALYZE_EVERY != self._recorded // _ANALYZE_EVERY:
            await self._connection.execute(_ANALYZE)
        return refused

    @asynccontextmanager
    async def totals(self, *, first: int, through: int) -> AsyncIterator[tuple[Totals, Totals]]:
        """Of the ledger and of the scratch ledger, as of one moment, for messages from `first` to `through`."""
        await self._connection.set_isolation_level(IsolationLevel.REPEATABLE_READ)
        async with self._connection.transaction():
            yield (
                self._totals("billing.ledger", first=first, through=through),
                self._totals("pg_temp.ledger", first=first, through=through),
            )

    async def _totals(self, ledger: str, *, first: int, through: int) -> AsyncGenerator[Total, None]:
        async with self._connection.cursor(f"totals of {ledger}") as cursor:
            await cursor.execute(_TOTALS.format(ledger=ledger).encode(), {"first": first, "through": through})
            async for row in cursor:
                yield _total(row)


@asynccontextmanager
async def scratch(url: str) -> AsyncIterator[Scratch]:
    """Empty scratch tables, gone on the way out. Raises `StoreAway`."""
    with schema_errors(), database.store_errors():
        connection = await _Moved.connect(url, autocommit=True, connect_timeout=5, options=_OPTIONS)
        try:
            for statement in _PREPARE:
                await psycopg.AsyncConnection.execute(connection, statement.encode())
            yield Scratch(connection)
        finally:
            await connection.close()


def _total(row: Sequence[Any]) -> Total:
    account_id, day, month, plan, outcome, currency, *sums, cost = row
    key = (str(account_id), day.isoformat(), month.isoformat(), plan, outcome, currency or "")
    names = ("account_id", "day", "month", "plan", "outcome")
    said: dict[str, object] = dict(zip(names, key, strict=False))
    said |= {name: int(value) for name, value in zip(_SUMS, sums, strict=True)}
    return key, canonical_json(said | {"cost": decimals(cost), "cost_currency": currency})
