"""The product's database: one schema per service, an owner role that migrates it and a runtime role that works in it.

The same roles and schemas that an operator makes in a cluster, on the embedded server or on one that is given.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
from psycopg import sql

from devstack.errors import BadSetting
from devstack.folders import Keepsakes

SERVICES_WITH_TABLES = ("gateway", "quota", "billing")
DATABASE = "smartroute"
# Who compares the books folds the stream into temporary tables.
_WITH_SCRATCH_TABLES = ("billing",)


@dataclass(frozen=True, slots=True)
class Database:
    """One database with its roles. `admin_url` may do everything in it; `passwords` is by role name."""

    admin_url: str
    passwords: Mapping[str, str] = field(repr=False)

    @property
    def name(self) -> str:
        return urlsplit(self.admin_url).path.lstrip("/")

    def url(self, service: str) -> str:
        """For `serve`: the runtime role."""
        return _as_role(self.admin_url, service, self.passwords[service])

    def owner_url(self, service: str) -> str:
        """For `migrate`: the role that owns the schema."""
        return _as_role(self.admin_url, f"{service}_owner", self.passwords[f"{service}_owner"])


def roles() -> list[str]:
    """Every role of the product."""
    return [role for service in SERVICES_WITH_TABLES for role in (service, f"{service}_owner")]


def passwords(kept: Keepsakes) -> dict[str, str]:
    """Every role's, the same at every start."""
    return {role: kept.secret(f"password of {role}") for role in roles()}


def at(server_url: str, database: str) -> str:
    """The same server, another database."""
    parts = urlsplit(server_url)
    return urlunsplit(parts._replace(path=f"/{quote(database)}"))


async def create(server_url: str, *, passwords: Mapping[str, str], name: str | None = None) -> Database:
    """Create what is missing: database, roles, schemas. Repeating it changes nothing but the roles' passwords.

    `server_url` needs rights to create roles and databases; without `name`, its own database is used, or `smartroute`
    when it names none. Raises `BadSetting` when the server refuses.
    """
    chosen = name or urlsplit(server_url).path.lstrip("/") or DATABASE
    try:
        await _create_database(server_url, chosen)
        admin_url = at(server_url, chosen)
        async with await psycopg.AsyncConnection.connect(admin_url, autocommit=True) as connection:
            await _create_roles(connection, passwords)
            await _create_schemas(connection, chosen)
    except psycopg.Error as error:
        where = urlsplit(server_url).hostname
        raise BadSetting(f"the database server at {where} cannot be used: {str(error).strip()}") from None
    return Database(admin_url, passwords)


async def copy_of(template: Database, name: str) -> Database:
    """A new database with everything that `template` holds (some 200 ms). Nobody may be connected to the template."""
    async with await psycopg.AsyncConnection.connect(at(template.admin_url, "postgres"), autocommit=True) as connection:
        await connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template.name))
        )
        await _close_to_others(connection, name)
    return Database(at(template.admin_url, name), template.passwords)


async def drop(database: Database) -> None:
    """Remove it, whoever is still connected."""
    async with await psycopg.AsyncConnection.connect(at(database.admin_url, "postgres"), autocommit=True) as connection:
        await connection.execute(
            sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database.name))
        )


def digest_of(files: Iterable[Path]) -> str:
    """Names one state of a service's migrations."""
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


async def migrated(database: Database) -> dict[str, str]:
    """What `note_migrated` noted, by service. It lies in the database itself, so it cannot outlive the tables."""
    query = "SELECT nspname, obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = ANY(%s)"
    async with await psycopg.AsyncConnection.connect(database.admin_url) as connection:
        rows = await (await connection.execute(query, [list(SERVICES_WITH_TABLES)])).fetchall()
    return {str(schema): str(comment) for schema, comment in rows if comment}


async def note_migrated(database: Database, service: str, digest: str) -> None:
    """Remember up to where `service` was migrated: an unchanged service need not start for that again."""
    async with await psycopg.AsyncConnection.connect(database.admin_url, autocommit=True) as connection:
        await connection.execute(
            sql.SQL("COMMENT ON SCHEMA {} IS {}").format(sql.Identifier(service), sql.Literal(digest))
        )


async def _create_database(server_url: str, name: str) -> None:
    try:
        async with await psycopg.AsyncConnection.connect(at(server_url, name)):
            return
    except psycopg.OperationalError as error:
        if "does not exist" not in str(error):
            raise
    async with await psycopg.AsyncConnection.connect(at(server_url, "postgres"), autocommit=True) as connection:
        await connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


async def _create_roles(connection: psycopg.AsyncConnection, passwords: Mapping[str, str]) -> None:
    cursor = await connection.execute("SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)", [roles()])
    existing = {name for (name,) in await cursor.fetchall()}
    is_superuser = connection.info.parameter_status("is_superuser") == "on"
    for role in roles():
        verb = sql.SQL("ALTER ROLE") if role in existing else sql.SQL("CREATE ROLE")
        await connection.execute(
            sql.SQL("{} {} LOGIN PASSWORD {}").format(verb, sql.Identifier(role), sql.Literal(passwords[role]))
        )
        if not is_superuser:
            # Handing a schema to a role takes membership in it.
            await connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(sql.Identifier(role)))


async def _create_schemas(connection: psycopg.AsyncConnection, name: str) -> None:
    await _close_to_others(connection, name)
    for service in SERVICES_WITH_TABLES:
        schema, owner = sql.Identifier(service), sql.Identifier(f"{service}_owner")
        await connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {} AUTHORIZATION {}").format(schema, owner))
        await connection.execute(sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(schema, schema))


async def _close_to_others(connection: psycopg.AsyncConnection, name: str) -> None:
    database = sql.Identifier(name)
    await connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database))
    members = sql.SQL(", ").join(sql.Identifier(role) for role in roles())
    await connection.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(database, members))
    for role in _WITH_SCRATCH_TABLES:
        await connection.execute(sql.SQL("GRANT TEMPORARY ON DATABASE {} TO {}").format(database, sql.Identifier(role)))


def _as_role(url: str, role: str, password: str) -> str:
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{quote(role)}:{quote(password, safe='')}@{host}"))
