"""Entitlements, windows, reservations, blocked tokens and conflicts; the clock that decides which day it is."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

UTC = sa.DateTime(timezone=True)
TABLES = ("accounts", "windows", "reservations", "blocked_tokens", "settlement_conflicts")

GRANTS = (
    "GRANT SELECT, INSERT, UPDATE (plan, revision) ON quota.accounts TO quota",
    "GRANT SELECT, INSERT, UPDATE (used, reserved) ON quota.windows TO quota",
    "GRANT SELECT, INSERT, UPDATE (outcome, charged, settled_sequence, settled_at) ON quota.reservations TO quota",
    "GRANT SELECT, INSERT ON quota.blocked_tokens TO quota",
    "GRANT SELECT, INSERT ON quota.settlement_conflicts TO quota",
    "REVOKE ALL ON FUNCTION quota.clock() FROM PUBLIC",
    "GRANT EXECUTE ON FUNCTION quota.clock() TO quota",
)


def upgrade() -> None:
    # All windows hang on this one function. A test's database may replace it; the runtime role cannot.
    op.execute("CREATE FUNCTION quota.clock() RETURNS timestamptz LANGUAGE sql STABLE AS 'SELECT now()'")
    _create_accounts()
    _create_reservations()
    _create_refusals()
    # Room in each page for the next version of a row: counters then change without touching an index.
    for table in ("accounts", "windows", "reservations"):
        op.execute(f"ALTER TABLE quota.{table} SET (fillfactor = 50)")
    for grant in GRANTS:
        op.execute(grant)


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table, schema="quota")
    op.execute("DROP FUNCTION quota.clock()")


def _create_accounts() -> None:
    op.create_table(
        "accounts",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("plan", sa.String(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", name="accounts_pkey"),
        schema="quota",
    )
    op.create_table(
        "windows",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("starts_on", sa.Date(), nullable=False),
        sa.Column("used", sa.Integer(), nullable=False),
        sa.Column("reserved", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "kind", "starts_on", name="windows_pkey"),
        sa.CheckConstraint("kind IN ('day', 'month')", name="windows_kind_check"),
        sa.CheckConstraint("used >= 0", name="windows_used_check"),
        sa.CheckConstraint("reserved >= 0", name="windows_reserved_check"),
        schema="quota",
    )


def _create_reservations() -> None:
    op.create_table(
        "reservations",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("token_id", sa.Uuid(), nullable=False),
        sa.Column("gateway", sa.String(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("turn_id", sa.Uuid(), nullable=False),
        sa.Column("call", sa.Integer(), nullable=False),
        sa.Column("plan", sa.String(), nullable=False),
        sa.Column("plans_version", sa.Integer(), nullable=False),
        sa.Column("reserved_at", UTC, nullable=False),
        sa.Column("outcome", sa.String(), nullable=True),
        sa.Column("charged", sa.Boolean(), nullable=True),
        sa.Column("settled_sequence", sa.BigInteger(), nullable=True),
        sa.Column("settled_at", UTC, nullable=True),
        sa.PrimaryKeyConstraint("account_id", "request_id", name="reservations_pkey"),
        sa.CheckConstraint(
            "num_nulls(outcome, charged, settled_sequence, settled_at) IN (0, 4)",
            name="reservations_settled_whole_check",
        ),
        schema="quota",
    )


def _create_refusals() -> None:
    op.create_table(
        "blocked_tokens",
        sa.Column("token_id", sa.Uuid(), nullable=False),
        sa.Column("blocked_at", UTC, server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("token_id", name="blocked_tokens_pkey"),
        schema="quota",
    )
    op.create_table(
        "settlement_conflicts",
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("recorded_at", UTC, server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("request_id", "sequence", name="settlement_conflicts_pkey"),
        schema="quota",
    )
