"""Plays the day through stream and services, then times what staff do with its books."""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import psycopg

from billing.signing import new_key
from chassis.bus import Bus, acknowledged_through, connect, provision, publish, stream_ends
from contracts.gateway import REQUEST_SETTLED, RequestSettled
from contracts.streams import BILLING_REQUESTS, QUOTA_REQUESTS, REQUESTS
from devstack import programs
from devstack.children import Child, Program
from devstack.database import Database, create, roles
from devstack.nats import nats_server
from devstack.ports import free_port
from devstack.postgres import postgres_server
from devstack.probes import http_ready, until
from devstack.pytest_plugin import short_folder
from devstack.repository import PLANS
from tests.volume.backdating import backdate
from tests.volume.day import Day, hold_all

IN_FLIGHT = 512
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Choices:
    """How big the day is."""

    settlements: int
    accounts: int


@dataclass(frozen=True, slots=True)
class Measured:
    """One command: how long it took, its own share of that in CPU time, its peak memory, and how it ended."""

    name: str
    seconds: float
    cpu_seconds: float
    peak_megabytes: float
    said: str
    is_as_expected: bool

    def __str__(self) -> str:
        verdict = self.said if self.is_as_expected else f"NOT AS EXPECTED: {self.said}"
        figures = f"{self.seconds:8.1f} s {self.cpu_seconds:8.1f} s CPU {self.peak_megabytes:6.0f} MB"
        return f"{self.name:<28} {figures}   {verdict}"


@dataclass(frozen=True, slots=True)
class House:
    """The servers of one run."""

    database: Database
    nats_url: str
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        own = {"BILLING_CLOSE_KEY_FILE": str(self.folder / "close-key.pem")}
        for service in ("quota", "billing"):
            prefix = service.upper()
            own[f"{prefix}_DATABASE_URL"] = self.database.url(service)
            own[f"{prefix}_NATS_URL"] = self.nats_url
            own[f"{prefix}_PLANS_FILE"] = str(PLANS)
        # What is measured is measured alone.
        return programs.environment(own | {"BILLING_RECONCILE_SECONDS": "0", "BILLING_CLOSE_SECONDS": "0"})


async def run(choices: Choices, *, say: Say) -> Sequence[Measured]:
    """The figures, said as they come."""
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    day = Day(yesterday, choices.settlements, choices.accounts)
    say(f"{choices.settlements} settlements of {choices.accounts} accounts on {yesterday}")
    async with _house() as house:
        await _timed("prompts held by SQL", hold_all(day, house.database.admin_url), say)
        async with connect(house.nats_url, name="volume", instance="volume") as bus:
            await _timed("settlements published", _publish_all(bus, day.all()), say)
            async with AsyncExitStack() as stack:
                for service in ("quota", "billing"):
                    await stack.enter_async_context(_serving(service, house))
                await _timed("folded by quota and billing", _folded(bus), say)
                await _timed("ledger moved to yesterday", backdate(house.database.admin_url, days=1), say)
                return await _books(house, day, say)


async def _books(house: House, day: Day, say: Say) -> Sequence[Measured]:
    """What staff do the morning after. The last two prove that a difference is found among as many lines."""
    on = day.on.isoformat()
    measured = [
        await _command(house, "reconcile", ["reconcile"], expect=0, say=say),
        await _command(house, "reconcile --day", ["reconcile", "--day", on], expect=0, say=say),
        await _command(house, "close", ["close"], expect=0, say=say),
        await _command(house, "reconcile, closed", ["reconcile"], expect=0, say=say),
        await _command(house, "rebuild", ["rebuild"], expect=0, say=say),
    ]
    await _tamper(house)
    measured += [
        await _command(house, "reconcile, one line changed", ["reconcile", "--day", on], expect=1, say=say),
        await _command(house, "rebuild, one line changed", ["rebuild"], expect=1, say=say),
    ]
    return measured


