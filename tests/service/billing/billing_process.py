"""Billing as a real process beside a test, what is said to it, and what can be read of it."""

import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import nats
import psycopg
from nats.js.api import ConsumerConfig
from psycopg.rows import dict_row

from chassis.bus import Bus, connect, publish
from contracts.gateway import ACCOUNT_OPENED, REQUEST_SETTLED, AccountOpened, RequestSettled, Timings, TokenUsage
from contracts.outcomes import Outcome
from contracts.streams import BILLING_REQUESTS
from devstack import programs
from devstack.children import Child, Program
from devstack.database import Database
from devstack.ports import free_port
from devstack.probes import http_json, http_ready, until
from devstack.repository import PLANS
from tests import commands


@dataclass(frozen=True, slots=True)
class Billing:
    """Where billing runs, and the command line of its staff."""

    database: Database
    nats_url: str
    # Settings of this test's own.
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        own = {
            "BILLING_DATABASE_URL": self.database.url("billing"),
            "BILLING_NATS_URL": self.nats_url,
            "BILLING_PLANS_FILE": str(PLANS),
        }
        return programs.environment({**own, **self.settings})

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Process"]:
        """`python -m billing serve`, ready; killed on the way out if it still runs."""
        port = free_port()
        with tempfile.TemporaryDirectory() as folder:
            ready = f"http://127.0.0.1:{port}/readyz"
            program = Program(
                name="billing",
                command=programs.command("billing", "serve"),
                log=Path(folder) / "billing.log",
                ready=http_ready(ready),
                environment=self.environment | {"BILLING_HEALTH_PORT": str(port)},
            )
            child = await Child.begin(program)
            try:
                await child.until_ready()
                yield Process(child, f"http://127.0.0.1:{port}")
            finally:
                child.kill()
                await child.ended()

    async def command(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, standard output, standard error of one command."""
        finished = await commands.run("billing", *arguments, environment=self.environment)
        return finished.code, finished.out, finished.err

    async def rows(self, query: str) -> list[dict[str, Any]]:
        """Read with every right, to see what is really there."""
        async with await psycopg.AsyncConnection.connect(self.database.admin_url, row_factory=dict_row) as connection:
            return await (await connection.execute(query.encode())).fetchall()

    async def wait_for_lines(self, count: int, *, within_seconds: float = 20.0) -> list[dict[str, Any]]:
        """The ledger, once it has that many lines or the time is over."""

        async def enough() -> bool:
            return len(await self.rows("SELECT id FROM billing.ledger")) >= count

        await until(enough, within_seconds=within_seconds)
        return await self.rows("SELECT * FROM billing.ledger ORDER BY id")

    async def wait_for_rows(self, query: str, count: int) -> None:
        """Wait until a query has that many rows."""

        async def enough() -> bool:
            return len(await self.rows(query)) >= count

        assert await until(enough, within_seconds=30)

    @asynccontextmanager
    async def bus(self) -> AsyncIterator[Bus]:
        async with connect(self.nats_url, name="test", instance="test") as bus:
            yield bus


@dataclass(frozen=True, slots=True)
class Process:
    """A billing process that became ready."""

    child: Child
    health_url: str

    async def kill(self) -> None:
        self.child.kill()
        await self.child.ended()

    async def readiness(self) -> dict[str, object] | None:
        return await http_json(f"{self.health_url}/readyz")


def a_settlement(outcome: Outcome = Outcome.COMPLETED, **given: object) -> RequestSettled:
    """The end of some request, two seconds long and just over."""
    now = datetime.now(UTC)
    settled = RequestSettled(
        request_id=uuid4(),
        account_id=uuid4(),
        token_id=uuid4(),
        turn_id=uuid4(),
        call=1,
        outcome=outcome,
        plan="free",
        plans_version=1,
        alias_asked="smart-route-ultra",
        alias_served="smart-route-mini",
        endpoint="chat/completions",
        is_stream=True,
        day=now.date(),
        month=now.date().replace(day=1),
        started_at=now - timedelta(seconds=2),
        ended_at=now,
        timings=Timings(total_ms=2000),
        tokens=TokenUsage(input=11, cached_input=3, output=7, reasoning=2, source="provider"),
        target="local",
        attempts=1,
        error_code=None,
        trace_id="0af7651916cd43dd8448eb211c80319c",
    )
    return settled.model_copy(update=given)


async def settle(bus: Bus, *settlements: RequestSettled, twice: bool = False) -> None:
    """Publish them in this order. `twice`: under a new message id each time, as after the stream's window."""
    for settled in settlements:
        for attempt in range(2 if twice else 1):
            event_id = f"{settled.request_id}:{uuid4()}" if twice and attempt else str(settled.request_id)
            await publish(bus, REQUEST_SETTLED, settled, event_id=event_id, timeout_seconds=5)


async def open_account(bus: Bus, *, plan: str | None = None, account_id: UUID | None = None) -> UUID:
    """Tell that an account opened."""
    opened = AccountOpened(account_id=account_id or uuid4(), name="Anna's shop", plan=plan, opened_at=datetime.now(UTC))
    await publish(bus, ACCOUNT_OPENED, opened, event_id=str(uuid4()), timeout_seconds=5)
    return opened.account_id


async def stored(nats_url: str, stream: str) -> Sequence[bytes]:
    """Every message of a stream, oldest first."""
    client = await nats.connect(nats_url)
    try:
        state = (await client.jsm().stream_info(stream)).state
        if state.messages == 0:
            return []
        return [
            (await client.jsm().get_msg(stream, seq)).data or b"" for seq in range(state.first_seq, state.last_seq + 1)
        ]
    finally:
        await client.close()


async def redeliver_after(nats_url: str, *, seconds: float) -> None:
    """A shorter wait than the product's 30 s, so that a test need not sit it out."""
    client = await nats.connect(nats_url)
    try:
        info = await client.jsm().consumer_info("REQUESTS", BILLING_REQUESTS.name)
        config: ConsumerConfig = info.config.evolve(ack_wait=seconds)
        await client.jsm().add_consumer("REQUESTS", config)
    finally:
        await client.close()
