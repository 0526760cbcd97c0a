"""Responses that their owners may read again. Expands only: the release before goes on."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "responses",
        sa.Column("response_id", sa.Uuid(), primary_key=True),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("input_items", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        schema="gateway",
    )
    op.create_index("responses_account_id", "responses", ["account_id", "created_at"], schema="gateway")
    op.create_index("responses_expires_at", "responses", ["expires_at"], schema="gateway")
    # To lock the rows that it removes, a role must be allowed to change some column.
    op.execute('GRANT SELECT, INSERT, DELETE, UPDATE (expires_at) ON gateway.responses TO "gateway"')


def downgrade() -> None:
    op.drop_table("responses", schema="gateway")
