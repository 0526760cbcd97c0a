"""Quota's stores on real Postgres as a state machine drives them: one call after the other, from a thread."""

import asyncio
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import psycopg

from chassis.database import create_engine
from devstack.database import Database
from quota.domain import Ask, Decision, Overdue, Settlement, Terms
from quota.store import Accounts, Grant, Leases, Reservations, Store, Turns

ResultT = TypeVar("ResultT")


class World:
    """What the service would do with its stores; `run` waits for one of their coroutines."""

    def __init__(self, runner: asyncio.Runner, database: Database, *, lease_seconds: float) -> None:
        self._runner = runner
        self._owner = psycopg.connect(database.owner_url("quota"), autocommit=True)
        self._admin = psycopg.connect(database.admin_url, autocommit=True)
        self.lease_seconds = lease_seconds
        self.next_sequence = 0
        self.engine = create_engine(database.url("quota"))
        self.reservations = Reservations(database.url("quota"), lease_seconds=lease_seconds)
        self.store, self.leases, self.accounts = Store(self.engine), Leases(self.engine), Accounts(self.engine)
        self.turns = Turns(self.engine)

    def run(self, work: Coroutine[Any, Any, ResultT]) -> ResultT:
        return self._runner.run(work)

    def turn_clock(self, now: datetime) -> None:
        signature = "quota.clock() RETURNS timestamptz LANGUAGE sql STABLE"
        self._owner.execute(f"CREATE OR REPLACE FUNCTION {signature} AS 'SELECT ''{now}''::timestamptz'".encode())

    def rows(self, query: str, accounts: Sequence[UUID]) -> list[tuple[Any, ...]]:
        return self._admin.execute(query.encode(), {"accounts": list(accounts)}).fetchall()

    def reserve(self, asks: Sequence[Ask], terms: Terms) -> list[Decision]:
        return self.run(self.reservations.reserve(asks, terms))

    def settle(self, settlements: Sequence[Settlement], *, folded_through: int = 0) -> None:
        self.run(self.store.settle(settlements, folded_through=folded_through))

    def overdue(self, accounts: Sequence[UUID]) -> list[Overdue]:
        found: list[Overdue] = []
        page: Sequence[Overdue] = ()
        while not found or page:
            page = self.run(self.leases.overdue(after=page[-1] if page else None, limit=2))
            found += page
            if not page:
                break
        return [one for one in found if one.account_id in accounts]

    def grant(self, grant: Grant) -> None:
        self.run(self.accounts.grant(grant, default_plan="free"))

    def close(self) -> None:
        self.run(self.reservations.close())
        self.run(self.engine.dispose())
        self._owner.close()
        self._admin.close()


@contextmanager
def world(database: Database, *, lease_seconds: float) -> Iterator[World]:
    """For a thread that runs no event loop itself."""
    with asyncio.Runner() as runner:
        made = World(runner, database, lease_seconds=lease_seconds)
        try:
            yield made
        finally:
            made.close()
