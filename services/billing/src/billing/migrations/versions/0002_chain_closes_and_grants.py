"""A chain through the ledger of every account, corrections, daily closes, grants.

Lines of release 0.1 are numbered and hashed here, per account in the order of their ids; what was not told then stays
null. A replica of 0.1 that still runs finds its conflict key gone, writes nothing and waits with its settlements.
"""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from billing.domain.chain import Head, append
from billing.domain.lines import Entry, Kind

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

UTC = sa.DateTime(timezone=True)
BATCH = 1000

TOLD_LATER: tuple[sa.Column[Any], ...] = (
    sa.Column("started_at", UTC, nullable=True),
    *(sa.Column(f"{span}_ms", sa.Numeric(18, 3), nullable=True) for span in ("admitted", "first_content", "total")),
    *(
        sa.Column(f"{window}_{figure}", sa.BigInteger(), nullable=True)
        for window in ("daily", "monthly")
        for figure in ("limit", "used", "remaining")
    ),
    *(sa.Column(f"{window}_resets_at", UTC, nullable=True) for window in ("daily", "monthly")),
    sa.Column("cost", sa.Numeric(24, 10), nullable=True),
    sa.Column("cost_currency", sa.String(), nullable=True),
    sa.Column("corrects", sa.BigInteger(), nullable=True),
)
# Empty for what is there already; after this migration whoever writes has to say it.
SAID_BY_ALL: tuple[sa.Column[Any], ...] = (
    sa.Column("kind", sa.String(), nullable=False, server_default=Kind.SETTLEMENT.value),
    sa.Column("revision", sa.Integer(), nullable=False, server_default="0"),
    *(sa.Column(name, sa.String(), nullable=False, server_default="") for name in ("author", "reason", "settled_by")),
)
PLACE: tuple[sa.Column[Any], ...] = (
    sa.Column("sequence", sa.BigInteger(), nullable=True),
    sa.Column("previous_hash", sa.String(), nullable=True),
    sa.Column("hash", sa.String(), nullable=True),
    sa.Column("posted_on", sa.Date(), nullable=True),
)
PROMPTS = (
    "CASE kind WHEN 'settlement' THEN prompts IN (0, 1) WHEN 'reversal' THEN prompts IN (0, -1)"
    " WHEN 'credit_note' THEN prompts <> 0 ELSE true END"
)
CORRECTS = "(kind = 'settlement') = (corrects IS NULL) AND (kind = 'settlement' OR (author <> '' AND reason <> ''))"
CHECKS = {
    "kind": "kind IN ('settlement', 'reversal', 'credit_note', 'correction')",
    "prompts": PROMPTS,
    "corrects": CORRECTS,
    "cost": "(cost IS NULL) = (cost_currency IS NULL)",
}


def upgrade() -> None:
    # Nobody writes from here on: what is numbered below is all there is.
    op.execute("LOCK TABLE billing.ledger IN ACCESS EXCLUSIVE MODE")
    for column in (*TOLD_LATER, *SAID_BY_ALL, *PLACE):
        op.add_column("ledger", column, schema="billing")
    _create_heads()
    _chain_what_is_there()
    _tighten()
    _create_closes()
    _create_grants()
    _grant()


def downgrade() -> None:
    for table in ("grants", "closes", "ledger_heads"):
        op.drop_table(table, schema="billing")
    # Lines that 0001 has no words for must not be thrown away in silence: its unique key refuses them.
    op.create_unique_constraint("ledger_request_id_key", "ledger", ["request_id"], schema="billing")
    op.drop_constraint("ledger_request_id_revision_key", "ledger", schema="billing", type_="unique")
    op.drop_constraint("ledger_account_id_sequence_key", "ledger", schema="billing", type_="unique")
    op.drop_constraint("ledger_corrects_fkey", "ledger", schema="billing", type_="foreignkey")
    for name in CHECKS:
        op.drop_constraint(f"ledger_{name}_check", "ledger", schema="billing", type_="check")
    op.drop_index("ledger_posted_on_idx", "ledger", schema="billing")
    for column in (*TOLD_LATER, *SAID_BY_ALL, *PLACE):
        op.drop_column("ledger", column.name, schema="billing")
    op.create_check_constraint("ledger_prompts_check", "ledger", "prompts IN (0, 1)", schema="billing")
    op.create_index("ledger_account_id_id_idx", "ledger", ["account_id", "id"], schema="billing")


def _create_heads() -> None:
    op.create_table(
        "ledger_heads",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", name="ledger_heads_pkey"),
        schema="billing",
    )
    # Room in each page for the next version of a row: heads change with every batch.
    op.execute("ALTER TABLE billing.ledger_heads SET (fillfactor = 50)")