async def _command(house: House, name: str, arguments: Sequence[str], *, expect: int, say: Say) -> Measured:
    """One command of billing, in a process of its own."""
    measured = await asyncio.to_thread(_run, house, name, arguments, expect)
    say(str(measured))
    return measured


def _run(house: House, name: str, arguments: Sequence[str], expect: int) -> Measured:
    began = time.monotonic()
    command = [*programs.command("billing"), *arguments, "--json"]
    log = house.folder / "command.log"
    with log.open("wb") as output:
        streams = [(os.POSIX_SPAWN_DUP2, output.fileno(), number) for number in (1, 2)]
        pid = os.posix_spawn(command[0], command, house.environment, file_actions=streams)
        _, status, used = os.wait4(pid, 0)
    is_as_expected = os.waitstatus_to_exitcode(status) == expect
    said = _said(log.read_text()) if is_as_expected else log.read_text()[:2000]
    seconds, cpu_seconds = time.monotonic() - began, used.ru_utime + used.ru_stime
    return Measured(name, seconds, cpu_seconds, used.ru_maxrss / 1024, said, is_as_expected)


def _said(output: str) -> str:
    """The result, and how long each part took, out of what a command prints as JSON."""
    told = json.loads(output)
    if isinstance(told, list):
        return ", ".join(f"{close['day']} closed with {close['lines']} lines" for close in told)
    took = [f"{name} {seconds}" for name, seconds in told.get("figures", {}).items() if name.endswith("_seconds")]
    return ", ".join([told["result"], *took])


@asynccontextmanager
async def _house() -> AsyncIterator[House]:
    with short_folder() as folder:
        async with postgres_server(folder / "postgres") as postgres, nats_server(folder / "nats") as nats:
            database = await create(postgres.admin_url, passwords=dict.fromkeys(roles(), uuid4().hex), name="volume")
            for service in ("quota", "billing"):
                await programs.migrate(service, database, log=folder / "migrate.log")
            await provision(nats.url)
            new_key(folder / "close-key.pem")
            yield House(database, nats.url, folder)


@asynccontextmanager
async def _serving(service: str, house: House) -> AsyncIterator[None]:
    port = free_port()
    environment = house.environment | {f"{service.upper()}_HEALTH_PORT": str(port)}
    ready = http_ready(f"http://127.0.0.1:{port}/readyz")
    command = programs.command(service, "serve")
    log = house.folder / f"{service}.log"
    child = await Child.begin(Program(name=service, command=command, log=log, ready=ready, environment=environment))
    try:
        assert await until(ready, within_seconds=60), child.last_words(lines=40)
        yield
    finally:
        child.kill()
        await child.ended()


async def _publish_all(bus: Bus, settlements: Iterable[RequestSettled]) -> None:
    """Many at once: each acknowledgement waits for the disk."""
    waiting = iter(settlements)

    async def publisher() -> None:
        for settled in waiting:  # one iterator for all publishers
            await publish(bus, REQUEST_SETTLED, settled, event_id=str(settled.request_id), timeout_seconds=60)

    async with asyncio.TaskGroup() as group:
        for _ in range(IN_FLIGHT):
            group.create_task(publisher())


async def _folded(bus: Bus) -> None:
    last = (await stream_ends(bus, REQUESTS.name)).last

    async def done() -> bool:
        return min([await acknowledged_through(bus, each) for each in (QUOTA_REQUESTS, BILLING_REQUESTS)]) >= last

    assert await until(done, within_seconds=3600, every_seconds=0.2), "settlements are not being folded"


async def _tamper(house: House) -> None:
    async with await psycopg.AsyncConnection.connect(house.database.admin_url) as connection:
        await connection.execute(
            "UPDATE billing.ledger SET output_tokens = output_tokens + 1"
            " WHERE id = (SELECT max(id) / 2 FROM billing.ledger)"
        )


async def _timed(name: str, work: Awaitable[object], say: Say) -> None:
    began = time.monotonic()
    await work
    say(f"{name:<28} {time.monotonic() - began:8.1f} s")
