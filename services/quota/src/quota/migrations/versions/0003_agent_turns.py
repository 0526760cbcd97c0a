"""Agent turns: requests that ride on the prompt of an earlier one. Expands only: the last release goes on."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

COLUMNS = {
    "reservations": (
        sa.Column("answers", sa.Integer(), nullable=True),
        sa.Column("ended_as", sa.String(), nullable=True),
    ),
    "settlement_conflicts": (sa.Column("ended_as", sa.String(), nullable=True),),
}

# The last release writes no `ended_as`. It would give back a prompt that a continuation never held: its fold fails
# instead, and the settlement comes again, to a replica of this release. There are no such rows yet: none is looked at.
NO_END_BY_THE_LAST_RELEASE = """
ALTER TABLE quota.reservations ADD CONSTRAINT reservations_continuation_check
CHECK (answers IS NULL OR outcome IS NULL OR ended_as IS NOT NULL) NOT VALID
"""

GRANTS = (
    "GRANT UPDATE (ended_as) ON quota.reservations TO quota",
    "GRANT SELECT, INSERT, UPDATE (calls, answered), DELETE ON quota.turns TO quota",
)


def upgrade() -> None:
    for table, columns in COLUMNS.items():
        for column in columns:
            op.add_column(table, column, schema="quota")
    op.execute(NO_END_BY_THE_LAST_RELEASE)
    op.create_table(
        "turns",
        sa.Column("turn_id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("calls", sa.Integer(), nullable=False),
        sa.Column("answered", sa.ARRAY(sa.Integer()), nullable=False),
        sa.PrimaryKeyConstraint("turn_id", "account_id", name="turns_pkey"),
        schema="quota",
    )
    op.create_index(
        "reservations_answering_idx",
        "reservations",
        ["turn_id", "account_id"],
        schema="quota",
        postgresql_where=sa.text("answers IS NOT NULL AND outcome IS NULL"),
    )
    op.create_index("turns_opened_at_idx", "turns", ["opened_at"], schema="quota")
    # Room in each page for the next version of a row: a call changes no index.
    op.execute("ALTER TABLE quota.turns SET (fillfactor = 50)")
    for grant in GRANTS:
        op.execute(grant)


def downgrade() -> None:
    op.drop_table("turns", schema="quota")
    op.drop_index("reservations_answering_idx", "reservations", schema="quota")
    op.drop_constraint("reservations_continuation_check", "reservations", schema="quota")
    for table, columns in COLUMNS.items():
        for column in reversed(columns):
            op.drop_column(table, column.name, schema="quota")