def _chain_what_is_there() -> None:
    """Numbers and hashes, with the same function that billing uses for every later line."""
    connection = op.get_bind()
    set_place = sa.text(
        "UPDATE billing.ledger SET sequence = :sequence, previous_hash = :previous_hash, hash = :hash, "
        "posted_on = :posted_on WHERE id = :id"
    )
    add_head = sa.text("INSERT INTO billing.ledger_heads VALUES (:account_id, :sequence, :hash)")
    heads: dict[UUID, Head] = {}
    for rows in _old_lines(connection).partitions(BATCH):
        places = []
        for row in rows:
            head = heads.get(row.account_id, Head())
            (link,), heads[row.account_id] = append(
                head, [_entry(row)], recorded_at=row.recorded_at, posted_on=row.recorded_on
            )
            place = {name: getattr(link.line, name) for name in ("sequence", "previous_hash", "hash", "posted_on")}
            places.append({"id": row.id, **place})
        connection.execute(set_place, places)
        # Only the account in hand goes on in the next thousand.
        done = [account_id for account_id in heads if account_id != rows[-1].account_id]
        _execute_all(connection, add_head, [_head(account_id, heads.pop(account_id)) for account_id in done])
    _execute_all(connection, add_head, [_head(account_id, head) for account_id, head in heads.items()])


def _old_lines(connection: sa.Connection) -> sa.CursorResult[Any]:
    """All lines by account, a thousand in memory at a time."""
    statement = (
        "SELECT *, (recorded_at AT TIME ZONE 'UTC')::date AS recorded_on FROM billing.ledger ORDER BY account_id, id"
    )
    return connection.execute(sa.text(statement), execution_options={"stream_results": True, "yield_per": BATCH})


def _entry(row: sa.Row[Any]) -> Entry:
    values = row._mapping
    return Entry(**{field.name: values[field.name] for field in fields(Entry)})


def _head(account_id: UUID, head: Head) -> dict[str, object]:
    return {"account_id": account_id, "sequence": head.sequence, "hash": head.hash}


def _execute_all(connection: sa.Connection, statement: sa.TextClause, rows: Sequence[dict[str, object]]) -> None:
    if rows:
        connection.execute(statement, rows)


def _tighten() -> None:
    """What every line has to say from now on, and the keys that protect the chain."""
    for column in PLACE:
        op.alter_column("ledger", column.name, nullable=False, schema="billing")
    for column in SAID_BY_ALL:
        op.alter_column("ledger", column.name, server_default=None, schema="billing")
    op.drop_constraint("ledger_prompts_check", "ledger", schema="billing", type_="check")
    for name, check in CHECKS.items():
        op.create_check_constraint(f"ledger_{name}_check", "ledger", check, schema="billing")
    op.drop_constraint("ledger_request_id_key", "ledger", schema="billing", type_="unique")
    for columns in (("account_id", "sequence"), ("request_id", "revision")):
        op.create_unique_constraint(f"ledger_{'_'.join(columns)}_key", "ledger", list(columns), schema="billing")
    op.create_foreign_key(
        "ledger_corrects_fkey",
        "ledger",
        "ledger",
        ["corrects"],
        ["id"],
        source_schema="billing",
        referent_schema="billing",
    )
    # The key on (account_id, sequence) serves what this one did.
    op.drop_index("ledger_account_id_id_idx", "ledger", schema="billing")
    op.create_index("ledger_posted_on_idx", "ledger", ["posted_on"], schema="billing", postgresql_using="brin")


def _create_closes() -> None:
    op.create_table(
        "closes",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("lines", sa.BigInteger(), nullable=False),
        sa.Column("totals", postgresql.JSONB(), nullable=False),
        *(
            sa.Column(name, sa.String(), nullable=False)
            for name in ("lines_digest", "previous_digest", "digest", "signature", "key_id")
        ),
        sa.Column("closed_at", UTC, nullable=False),
        sa.PrimaryKeyConstraint("day", name="closes_pkey"),
        schema="billing",
    )


def _create_grants() -> None:
    op.create_table(
        "grants",
        sa.Column("grant_id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("prompts", sa.Integer(), nullable=False),
        sa.Column("starts_at", UTC, nullable=False),
        sa.Column("ends_at", UTC, nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("recorded_at", UTC, server_default=sa.func.now(), nullable=False),
        sa.Column("published_at", UTC, nullable=True),
        sa.CheckConstraint("prompts > 0", name="grants_prompts_check"),
        sa.CheckConstraint("ends_at > starts_at", name="grants_span_check"),
        sa.ForeignKeyConstraint(["account_id"], ["billing.subscriptions.account_id"], name="grants_account_id_fkey"),
        sa.PrimaryKeyConstraint("grant_id", name="grants_pkey"),
        schema="billing",
    )
    op.create_index("grants_account_id_recorded_at_idx", "grants", ["account_id", "recorded_at"], schema="billing")
    op.create_index(
        "grants_outbox_idx",
        "grants",
        ["recorded_at"],
        schema="billing",
        postgresql_where=sa.text("published_at IS NULL"),
    )


def _grant() -> None:
    op.execute("GRANT SELECT, INSERT, UPDATE (sequence, hash) ON billing.ledger_heads TO billing")
    op.execute("GRANT SELECT, INSERT ON billing.closes TO billing")
    op.execute("GRANT SELECT, INSERT, UPDATE (published_at) ON billing.grants TO billing")
