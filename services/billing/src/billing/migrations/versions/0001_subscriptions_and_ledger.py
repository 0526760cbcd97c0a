"""Subscriptions with their history and outbox; the ledger and its conflicts, which can only grow."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

UTC = sa.DateTime(timezone=True)


def upgrade() -> None:
    _create_subscriptions()
    _create_ledger()
    _create_conflicts()
    _grant()


def downgrade() -> None:
    for table in ("settlement_conflicts", "ledger", "subscription_changes", "subscriptions"):
        op.drop_table(table, schema="billing")


def _create_subscriptions() -> None:
    op.create_table(
        "subscriptions",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("plan", sa.String(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("effective_at", UTC, nullable=False),
        sa.PrimaryKeyConstraint("account_id", name="subscriptions_pkey"),
        schema="billing",
    )
    op.create_table(
        "subscription_changes",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("plan", sa.String(), nullable=False),
        sa.Column("effective_at", UTC, nullable=False),
        sa.Column("recorded_at", UTC, server_default=sa.func.now(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("published_at", UTC, nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id"], ["billing.subscriptions.account_id"], name="subscription_changes_account_id_fkey"
        ),
        sa.PrimaryKeyConstraint("account_id", "revision", name="subscription_changes_pkey"),
        schema="billing",
    )
    op.create_index(
        "subscription_changes_outbox_idx",
        "subscription_changes",
        ["account_id", "revision"],
        schema="billing",
        postgresql_where=sa.text("published_at IS NULL"),
    )


def _create_ledger() -> None:
    op.create_table(
        "ledger",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        *(sa.Column(name, sa.Uuid(), nullable=False) for name in ("request_id", "account_id", "token_id", "turn_id")),
        sa.Column("call", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("prompts", sa.SmallInteger(), nullable=False),
        sa.Column("plan", sa.String(), nullable=False),
        sa.Column("plans_version", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.String(), nullable=False) for name in ("alias_asked", "alias_served", "endpoint")),
        sa.Column("is_stream", sa.Boolean(), nullable=False),
        sa.Column("target", sa.String(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        *(
            sa.Column(f"{kind}_tokens", sa.BigInteger(), nullable=False)
            for kind in ("input", "cached_input", "output", "reasoning")
        ),
        sa.Column("tokens_source", sa.String(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("event_time", UTC, nullable=False),
        sa.Column("recorded_at", UTC, server_default=sa.func.now(), nullable=False),
        sa.Column("stream_sequence", sa.BigInteger(), nullable=False),
        sa.Column("error_code", sa.String(), nullable=True),
        sa.Column("trace_id", sa.String(), nullable=True),
        sa.CheckConstraint("prompts IN (0, 1)", name="ledger_prompts_check"),
        sa.PrimaryKeyConstraint("id", name="ledger_pkey"),
        sa.UniqueConstraint("request_id", name="ledger_request_id_key"),
        schema="billing",
    )
    op.create_index("ledger_account_id_id_idx", "ledger", ["account_id", "id"], schema="billing")
    op.create_index("ledger_account_id_day_idx", "ledger", ["account_id", "day"], schema="billing")
    op.create_index("ledger_day_id_idx", "ledger", ["day", "id"], schema="billing")


def _create_conflicts() -> None:
    op.create_table(
        "settlement_conflicts",
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("stream_sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("payload", postgresql.JSONB(), nullable=False),
        sa.Column("recorded_at", UTC, server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("request_id", "stream_sequence", name="settlement_conflicts_pkey"),
        schema="billing",
    )


def _grant() -> None:
    # No UPDATE, DELETE or TRUNCATE on the ledger and its conflicts: what is written there stays as it was written.
    op.execute("GRANT SELECT, INSERT ON billing.ledger, billing.settlement_conflicts TO billing")
    op.execute("GRANT SELECT, INSERT, UPDATE (name, plan, revision, effective_at) ON billing.subscriptions TO billing")
    op.execute("GRANT SELECT, INSERT, UPDATE (published_at) ON billing.subscription_changes TO billing")
