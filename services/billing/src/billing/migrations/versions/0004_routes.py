"""Which way a request went, beside its ledger line. Expands only.

A column that may be null changes no row: it takes the table for a moment, and gives up where it would have to wait for
somebody who reads it for long (a whole comparison, for example). Run it again then. Lines that are there have no route,
and replicas of the release before go on writing theirs without one.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Rights to read and insert are those of the table, so nobody can change it afterwards.
    op.add_column("ledger", sa.Column("route", postgresql.JSONB(), nullable=True), schema="billing")


def downgrade() -> None:
    op.drop_column("ledger", "route", schema="billing")
