"""Wishes for a larger plan, and what payment providers told of them. Expands only."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

UTC = sa.DateTime(timezone=True)


def upgrade() -> None:
    _create_upgrades()
    _create_payment_events()
    _grant()


def downgrade() -> None:
    op.drop_table("payment_events", schema="billing")
    op.drop_table("upgrades", schema="billing")


def _create_upgrades() -> None:
    op.create_table(
        "upgrades",
        sa.Column("upgrade_id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("plan", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("requested_at", UTC, nullable=False),
        sa.Column("decided_at", UTC, nullable=True),
        *(sa.Column(name, sa.String(), nullable=False) for name in ("actor", "reason")),
        *(
            sa.Column(f"payment_{name}", sa.String(), nullable=True)
            for name in ("reference", "url", "currency", "subscription", "plan")
        ),
        sa.Column("payment_amount", sa.BigInteger(), nullable=True),
        *(sa.Column(f"payment_{name}", UTC, nullable=True) for name in ("told_at", "ended_at")),
        sa.CheckConstraint("state IN ('pending', 'approved', 'declined', 'withdrawn')", name="upgrades_state_check"),
        sa.CheckConstraint("(state = 'pending') = (decided_at IS NULL)", name="upgrades_decided_check"),
        sa.ForeignKeyConstraint(["account_id"], ["billing.subscriptions.account_id"], name="upgrades_account_id_fkey"),
        sa.PrimaryKeyConstraint("upgrade_id", name="upgrades_pkey"),
        schema="billing",
    )
    op.create_index(
        "upgrades_account_id_requested_at_idx", "upgrades", ["account_id", "requested_at"], schema="billing"
    )
    op.create_index("upgrades_requested_at_idx", "upgrades", ["requested_at"], schema="billing")
    for name, column, condition in (
        ("pending", "account_id", "state = 'pending'"),
        ("payment_reference", "payment_reference", "payment_reference IS NOT NULL"),
        ("payment_subscription", "payment_subscription", "payment_subscription IS NOT NULL"),
    ):
        op.create_index(
            f"upgrades_{name}_idx",
            "upgrades",
            [column],
            unique=True,
            schema="billing",
            postgresql_where=sa.text(condition),
        )


def _create_payment_events() -> None:
    op.create_table(
        "payment_events",
        *(sa.Column(name, sa.String(), nullable=False) for name in ("provider", "event_id", "kind", "subject")),
        sa.Column("told_at", UTC, nullable=False),
        sa.Column("received_at", UTC, server_default=sa.func.now(), nullable=False),
        *(sa.Column(name, sa.String(), nullable=False) for name in ("effect", "note")),
        sa.Column("upgrade_id", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(["upgrade_id"], ["billing.upgrades.upgrade_id"], name="payment_events_upgrade_id_fkey"),
        sa.PrimaryKeyConstraint("provider", "event_id", name="payment_events_pkey"),
        schema="billing",
    )
    for name in ("received_at", "subject"):
        op.create_index(f"payment_events_{name}_idx", "payment_events", [name], schema="billing")


def _grant() -> None:
    # What a customer wished for stays as it was wished; only what became of it is written later.
    op.execute(
        "GRANT SELECT, INSERT, UPDATE (state, decided_at, actor, reason, payment_url, payment_subscription,"
        " payment_plan, payment_told_at, payment_ended_at) ON billing.upgrades TO billing"
    )
    op.execute("GRANT SELECT, INSERT ON billing.payment_events TO billing")
