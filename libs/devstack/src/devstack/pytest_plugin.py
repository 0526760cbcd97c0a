"""Real NATS and Postgres for tests; loaded by the entry point of this package.

One Postgres server per worker, a database of its own per test (a copy of a template, some 200 ms); a NATS server of its
own per test (some 50 ms). Nothing is shared between tests but the Postgres process.
"""

import asyncio
import contextlib
import gc
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from devstack import programs
from devstack.database import Database, copy_of, create, drop, roles
from devstack.nats import RunningNats
from devstack.nats import nats_server as run_nats
from devstack.postgres import RunningPostgres, postgres_server
from devstack.stack import Stack
from devstack.unprivileged import remove_outside

__all__ = ["Databases", "FreshDatabase", "Stack", "short_folder"]

FreshDatabase = Callable[..., Awaitable[Database]]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is collected stays to the end, so nobody looks for garbage in it: seconds for each worker."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


class Databases:
    """Makes databases on one server, quickly: each is a copy of a template that was migrated once."""

    def __init__(self, server: RunningPostgres, *, folder: Path) -> None:
        self._server = server
        self._folder = folder
        self._templates: dict[frozenset[str], Database] = {}
        self._lock = asyncio.Lock()
        # One password for all: the server lives for one test session on loopback.
        self._passwords = dict.fromkeys(roles(), uuid.uuid4().hex)

    async def fresh(self, *services: str) -> Database:
        """A new database with roles and schemas, migrated for `services`."""
        async with self._lock:
            template = await self._template(frozenset(services))
            return await copy_of(template, f"test_{uuid.uuid4().hex}")

    async def _template(self, services: frozenset[str]) -> Database:
        if services in self._templates:
            return self._templates[services]
        name = "_".join(["template", *sorted(services)])
        if services:
            database = await copy_of(await self._template(frozenset()), name)
            for service in sorted(services):
                await programs.migrate(service, database, log=self._folder / "migrate.log")
        else:
            database = await create(self._server.admin_url, passwords=self._passwords, name=name)
        self._templates[services] = database
        return database


@contextlib.contextmanager
def short_folder() -> Iterator[Path]:
    """A temporary folder that other users can pass through: as root, Postgres runs as another one."""
    folder = Path(tempfile.mkdtemp(prefix="sr-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        remove_outside(folder / "postgres/cluster")
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """An empty folder for a `Stack` (pytest's own `tmp_path` is private to root, which Postgres is not)."""
    with short_folder() as folder:
        yield folder


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def postgres() -> AsyncIterator[RunningPostgres]:
    """The worker's server. Tests that halt a server start one of their own with `devstack.postgres.postgres_server`.

    Its data goes with the session, so it waits for no disk: other tests keep that busy for seconds.
    """
    with short_folder() as folder:
        async with postgres_server(folder / "postgres", settings={"fsync": "off"}) as server:
            yield server


@pytest.fixture(scope="session")
def databases(postgres: RunningPostgres) -> Databases:
    return Databases(postgres, folder=postgres.data.parent)


@pytest_asyncio.fixture
async def fresh_database(databases: Databases) -> AsyncIterator[FreshDatabase]:
    """`await fresh_database("quota")`: a database of this test's own, migrated for the named services."""
    made: list[Database] = []

    async def make(*services: str) -> Database:
        made.append(await databases.fresh(*services))
        return made[-1]

    yield make
    for database in made:
        await drop(database)


@pytest_asyncio.fixture
async def database(fresh_database: FreshDatabase) -> Database:
    """A database of this test's own with roles and empty schemas."""
    return await fresh_database()


@pytest_asyncio.fixture
async def nats_server() -> AsyncIterator[RunningNats]:
    """A server of this test's own without any stream; halt and start `nats_server.child` to play an outage."""
    with short_folder() as folder:
        async with run_nats(folder / "nats") as server:
            yield server


@pytest_asyncio.fixture
async def nats_url(nats_server: RunningNats) -> str:
    """A server of this test's own with all streams and durables of the product."""
    from chassis.bus import provision

    await provision(nats_server.url)
    return nats_server.url
