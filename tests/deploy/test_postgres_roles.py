"""`deploy/postgres/roles.sql`, run on a real server: what it makes is what the local stack makes."""

import uuid
from collections.abc import AsyncIterator

import psycopg
import pytest_asyncio
from psycopg import sql

from devstack.database import SERVICES_WITH_TABLES, Database, at, drop
from tests.deploy.k8s.place import REPOSITORY

SCRIPT = (REPOSITORY / "deploy/postgres/roles.sql").read_text(encoding="utf-8")

_RIGHTS = """
SELECT 'schema ' || nspname, pg_get_userbyid(nspowner), pg_get_userbyid(grantee), privilege_type
FROM pg_namespace, aclexplode(nspacl) WHERE nspname = ANY(%s)
UNION ALL
SELECT 'database', '', CASE grantee WHEN 0 THEN 'everybody' ELSE pg_get_userbyid(grantee) END, privilege_type
FROM pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba))) WHERE datname = current_database()
ORDER BY 1, 3, 4
"""


async def _rights(database: Database) -> list[tuple[str, ...]]:
    async with await psycopg.AsyncConnection.connect(database.admin_url) as connection:
        return await (await connection.execute(_RIGHTS, [list(SERVICES_WITH_TABLES)])).fetchall()


async def _run(database: Database) -> None:
    async with await psycopg.AsyncConnection.connect(database.admin_url, autocommit=True) as connection:
        await connection.execute(SCRIPT.encode())


@pytest_asyncio.fixture
async def empty(database: Database) -> AsyncIterator[Database]:
    """A database on the same server that nothing was done to."""
    name = f"empty_{uuid.uuid4().hex}"
    async with await psycopg.AsyncConnection.connect(database.admin_url, autocommit=True) as connection:
        await connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    made = Database(at(database.admin_url, name), database.passwords)
    yield made
    await drop(made)


async def test_it_gives_the_rights_that_the_local_stack_gives(database: Database, empty: Database) -> None:
    assert await _rights(empty) != await _rights(database)
    await _run(empty)
    assert await _rights(empty) == await _rights(database)


async def test_running_it_again_changes_nothing(empty: Database) -> None:
    await _run(empty)
    first = await _rights(empty)
    await _run(empty)
    assert await _rights(empty) == first


async def test_it_lets_nobody_in_who_has_no_role_of_ours(empty: Database) -> None:
    await _run(empty)
    assert "everybody" not in {grantee for *_, grantee, _ in await _rights(empty)}
