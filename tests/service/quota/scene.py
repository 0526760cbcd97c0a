"""What the tests of quota have in common: asks, terms, a clock to turn, and the tables as they are."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import psycopg

from chassis.database import create_engine
from devstack.database import Database
from quota.domain import Ask, Limits, Terms
from quota.store import Reservations, Store

TERMS = Terms(
    version=7,
    default_plan="free",
    limits={"free": Limits(5, 8), "pro": Limits(20, 100), "unlimited": Limits(None, None)},
)


def an_ask(account_id: UUID, *, request_id: UUID | None = None, token_id: UUID | None = None) -> Ask:
    return Ask(account_id, request_id or uuid4(), token_id or uuid4(), "gateway-1")


@asynccontextmanager
async def opened(database: Database) -> AsyncIterator[tuple[Reservations, Store]]:
    """Both stores on one database, as the service's runtime role."""
    url = database.url("quota")
    engine = create_engine(url)
    reservations = Reservations(url)
    try:
        yield reservations, Store(engine)
    finally:
        await reservations.close()
        await engine.dispose()


async def turn_clock(database: Database, now: datetime) -> None:
    """Let quota's database believe that it is `now`, for ever."""
    signature = "quota.clock() RETURNS timestamptz LANGUAGE sql STABLE"
    body = f"CREATE OR REPLACE FUNCTION {signature} AS 'SELECT ''{now}''::timestamptz'"
    async with await psycopg.AsyncConnection.connect(database.owner_url("quota"), autocommit=True) as connection:
        await connection.execute(body.encode())


async def rows(database: Database, query: str) -> list[tuple[Any, ...]]:
    """What the tables hold, read from outside."""
    async with await psycopg.AsyncConnection.connect(database.admin_url, autocommit=True) as connection:
        return await (await connection.execute(query.encode())).fetchall()
