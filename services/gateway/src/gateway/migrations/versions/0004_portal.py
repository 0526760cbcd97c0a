"""The portal's users, sessions, mail links and failed sign-ins. Expands only: the release before goes on."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _create_users()
    _create_sessions()
    _create_mail_links()
    op.create_table(
        "sign_in_failures",
        sa.Column("subject", sa.LargeBinary(), primary_key=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        schema="gateway",
    )
    op.create_index("sign_in_failures_last_at", "sign_in_failures", ["last_at"], schema="gateway")
    op.add_column("tokens", sa.Column("session_id", sa.Uuid()), schema="gateway")
    op.create_index(
        "tokens_session_id",
        "tokens",
        ["session_id"],
        schema="gateway",
        postgresql_where=sa.text("session_id IS NOT NULL"),
    )
    _grant()


def _create_users() -> None:
    op.create_table(
        "users",
        sa.Column("user_id", sa.Uuid(), primary_key=True),
        sa.Column("account_id", sa.Uuid(), sa.ForeignKey("gateway.accounts.account_id"), nullable=False, unique=True),
        sa.Column("email", sa.Text(), nullable=False, unique=True),
        sa.Column("password_hash", sa.Text()),
        sa.Column("password_changed_at", sa.DateTime(timezone=True)),
        sa.Column("oidc_issuer", sa.Text()),
        sa.Column("oidc_subject", sa.Text()),
        sa.Column("preferred_token_id", sa.Uuid()),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.UniqueConstraint("oidc_issuer", "oidc_subject"),
        schema="gateway",
    )


def _create_sessions() -> None:
    op.create_table(
        "sessions",
        sa.Column("session_id", sa.Uuid(), primary_key=True),
        sa.Column("user_id", sa.Uuid(), sa.ForeignKey("gateway.users.user_id"), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False, unique=True),
        sa.Column("browser", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("authenticated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        schema="gateway",
    )
    op.create_index("ix_gateway_sessions_user_id", "sessions", ["user_id"], schema="gateway")
    op.create_index("sessions_expires_at", "sessions", ["expires_at"], schema="gateway")


def _create_mail_links() -> None:
    op.create_table(
        "mail_links",
        sa.Column("digest", sa.LargeBinary(), primary_key=True),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text()),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("purpose IN ('sign_up', 'reset')", name="mail_links_purpose"),
        schema="gateway",
    )
    op.create_index("mail_links_expires_at", "mail_links", ["expires_at"], schema="gateway")
    op.create_index("mail_links_email", "mail_links", ["email"], schema="gateway")


def _grant() -> None:
    """Users stay; sessions, links and failures go when their time is over. A token's end may be brought forward."""
    op.execute(
        "GRANT SELECT, INSERT, UPDATE (password_hash, password_changed_at, oidc_issuer, oidc_subject,"
        ' preferred_token_id) ON gateway.users TO "gateway"'
    )
    op.execute(
        "GRANT SELECT, INSERT, DELETE, UPDATE (digest, authenticated_at, last_seen_at, expires_at)"
        ' ON gateway.sessions TO "gateway"'
    )
    op.execute('GRANT SELECT, INSERT, DELETE ON gateway.mail_links TO "gateway"')
    op.execute('GRANT SELECT, INSERT, DELETE, UPDATE (failures, last_at) ON gateway.sign_in_failures TO "gateway"')
    op.execute('GRANT UPDATE (expires_at) ON gateway.tokens TO "gateway"')


def downgrade() -> None:
    op.drop_index("tokens_session_id", "tokens", schema="gateway")
    op.drop_column("tokens", "session_id", schema="gateway")
    for table in ("sign_in_failures", "mail_links", "sessions", "users"):
        op.drop_table(table, schema="gateway")
