"""Makes a ledger of yesterday out of one of today: only a day that is over can be closed."""

from datetime import UTC, timedelta
from uuid import UUID

import psycopg

from billing.domain.chain import Head, append
from billing.store.rows import LINE_COLUMNS, posted

_MOVED = """
CREATE TEMPORARY TABLE moved (
    id bigint PRIMARY KEY, recorded_at timestamptz, posted_on date, previous_hash text, hash text, account_id uuid,
    sequence bigint
)
"""
_MOVE = """
UPDATE billing.ledger AS l
SET recorded_at = m.recorded_at, posted_on = m.posted_on, previous_hash = m.previous_hash, hash = m.hash
FROM pg_temp.moved AS m WHERE m.id = l.id
"""
_MOVE_HEADS = """
UPDATE billing.ledger_heads AS h SET hash = m.hash
FROM pg_temp.moved AS m WHERE m.account_id = h.account_id AND m.sequence = h.sequence
"""


async def backdate(admin_url: str, *, days: int) -> int:
    """All lines as if they had been written that many days earlier, with the chain that they would have then.

    How many there are.
    """
    head, of = Head(), UUID(int=0)
    lines = 0
    async with (
        await psycopg.AsyncConnection.connect(admin_url) as reading,
        await psycopg.AsyncConnection.connect(admin_url) as writing,
    ):
        await writing.execute(_MOVED)
        async with (
            reading.cursor("lines") as cursor,
            writing.cursor() as target,
            target.copy("COPY pg_temp.moved FROM STDIN") as copy,
        ):
            cursor.itersize = 1000
            await cursor.execute(f"SELECT {LINE_COLUMNS} FROM billing.ledger ORDER BY account_id, sequence".encode())
            async for row in cursor:
                found = posted(row)
                if found.entry.account_id != of:
                    head, of = Head(), found.entry.account_id
                then = found.line.recorded_at.astimezone(UTC) - timedelta(days=days)
                (link,), head = append(head, [found.entry], recorded_at=then, posted_on=then.date())
                await copy.write_row(
                    (found.id, then, then.date(), link.line.previous_hash, head.hash, of, head.sequence)
                )
                lines += 1
        await reading.rollback()
        for statement in (_MOVE, _MOVE_HEADS):
            await writing.execute(statement)
        await writing.commit()
        await writing.set_autocommit(True)
        await writing.execute("VACUUM ANALYZE billing.ledger")
    return lines
