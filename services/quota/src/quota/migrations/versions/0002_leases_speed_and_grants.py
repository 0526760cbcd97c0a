"""Leases, speed, suspension, plans with their own effective time, grants. Expands only: the last release goes on."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

UTC = sa.DateTime(timezone=True)
ZERO, FALSE, EMPTY = sa.text("0"), sa.text("false"), sa.text("''")

COLUMNS = {
    "accounts": (
        sa.Column("version", sa.BigInteger(), nullable=False, server_default=ZERO),
        sa.Column("is_suspended", sa.Boolean(), nullable=False, server_default=FALSE),
        sa.Column("suspension_revision", sa.BigInteger(), nullable=False, server_default=ZERO),
        sa.Column("extra", sa.Integer(), nullable=False, server_default=ZERO),
        sa.Column("changes_at", UTC, nullable=True),
        sa.Column("in_flight", sa.Integer(), nullable=False, server_default=ZERO),
        sa.Column("rate_full_at", UTC, nullable=True),
    ),
    "windows": (sa.Column("drawn", sa.Integer(), nullable=False, server_default=ZERO),),
    "reservations": (
        # Whoever held a prompt before there were leases never renews one: an hour, then it is swept.
        sa.Column("lease_until", UTC, nullable=False, server_default=sa.text("now() + interval '1 hour'")),
        sa.Column("grant_id", sa.Uuid(), nullable=True),
        sa.Column("alias", sa.String(), nullable=False, server_default=EMPTY),
        sa.Column("endpoint", sa.String(), nullable=False, server_default=EMPTY),
        sa.Column("is_stream", sa.Boolean(), nullable=False, server_default=FALSE),
        sa.Column("trace_id", sa.String(), nullable=True),
    ),
}

GRANTS = (
    """GRANT UPDATE (version, is_suspended, suspension_revision, extra, changes_at, in_flight, rate_full_at)
       ON quota.accounts TO quota""",
    "GRANT UPDATE (drawn) ON quota.windows TO quota",
    "GRANT UPDATE (lease_until) ON quota.reservations TO quota",
    "GRANT SELECT, INSERT ON quota.plan_changes TO quota",
    "GRANT SELECT, INSERT, UPDATE (taken) ON quota.grants TO quota",
)

COUNT_IN_FLIGHT = """
UPDATE quota.accounts AS a SET in_flight = o.number
FROM (SELECT account_id, count(*) AS number FROM quota.reservations WHERE outcome IS NULL GROUP BY account_id) AS o
WHERE o.account_id = a.account_id
"""


def upgrade() -> None:
    for table, columns in COLUMNS.items():
        for column in columns:
            op.add_column(table, column, schema="quota")
    op.create_check_constraint("windows_drawn_check", "windows", "drawn >= 0", schema="quota")
    _create_tables()
    _create_indexes()
    op.execute(COUNT_IN_FLIGHT)
    # Room in each page for the next version of a row, as in the tables that it is drawn beside.
    op.execute("ALTER TABLE quota.grants SET (fillfactor = 50)")
    for grant in GRANTS:
        op.execute(grant)


def downgrade() -> None:
    op.drop_index("reservations_day_account_id_idx", table_name="reservations", schema="quota")
    op.drop_index("reservations_settled_sequence_idx", table_name="reservations", schema="quota")
    op.drop_index("reservations_open_idx", table_name="reservations", schema="quota")
    op.drop_table("grants", schema="quota")
    op.drop_table("plan_changes", schema="quota")
    for table, columns in COLUMNS.items():
        for column in reversed(columns):
            op.drop_column(table, column.name, schema="quota")


def _create_tables() -> None:
    op.create_table(
        "plan_changes",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("plan", sa.String(), nullable=False),
        sa.Column("effective_at", UTC, nullable=False),
        sa.PrimaryKeyConstraint("account_id", "revision", name="plan_changes_pkey"),
        schema="quota",
    )
    op.create_table(
        "grants",
        sa.Column("grant_id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("prompts", sa.Integer(), nullable=False),
        sa.Column("taken", sa.Integer(), nullable=False, server_default=ZERO),
        sa.Column("starts_at", UTC, nullable=False),
        sa.Column("ends_at", UTC, nullable=False),
        sa.PrimaryKeyConstraint("grant_id", name="grants_pkey"),
        sa.CheckConstraint("prompts > 0", name="grants_prompts_check"),
        sa.CheckConstraint("taken >= 0", name="grants_taken_check"),
        schema="quota",
    )


def _create_indexes() -> None:
    op.create_index("grants_account_id_ends_at_idx", "grants", ["account_id", "ends_at"], schema="quota")
    op.create_index(
        "reservations_open_idx",
        "reservations",
        ["lease_until"],
        schema="quota",
        postgresql_where=sa.text("outcome IS NULL"),
    )
    op.create_index(
        "reservations_settled_sequence_idx",
        "reservations",
        ["settled_sequence"],
        schema="quota",
        postgresql_where=sa.text("settled_sequence IS NOT NULL"),
    )
    op.create_index("reservations_day_account_id_idx", "reservations", ["day", "account_id"], schema="quota")
