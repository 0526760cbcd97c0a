"""What comparisons of the books found, and up to where each chain was whole. Expands only."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

UTC = sa.DateTime(timezone=True)


def upgrade() -> None:
    # Lines are written nearly in this order: an index of ranges is a few pages.
    op.create_index(
        "ledger_stream_sequence_idx", "ledger", ["stream_sequence"], schema="billing", postgresql_using="brin"
    )
    # Rare, and looked at every minute.
    op.create_index(
        "ledger_reversals_idx", "ledger", ["id"], schema="billing", postgresql_where=sa.text("kind = 'reversal'")
    )
    for name in ("ledger_stream_sequence_idx", "ledger_posted_on_idx"):
        op.execute(f"ALTER INDEX billing.{name} SET (autosummarize = on)")
    op.create_table(
        "verified_heads",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", name="verified_heads_pkey"),
        schema="billing",
    )
    op.create_table(
        "reconciliations",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("asked_by", sa.String(), nullable=False),
        sa.Column("day", sa.Date(), nullable=True),
        sa.Column("account_id", sa.Uuid(), nullable=True),
        sa.Column("started_at", UTC, nullable=False),
        sa.Column("finished_at", UTC, nullable=False),
        sa.Column("from_sequence", sa.BigInteger(), nullable=False),
        sa.Column("through_sequence", sa.BigInteger(), nullable=False),
        sa.Column("result", sa.String(), nullable=False),
        sa.Column("found", sa.Integer(), nullable=False),
        *(sa.Column(name, postgresql.JSONB(), nullable=False) for name in ("differences", "notes", "figures")),
        sa.CheckConstraint("result IN ('equal', 'different', 'not_comparable')", name="reconciliations_result_check"),
        sa.PrimaryKeyConstraint("id", name="reconciliations_pkey"),
        schema="billing",
    )
    op.create_index("reconciliations_finished_at_idx", "reconciliations", ["finished_at"], schema="billing")
    op.execute("GRANT SELECT, INSERT, UPDATE (sequence, hash) ON billing.verified_heads TO billing")
    # Comparisons are no books: those that found nothing are forgotten after a while.
    op.execute("GRANT SELECT, INSERT, DELETE ON billing.reconciliations TO billing")


def downgrade() -> None:
    op.drop_table("reconciliations", schema="billing")
    op.drop_table("verified_heads", schema="billing")
    op.drop_index("ledger_reversals_idx", table_name="ledger", schema="billing")
    op.drop_index("ledger_stream_sequence_idx", table_name="ledger", schema="billing")
    op.execute("ALTER INDEX billing.ledger_posted_on_idx RESET (autosummarize)")
