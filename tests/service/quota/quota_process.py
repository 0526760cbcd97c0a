"""Quota as real processes beside a test, and in the test's own process."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import yaml
from pydantic import SecretStr

from chassis.bus import Bus, ask
from contracts.quota import READ_USAGE, RESERVE, ReadUsage, Reserve, ReserveReply, Usage
from devstack import programs
from devstack.children import Child, Program
from devstack.database import Database
from devstack.ports import free_port
from devstack.probes import http_ready
from devstack.repository import PLANS
from quota.app import answering
from quota.settings import Settings
from tests import patience


@dataclass(frozen=True, slots=True)
class Replica:
    """A quota process that became ready."""

    child: Child
    log: Path
    health_url: str


def variables(database: Database, nats_url: str) -> dict[str, str]:
    return programs.environment(
        {"QUOTA_DATABASE_URL": database.url("quota"), "QUOTA_NATS_URL": nats_url, "QUOTA_PLANS_FILE": str(PLANS)}
    )


def plans_at_speed(folder: Path, **speed: int | None) -> Path:
    """The shipped catalogue with one speed for all plans; without any, as fast as they like."""
    catalogue = yaml.safe_load(PLANS.read_text())
    for plan in catalogue["plans"]:
        plan["speed"] = speed
    plans = folder / "plans.yaml"
    plans.write_text(yaml.safe_dump(catalogue))
    return plans


@asynccontextmanager
async def replica(
    database: Database, nats_url: str, *, extra: Mapping[str, str] | None = None
) -> AsyncIterator[Replica]:
    """`python -m quota serve`, ready; killed on the way out if it still runs."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "quota.log"
        program = Program(
            name="quota",
            command=programs.command("quota", "serve"),
            log=log,
            ready=http_ready(f"http://127.0.0.1:{port}/readyz"),
            environment=variables(database, nats_url) | {"QUOTA_HEALTH_PORT": str(port)} | dict(extra or {}),
        )
        child = await Child.begin(program)
        try:
            await child.until_ready()
            yield Replica(child, log, f"http://127.0.0.1:{port}")
        finally:
            child.kill()
            await child.ended()


@asynccontextmanager
async def quota_here(
    database: Database,
    nats_url: str,
    *,
    plans: Path = PLANS,
    instance: str = "test",
    lease_seconds: float = 60,
    sweep_seconds: float = 5,
    deadline_seconds: float = patience.QUOTA["reserve_deadline_seconds"],
) -> AsyncIterator[None]:
    """Quota inside the test's process."""
    settings = Settings(
        database_url=SecretStr(database.url("quota")),
        nats_url=SecretStr(nats_url),
        plans_file=plans,
        health_port=0,
        instance=instance,
        lease_seconds=lease_seconds,
        sweep_seconds=sweep_seconds,
        reserve_deadline_seconds=deadline_seconds,
    )
    async with answering(settings):
        yield


async def reserve(
    bus: Bus, account_id: UUID, *, request_id: UUID | None = None, token_id: UUID | None = None
) -> ReserveReply:
    question = Reserve(
        request_id=request_id or uuid4(), account_id=account_id, token_id=token_id or uuid4(), gateway="gateway-1"
    )
    return await ask(bus, RESERVE, question, timeout_seconds=10)


async def metrics(replica: Replica) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(replica.health_url.rpartition(":")[2]))
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    await writer.drain()
    body = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    return body


async def usage(bus: Bus, account_id: UUID) -> Usage:
    reply = await ask(bus, READ_USAGE, ReadUsage(account_id=account_id), timeout_seconds=5)
    assert isinstance(reply, Usage)
    return reply
