"""A service starts only where Postgres has connections for all its processes: counted on a real server."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest
import pytest_asyncio
from psycopg import sql

from chassis.connections import TooFewConnections, require_connections
from devstack.database import Database, create, roles
from devstack.ports import free_port
from devstack.postgres import postgres_server
from devstack.pytest_plugin import short_folder
from devstack.repository import PLANS
from tests import commands

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def own_database() -> AsyncIterator[Database]:
    """On a server of this module's own: limits of roles hold for all databases of a server."""
    with short_folder() as folder:
        async with postgres_server(folder / "postgres") as server:
            yield await create(server.admin_url, passwords=dict.fromkeys(roles(), "secret"), name="limits")


@pytest_asyncio.fixture(loop_scope="module")
async def limited(own_database: Database) -> AsyncIterator[Database]:
    """Roles without limits, whatever the test before has set."""
    for role in roles():
        await limit(own_database, role, -1)
    yield own_database


async def limit(database: Database, role: str, connections: int) -> None:
    async with await psycopg.AsyncConnection.connect(database.admin_url, autocommit=True) as connection:
        await connection.execute(
            sql.SQL("ALTER ROLE {} CONNECTION LIMIT {}").format(sql.Identifier(role), sql.Literal(connections))
        )


async def test_processes_that_fit_into_the_limit_of_their_role_start(limited: Database) -> None:
    await limit(limited, "quota", 35)
    await require_connections(limited.url("quota"), each=5, processes=7)


async def test_a_start_is_refused_when_the_pools_exceed_the_limit_of_the_role(limited: Database) -> None:
    await limit(limited, "quota", 34)
    with pytest.raises(TooFewConnections, match=r"role quota may have 34 connections, and 7 x 5 = 35 are needed"):
        await require_connections(limited.url("quota"), each=5, processes=7)


async def test_a_start_is_refused_when_the_pools_exceed_what_the_server_has(limited: Database) -> None:
    with pytest.raises(TooFewConnections, match=r"Postgres has 297 connections.*needs 300"):
        await require_connections(limited.url("quota"), each=5, processes=60)


async def test_what_other_roles_were_promised_is_not_there(limited: Database) -> None:
    await limit(limited, "gateway", 200)
    await require_connections(limited.url("quota"), each=5, processes=19)
    with pytest.raises(TooFewConnections, match=r"200 are promised to other roles, and quota needs 100"):
        await require_connections(limited.url("quota"), each=5, processes=20)


async def test_a_database_that_is_away_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    await require_connections(f"postgresql://quota:secret@127.0.0.1:{free_port()}/limits", each=5, processes=7)
    assert [record.message for record in caplog.records] == ["connections not counted"]


@pytest.mark.parametrize("service", ["gateway", "quota", "billing"])
async def test_a_service_that_cannot_have_its_connections_says_so_and_ends(
    limited: Database, service: str, tmp_path: Path
) -> None:
    await limit(limited, service, 20)
    prefix = service.upper()
    environment = {
        **os.environ,
        f"{prefix}_DATABASE_URL": limited.url(service),
        f"{prefix}_PLANS_FILE": str(PLANS),
        f"{prefix}_MOST_PROCESSES": "12",
        f"{prefix}_HEALTH_PORT": "0",
        "GATEWAY_DATA_DIR": str(tmp_path),
        "GATEWAY_SIGNING_KEY": "k" * 40,
    }
    ended = await commands.run(service, "serve", environment=environment)
    assert ended.code != 0
    assert f"the role {service} may have 20 connections, and 12 x " in ended.err
