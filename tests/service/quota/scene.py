"""What the tests of quota have in common: asks, terms, a clock to turn, and the tables as they are."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import psycopg

from chassis.database import create_engine
from devstack.database import Database
from quota.domain import Ask, Continued, Decision, Held, Limits, Settlement, Terms
from quota.lane import GroupCommit
from quota.store import Accounts, Reservations, Store

TERMS = Terms(
    version=7,
    default_plan="free",
    limits={"free": Limits(5, 8), "pro": Limits(20, 100), "unlimited": Limits(None, None)},
)


def an_ask(account_id: UUID, *, request_id: UUID | None = None, token_id: UUID | None = None) -> Ask:
    return Ask(account_id, request_id or uuid4(), token_id or uuid4(), "gateway-1")


def a_continuation(of: Ask, answers: int = 1, *, token_id: UUID | None = None) -> Ask:
    """The next call of the turn that `of` opened: it has the results of the tools that call `answers` asked for."""
    continues = Continued(of.request_id, answers)
    return Ask(of.account_id, uuid4(), token_id or uuid4(), "gateway-1", continues=continues)


@asynccontextmanager
async def opened(database: Database, *, lease_seconds: float = 60) -> AsyncIterator[tuple[Reservations, Store]]:
    """Reservations and settlements on one database, as the service's runtime role."""
    url = database.url("quota")
    engine = create_engine(url)
    reservations = Reservations(url, lease_seconds=lease_seconds)
    try:
        yield reservations, Store(engine)
    finally:
        await reservations.close()
        await engine.dispose()


@asynccontextmanager
async def accounts_of(database: Database) -> AsyncIterator[Accounts]:
    """What holds for accounts besides their prompts, likewise."""
    engine = create_engine(database.url("quota"))
    try:
        yield Accounts(engine)
    finally:
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


@asynccontextmanager
async def replicas(
    database: Database, terms: Terms, *, number: int, batch_limit: int = 16
) -> AsyncIterator[list[GroupCommit[Ask, Decision]]]:
    """The lanes of several replicas, each with a connection of its own."""
    async with AsyncExitStack() as stack:
        lanes = []
        for _ in range(number):
            reservations, _ = await stack.enter_async_context(opened(database))
            lanes.append(_lane(reservations, terms, batch_limit))
        yield lanes
        for lane in lanes:
            await lane.close()


def _lane(reservations: Reservations, terms: Terms, batch_limit: int) -> GroupCommit[Ask, Decision]:
    return GroupCommit(
        lambda batch, senders: reservations.reserve(batch, terms, senders=senders),
        batch_limit=batch_limit,
        deadline_seconds=20,
    )


def outcomes(decisions: Sequence[Decision]) -> list[str]:
    return ["held" if isinstance(decision, Held) else decision.reason.value for decision in decisions]


def settled(ask: Ask, sequence: int, outcome: str = "completed", *, ended_as: str | None = None) -> Settlement:
    is_charged = outcome == "completed"
    return Settlement(ask.account_id, ask.request_id, sequence, outcome, is_charged, ended_as)
