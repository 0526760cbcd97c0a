"""Our own Postgres: what a crash leaves behind, other people's pids, a given server with less than all rights."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest
import pytest_asyncio

from devstack.children import launched
from devstack.database import Database, create, drop, migrated, note_migrated, roles
from devstack.errors import BadSetting
from devstack.postgres import RunningPostgres, postgres_server
from devstack.unprivileged import account_for_postgres, outside, remove_outside
from tests.service.devstack.small_children import is_alive, soon


@pytest_asyncio.fixture
async def own_postgres(data_dir: Path) -> AsyncIterator[RunningPostgres]:
    async with postgres_server(data_dir) as server:
        yield server


async def _write(url: str, value: int) -> None:
    async with await psycopg.AsyncConnection.connect(url) as connection:
        await connection.execute("CREATE TABLE IF NOT EXISTS proof (value int)")
        await connection.execute("INSERT INTO proof VALUES (%s)", [value])


async def _read(url: str) -> list[int]:
    async with await psycopg.AsyncConnection.connect(url) as connection:
        return [value for (value,) in await (await connection.execute("SELECT value FROM proof")).fetchall()]


async def test_what_was_committed_survives_kill_9_of_the_server(own_postgres: RunningPostgres) -> None:
    await _write(own_postgres.admin_url, 7)
    own_postgres.child.send(signal.SIGKILL)
    await soon(lambda: own_postgres.child.restarts > 0)
    await soon(own_postgres.child.program.ready)
    assert await _read(own_postgres.admin_url) == [7]


async def test_data_password_and_port_are_those_of_the_last_start(data_dir: Path) -> None:
    async with postgres_server(data_dir) as server:
        await _write(server.admin_url, 1)
        first = server.admin_url
    async with postgres_server(data_dir) as server:
        assert server.admin_url == first
        assert await _read(server.admin_url) == [1]


async def test_a_stale_pid_file_with_the_pid_of_somebody_else_does_not_stop_a_start(data_dir: Path) -> None:
    async with postgres_server(data_dir) as server:
        cluster = server.data
    # Of the same user: Postgres itself believes such a pid, whatever the process is.
    command = launched(("/bin/sleep", "600"), account=account_for_postgres())
    bystander = await asyncio.create_subprocess_exec(*command)
    await soon(lambda: psutil.Process(bystander.pid).name() == "sleep")
    try:
        (cluster / "postmaster.pid").write_text(f"{bystander.pid}\n{cluster}\n1700000000\n5432\n\n\n")
        async with postgres_server(data_dir):
            pass
        assert is_alive(bystander.pid)
    finally:
        bystander.kill()
        await bystander.wait()


async def test_a_server_that_an_earlier_run_left_is_stopped_first(data_dir: Path) -> None:
    said: list[str] = []
    async with postgres_server(data_dir) as left:
        await _write(left.admin_url, 3)
        pid = left.child.pid
        async with postgres_server(data_dir, say=said.append) as server:
            assert server.child.pid != pid
            assert await _read(server.admin_url) == [3]
            # The first supervisor sees its server end; its restarts would fight for the folder.
            await left.child.halt()
    assert f"an earlier run left its Postgres behind (pid {pid})" in said[0]


async def test_an_interrupted_creation_is_begun_anew(data_dir: Path) -> None:
    half = data_dir / "cluster.unfinished"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    async with postgres_server(data_dir) as server:
        await _write(server.admin_url, 1)
    assert not half.exists()


async def test_nobody_gets_in_without_the_password(own_postgres: RunningPostgres) -> None:
    parts = urlsplit(own_postgres.admin_url)
    for user in ("smartroute_admin", "postgres", "quota"):
        with pytest.raises(psycopg.OperationalError):
            await psycopg.AsyncConnection.connect(f"postgresql://{user}:guess@{parts.hostname}:{parts.port}/postgres")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has folders that Postgres's user cannot enter")
async def test_in_a_private_folder_of_root_the_data_lies_outside_and_no_permission_is_changed(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    said: list[str] = []
    try:
        async with postgres_server(private / "postgres", say=said.append) as server:
            await _write(server.admin_url, 1)
            assert server.data == outside(private / "postgres/cluster")
        assert private.stat().st_mode & 0o777 == 0o700
        assert "Postgres keeps its data in /var/lib/smartroute/" in said[0]
    finally:
        remove_outside(private / "postgres/cluster")


async def test_real_durability_settings_are_in_force(own_postgres: RunningPostgres) -> None:
    async with await psycopg.AsyncConnection.connect(own_postgres.admin_url) as connection:
        for name in ("fsync", "synchronous_commit", "full_page_writes"):
            assert await (await connection.execute(f"SHOW {name}")).fetchone() == ("on",)


async def test_a_given_server_is_used_with_rights_to_make_roles_and_databases_only(
    postgres: RunningPostgres, database: Database
) -> None:
    async with await psycopg.AsyncConnection.connect(postgres.admin_url, autocommit=True) as connection:
        await connection.execute("CREATE ROLE modest LOGIN PASSWORD 'modest' CREATEDB CREATEROLE")
        # Roles are the server's, not a database's: the modest one may hand out only what it administers.
        for role in roles():
            exists = await (await connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role])).fetchone()
            if exists:
                await connection.execute(f"GRANT {role} TO modest WITH ADMIN OPTION")
    parts = urlsplit(postgres.admin_url)
    url = f"postgresql://modest:modest@{parts.hostname}:{parts.port}/given"
    # Those of this worker's other tests: roles are shared by all databases of a server.
    passwords = database.passwords
    made = await create(url, passwords=passwords)
    try:
        assert made.name == "given"
        async with await psycopg.AsyncConnection.connect(made.owner_url("billing")) as connection:
            await connection.execute("CREATE TABLE billing.proof (id int)")
        assert await create(url, passwords=passwords) == made
    finally:
        await drop(Database(postgres.admin_url.replace("/postgres", "/given"), {}))


async def test_a_server_that_refuses_us_is_said_so_without_its_password() -> None:
    with pytest.raises(BadSetting, match=r"127\.0\.0\.1 cannot be used") as refusal:
        await create("postgresql://me:canary@127.0.0.1:1/db", passwords={})
    assert "canary" not in str(refusal.value)


async def test_migrations_are_noted_in_the_database_that_has_them(database: Database) -> None:
    await note_migrated(database, "quota", "abc")
    assert await migrated(database) == {"quota": "abc"}
