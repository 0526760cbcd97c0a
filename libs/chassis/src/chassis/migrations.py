"""Migrations: each service carries its own, in its package, for its own schema and its own version table.

Run by the schema's owner role (`python -m <service> migrate`). They grant the runtime role, which has the service's
name, exactly what it needs. Services refuse readiness below the schema they need and tolerate a newer one
(`chassis.schema`).
"""

from importlib import import_module
from pathlib import Path

import alembic.command
from alembic import context
from alembic.config import Config
from sqlalchemy import MetaData, create_engine, pool, text

from chassis.database import sqlalchemy_url

LOCK_TIMEOUT_MS = 3000


def migrate(service: str, url: str) -> None:
    """Bring the schema of `service` to its newest revision."""
    alembic.command.upgrade(_config(service, url), "head")


def check(service: str, url: str) -> None:
    """Raise when tables and migrations have come apart."""
    alembic.command.check(_config(service, url))


def _config(service: str, url: str | None = None) -> Config:
    package = import_module(service).__file__
    if package is None:
        raise RuntimeError(f"{service} has no folder")
    config = Config()
    config.set_main_option("script_location", str(Path(package).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    if url is not None:
        config.attributes["url"] = url
    return config


def run_environment(metadata: MetaData) -> None:
    """The whole of a service's `env.py`. The schema is the one of `metadata`, and so is the runtime role's name."""
    schema = metadata.schema
    if schema is None:
        raise RuntimeError("tables of a service live in its own schema")
    engine = create_engine(sqlalchemy_url(context.config.attributes["url"]), poolclass=pool.NullPool)
    with engine.connect() as connection:
        connection.execute(text(f"SET lock_timeout = {LOCK_TIMEOUT_MS}"))
        # Two migrators at once: the second waits here and finds nothing left to do.
        connection.execute(text("SELECT pg_advisory_lock(hashtext(:name))"), {"name": f"migrate {schema}"})
        connection.commit()
        context.configure(
            connection=connection,
            target_metadata=metadata,
            version_table_schema=schema,
            include_schemas=True,
            include_name=lambda name, kind, _: name == schema if kind == "schema" else True,
            compare_server_default=True,
        )
        with context.begin_transaction():
            context.run_migrations()
            exists = connection.execute(text("SELECT to_regclass(:name)"), {"name": f"{schema}.alembic_version"})
            if exists.scalar() is not None:
                connection.execute(text(f'GRANT SELECT ON "{schema}".alembic_version TO "{schema}"'))
        connection.commit()
    engine.dispose()
