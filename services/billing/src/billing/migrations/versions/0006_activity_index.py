"""The days of an account are summed from an index alone. Expands only.

Building it keeps the ledger from being written for some two seconds per million lines; settlements wait in their stream
meanwhile. On a ledger of many millions, build it beforehand under its name with CREATE INDEX CONCURRENTLY: it is then
taken as it is.
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

BY_DAY = "ledger_account_id_day_idx"


def upgrade() -> None:
    op.create_index(
        "ledger_activity_idx",
        "ledger",
        ["account_id", "day"],
        schema="billing",
        postgresql_include=["outcome", "kind", "prompts"],
        if_not_exists=True,
    )
    # Its first columns are those of the new one.
    op.drop_index(BY_DAY, table_name="ledger", schema="billing")
    # An index answers alone only for pages that a vacuum has seen. By default it comes when a fifth is new, which can
    # be the whole month that everybody looks at; by number it visits the new pages only, and often.
    op.execute(
        "ALTER TABLE billing.ledger SET"
        " (autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 50000)"
    )


def downgrade() -> None:
    op.execute(
        "ALTER TABLE billing.ledger RESET (autovacuum_vacuum_insert_scale_factor, autovacuum_vacuum_insert_threshold)"
    )
    op.create_index(BY_DAY, "ledger", ["account_id", "day"], schema="billing")
    op.drop_index("ledger_activity_idx", table_name="ledger", schema="billing")
