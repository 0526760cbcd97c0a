"""Accounts and service tokens, and what the runtime role may do with them: never delete, never change an identity."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    _create_accounts()
    _create_tokens()
    op.execute('GRANT SELECT, INSERT, UPDATE (announced_at) ON gateway.accounts TO "gateway"')
    op.execute('GRANT SELECT, INSERT, UPDATE (revoked_at, blocked_at, last_used_at) ON gateway.tokens TO "gateway"')


def _create_accounts() -> None:
    op.create_table(
        "accounts",
        sa.Column("account_id", sa.Uuid(), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False, unique=True),
        sa.Column("plan", sa.Text()),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("announced_at", sa.DateTime(timezone=True)),
        schema="gateway",
    )
    op.create_index(
        "accounts_unannounced",
        "accounts",
        ["opened_at"],
        schema="gateway",
        postgresql_where=sa.text("announced_at IS NULL"),
    )


def _create_tokens() -> None:
    op.create_table(
        "tokens",
        sa.Column("token_id", sa.Uuid(), primary_key=True),
        sa.Column("account_id", sa.Uuid(), sa.ForeignKey("gateway.accounts.account_id"), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False, unique=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("scopes", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("last_four", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.Column("revoked_at", sa.DateTime(timezone=True)),
        sa.Column("blocked_at", sa.DateTime(timezone=True)),
        sa.Column("last_used_at", sa.DateTime(timezone=True)),
        schema="gateway",
    )
    op.create_index("ix_gateway_tokens_account_id", "tokens", ["account_id"], schema="gateway")
    op.create_index(
        "tokens_unblocked",
        "tokens",
        ["revoked_at"],
        schema="gateway",
        postgresql_where=sa.text("revoked_at IS NOT NULL AND blocked_at IS NULL"),
    )


def downgrade() -> None:
    op.drop_table("tokens", schema="gateway")
    op.drop_table("accounts", schema="gateway")
