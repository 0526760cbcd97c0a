"""The gateway as a real process beside a test, its command line, and its store as the runtime role sees it."""

import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from chassis.database import create_engine
from devstack import programs
from devstack.children import Child, Program
from devstack.database import Database
from devstack.ports import free_port
from devstack.probes import http_ready
from devstack.repository import PLANS
from gateway import accounts
from gateway.auth import SCOPES
from gateway.store import Store
from tests import commands

SIGNING_KEY = "a-signing-key-that-is-long-enough-for-a-test"


@dataclass(frozen=True, slots=True)
class Process:
    """A gateway that runs."""

    child: Child
    origin: str
    health: str

    def client(self, token: str | None = None) -> httpx.AsyncClient:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        return httpx.AsyncClient(base_url=self.origin, headers=headers, timeout=10)


@dataclass(frozen=True, slots=True)
class Gateway:
    """Where the gateway runs; `extra` are more variables of its environment."""

    database: Database
    nats_url: str
    extra: Mapping[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        own = {
            "GATEWAY_DATABASE_URL": self.database.url("gateway"),
            "GATEWAY_NATS_URL": self.nats_url,
            "GATEWAY_PLANS_FILE": str(PLANS),
            "GATEWAY_SIGNING_KEY": SIGNING_KEY,
            # Commands keep nothing; a running gateway has a folder of its own, unless `extra` names one.
            "GATEWAY_DATA_DIR": "/nonexistent",
        }
        return programs.environment({**own, **self.extra})

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Process]:
        """`python -m gateway serve`, ready; killed on the way out if it still runs."""
        port, health_port = free_port(), free_port()
        ports = {"GATEWAY_PORT": str(port), "GATEWAY_HEALTH_PORT": str(health_port)}
        with tempfile.TemporaryDirectory() as folder:
            program = Program(
                name="gateway",
                command=programs.command("gateway", "serve"),
                log=Path(folder) / "gateway.log",
                ready=http_ready(f"http://127.0.0.1:{health_port}/readyz"),
                environment=self.environment | ports | {"GATEWAY_DATA_DIR": f"{folder}/data", **self.extra},
            )
            child = await Child.begin(program)
            try:
                await child.until_ready()
                yield Process(child, f"http://127.0.0.1:{port}", f"http://127.0.0.1:{health_port}")
            finally:
                child.kill()
                await child.ended()

    async def command(self, *arguments: str) -> commands.Finished:
        """One command of the operator, run to its end."""
        return await commands.run("gateway", *arguments, environment=self.environment)

    @asynccontextmanager
    async def store(self) -> AsyncIterator[Store]:
        """The store with the rights of the runtime role."""
        engine = create_engine(self.database.url("gateway"))
        try:
            yield Store(engine)
        finally:
            await engine.dispose()

    async def token(self, *, scopes: tuple[str, ...] = SCOPES, account: str = "acme") -> str:
        """A token of an account, which is opened if it does not exist."""
        async with self.store() as store:
            owner = await store.find_account(account) or await accounts.open_account(store, name=account, plan=None)
            secret, _ = await accounts.issue_token(store, owner, name="test", scopes=scopes)
            return secret
