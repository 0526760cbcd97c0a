"""Suspension of accounts, and what `Idempotency-Key` keeps. Expands only: the release before goes on."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ZERO = sa.text("0")


def upgrade() -> None:
    _extend_accounts()
    _create_idempotency()
    _create_replays()
    op.execute(
        "GRANT UPDATE (suspended_at, suspension_reason, suspension_revision, suspension_told) "
        'ON gateway.accounts TO "gateway"'
    )
    op.execute('GRANT SELECT, INSERT, UPDATE, DELETE ON gateway.idempotency TO "gateway"')
    op.execute('GRANT SELECT, INSERT, DELETE ON gateway.replays TO "gateway"')


def _extend_accounts() -> None:
    for column in (
        sa.Column("suspended_at", sa.DateTime(timezone=True)),
        sa.Column("suspension_reason", sa.Text()),
        sa.Column("suspension_revision", sa.BigInteger(), nullable=False, server_default=ZERO),
        sa.Column("suspension_told", sa.BigInteger(), nullable=False, server_default=ZERO),
    ):
        op.add_column("accounts", column, schema="gateway")
    op.create_index(
        "accounts_untold",
        "accounts",
        ["account_id"],
        schema="gateway",
        postgresql_where=sa.text("suspension_told < suspension_revision"),
    )


def _create_idempotency() -> None:
    op.create_table(
        "idempotency",
        sa.Column("account_id", sa.Uuid(), primary_key=True),
        sa.Column("key_digest", sa.LargeBinary(), primary_key=True),
        sa.Column("body_digest", sa.LargeBinary(), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("status", sa.Integer()),
        sa.Column("headers", JSONB()),
        sa.Column("body", sa.LargeBinary()),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("held_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("state IN ('running', 'done')", name="idempotency_state"),
        schema="gateway",
    )
    op.create_index(
        "idempotency_running",
        "idempotency",
        ["request_id"],
        schema="gateway",
        postgresql_where=sa.text("state = 'running'"),
    )
    op.create_index("idempotency_expires_at", "idempotency", ["expires_at"], schema="gateway")


def _create_replays() -> None:
    op.create_table(
        "replays",
        sa.Column("request_id", sa.Uuid(), primary_key=True),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("replay_of", sa.Uuid(), nullable=False),
        sa.Column("replayed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("trace_id", sa.Text()),
        schema="gateway",
    )
    op.create_index("replays_replayed_at", "replays", ["replayed_at"], schema="gateway")


def downgrade() -> None:
    op.drop_table("replays", schema="gateway")
    op.drop_table("idempotency", schema="gateway")
    op.drop_index("accounts_untold", "accounts", schema="gateway")
    for name in ("suspension_told", "suspension_revision", "suspension_reason", "suspended_at"):
        op.drop_column("accounts", name, schema="gateway")
