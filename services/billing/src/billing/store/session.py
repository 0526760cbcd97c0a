"""Connections and transactions of billing, and what a schema that is not ready looks like."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import psycopg
import sqlalchemy.exc
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel.ext.asyncio.session import AsyncSession

from chassis import database

# A process that is paused inside a transaction must not keep the locks of its accounts from the other replicas.
_IDLE_IN_TRANSACTION = "SET idle_in_transaction_session_timeout = '10s'"

_PLAN_EACH = "SET plan_cache_mode = force_custom_plan"


class SchemaNotReady(database.StoreAway):
    """Tables or rights are not as this release needs them. What waits is kept until they are."""


@contextmanager
def schema_errors() -> Iterator[None]:
    try:
        yield
    except (psycopg.ProgrammingError, psycopg.NotSupportedError, sqlalchemy.exc.ProgrammingError) as exc:
        # A settlement is not to blame for a migration that has not run: without this it would become a dead letter.
        raise SchemaNotReady(f"schema `billing` is not ready ({type(exc).__name__})") from exc


@asynccontextmanager
async def transaction(engine: AsyncEngine) -> AsyncIterator[AsyncSession]:
    """Commit on the way out, roll back on error. Raises `StoreAway`."""
    with schema_errors():
        async with database.transaction(engine) as session:
            yield session


class Connection:
    """One psycopg connection with autocommit, made when it is needed and again after it was lost.

    `plans_each`: statements are planned for their values each time, for those whose limits make the difference.
    """

    def __init__(self, url: str, *, plans_each: bool = False) -> None:
        self._url = url
        self._plans_each = plans_each
        self._connection: psycopg.AsyncConnection | None = None
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def held(self) -> AsyncIterator[psycopg.AsyncConnection]:
        """The connection, for one user at a time. Raises `StoreAway`; what was open then is rolled back."""
        async with self._lock:
            connection = await self._connected()
            try:
                with schema_errors(), database.store_errors():
                    yield connection
            except psycopg.Error as exc:
                if not connection.closed:
                    raise
                # Ended by the server: it was idle in its transaction for too long, for example.
                raise database.StoreAway(type(exc).__name__) from exc
            except (database.StoreAway, asyncio.CancelledError):
                await self.disconnect()
                raise

    async def disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _connected(self) -> psycopg.AsyncConnection:
        if self._connection is None or self._connection.closed:
            with schema_errors(), database.store_errors():
                connection = await database.connect(self._url)
                await connection.execute(_IDLE_IN_TRANSACTION)
                if self._plans_each:
                    await connection.execute(_PLAN_EACH)
            self._connection = connection
        return self._connection
