"""The product as the faults find it: two of every service, both servers, two scripted providers, and our own eyes.

`World` starts it and gives the faults their handles. What is checked afterwards is read past the product: as Postgres
superuser, from the stream itself, from the providers' and the clients' logs.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, LiteralString

import aiohttp
import nats
import psycopg
import yaml
from nats.aio.client import Client as NatsClient

from chassis import bus
from chassis.database import create_engine
from contracts.plans import PlanCatalogue
from devstack.prepared import prepare_folder
from devstack.provider import Provider
from devstack.pytest_plugin import short_folder
from devstack.stack import Stack
from devstack.supervisor import Supervised
from gateway import accounts
from gateway.auth import SCOPES
from gateway.store import Store
from tests.faults.clients import Client, Customer
from tests.faults.collector import Collector
from tests.faults.load import Load
from tests.faults.plays import told

PLANS = Path(__file__).with_name("plans.yaml")
# The shortest of a provider's time-outs.
CONNECT_SECONDS = 1.0
PLANS_OF_A_ROUND = ("daily", "monthly", "crowd", "pace", "wide", "boundless")


@dataclass(frozen=True, slots=True)
class Shape:
    """What a world is made of. `settings` are set on every service, `overrides` on single processes; they are told the
    `start_seconds` that the world may take to be ready."""

    name: str = "house"
    lease_seconds: float = 5.0
    sweep_seconds: float = 0.5
    # False: the values of production hold, and `lease_seconds` and `sweep_seconds` only say what they are.
    has_own_leases: bool = True
    nats_nodes: int = 1
    plans: Path = PLANS
    settings: Mapping[str, str] = field(default_factory=dict)
    start_seconds: float = 45.0
    overrides: Callable[[float], Mapping[str, Mapping[str, str]]] = lambda _: {}
    replicas: Mapping[str, int] = field(default_factory=lambda: {"gateway": 2, "quota": 2, "router": 2, "billing": 2})

    @property
    def environment(self) -> dict[str, str]:
        leases = {
            "QUOTA_LEASE_SECONDS": f"{self.lease_seconds:g}",
            "QUOTA_SWEEP_SECONDS": f"{self.sweep_seconds:g}",
        }
        return {
            **(leases if self.has_own_leases else {}),
            "GATEWAY_ANNOUNCE_INTERVAL_SECONDS": "0.2",
            "GATEWAY_ANSWER_LIMIT_SECONDS": "9",
            **self.settings,
        }


class World:
    """Made by `world`. One bus connection, one superuser connection and one HTTP session are ours."""

    def __init__(
        self, shape: Shape, stack: Stack, providers: Sequence[Provider], *, failpoints: Path, collector: Collector
    ) -> None:
        self.shape = shape
        self.stack = stack
        self.providers = providers
        self.failpoints = failpoints
        self.collector = collector
        self.catalogue = _catalogue(shape)
        self.session: aiohttp.ClientSession
        self.bus: bus.Bus
        self.nats: NatsClient
        self._store: Store

    # Handles for faults

    def children(self, service: str) -> list[Supervised]:
        return self.stack.children(service)

    def client(self) -> Client:
        return Client(self.session)

    def load(self, client: Client, customers: Sequence[Customer], rng: random.Random) -> Load:
        return Load(client, customers, self.stack.gateways, rng, lease_seconds=self.shape.lease_seconds)

    @asynccontextmanager
    async def superuser(self) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        """A connection of our own that may do everything."""
        connection = await psycopg.AsyncConnection.connect(self.stack.database_url, autocommit=True, connect_timeout=10)
        async with connection:
            yield connection

    async def rows(self, query: LiteralString, *values: object) -> list[tuple[Any, ...]]:
        """What the superuser reads. The statements of this suite are its own."""
        async with self.superuser() as connection:
            return await (await connection.execute(query, values)).fetchall()

    async def customers(self, plans: Sequence[str] = PLANS_OF_A_ROUND) -> list[Customer]:
        """New accounts, one per plan, each with two tokens; quota knows their plans on return."""
        made = list(await asyncio.gather(*(self._customer(plan) for plan in plans)))
        wanted = {customer.account_id: customer.plan for customer in made}

        async def known() -> bool:
            query = "SELECT account_id, plan FROM quota.accounts WHERE account_id = ANY(%s)"
            return dict(await self.rows(query, list(wanted))) == wanted

        await eventually(known, within_seconds=60.0, what="quota knows the plans of new accounts")
        return made

    async def _customer(self, plan: str) -> Customer:
        account = await accounts.open_account(
            self._store, name=f"faults-{random.SystemRandom().getrandbits(64):x}", plan=plan
        )
        tokens = [
            await accounts.issue_token(self._store, account, name=name, scopes=SCOPES) for name in ("first", "second")
        ]
        terms = self.catalogue.plan(plan)
        assert terms is not None
        return Customer(
            account_id=account.account_id,
            plan=plan,
            daily=terms.daily_prompts,
            monthly=terms.monthly_prompts,
            in_flight=terms.speed.in_flight,
            token=tokens[0][0],
            second_token=tokens[1][0],
            second_token_id=tokens[1][1].token_id,
        )

    async def open_eyes(self, resources: AsyncExitStack) -> None:
        """Connect, and set the observer into the database."""
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        timeout = aiohttp.ClientTimeout(total=90.0, sock_connect=3.0)
        self.session = await resources.enter_async_context(aiohttp.ClientSession(connector=connector, timeout=timeout))
        self.bus = await resources.enter_async_context(
            bus.connect(self.stack.nats_url, name="faults", instance="faults")
        )
        self.nats = await nats.connect(
            self.stack.nats_url.split(","), max_reconnect_attempts=-1, reconnect_time_wait=0.2, error_cb=_quiet
        )
        resources.push_async_callback(self.nats.close)
        engine = create_engine(self.stack.service_environment("gateway")["GATEWAY_DATABASE_URL"])
        resources.push_async_callback(engine.dispose)
        self._store = Store(engine)
        async with self.superuser() as connection:
            await connection.execute(_OBSERVER)


@asynccontextmanager
async def world(
    shape: Shape, *, folder: Path | None = None, say: Callable[[str], None] = lambda _: None
) -> AsyncIterator[World]:
    """The running product. Without a `folder` it has one of its own, removed with everything in it at the end; in a
    `folder` that is given everything is made anew, by the servers themselves and durable."""
    async with AsyncExitStack() as resources:
        if folder is None:
            folder = resources.enter_context(short_folder())
            prepare_folder(folder / "stack")
        failpoints = folder / "failpoints"
        failpoints.mkdir()
        providers = [
            await resources.enter_async_context(Provider(default=told(is_first=is_first))) for is_first in (True, False)
        ]
        collector = Collector()
        await collector.start()
        resources.push_async_callback(collector.stop)
        began = time.monotonic()
        stack = Stack(
            folder / "stack",
            plans=shape.plans,
            profiles=_profiles(shape, providers),
            replicas=shape.replicas,
            environment={**shape.environment, **collector.environment, "SMARTROUTE_FAILPOINTS": str(failpoints)},
            overrides=shape.overrides(shape.start_seconds),
            nats_nodes=shape.nats_nodes,
        )
        await resources.enter_async_context(stack)
        made = World(shape, stack, providers, failpoints=failpoints, collector=collector)
        await made.open_eyes(resources)
        say(f"{_described(shape)}; ready after {time.monotonic() - began:.1f} s")
        yield made


def _described(shape: Shape) -> str:
    services = ", ".join(f"{count} {service}" for service, count in shape.replicas.items())
    servers = "1 NATS" if shape.nats_nodes == 1 else f"{shape.nats_nodes} NATS nodes"
    return (
        f"world `{shape.name}`: {services}, {servers}, 1 Postgres, 2 providers; "
        f"lease {shape.lease_seconds:g} s, sweep every {shape.sweep_seconds:g} s"
    )


def _catalogue(shape: Shape) -> PlanCatalogue:
    return PlanCatalogue.model_validate(yaml.safe_load(shape.plans.read_text(encoding="utf-8")))


def _profiles(shape: Shape, providers: Sequence[Provider]) -> dict[str, Any]:
    timeouts = {"connect_seconds": CONNECT_SECONDS, "first_byte_seconds": 2, "silence_seconds": 2}
    names = [f"provider-{number}" for number, _ in enumerate(providers, start=1)]
    return {
        "version": 1,
        "targets": {
            name: {"base_url": provider.base_url, "model": "played", "key": None, "timeouts": timeouts}
            for name, provider in zip(names, providers, strict=True)
        },
        "profiles": {alias: {"targets": names} for alias in _catalogue(shape).aliases},
    }


async def eventually(
    holds: Callable[[], Any], *, within_seconds: float, what: str, every_seconds: float = 0.1
) -> float:
    """Wait until an async condition holds; the seconds that it took. TimeoutError names `what` did not."""
    began = time.monotonic()
    while True:
        with contextlib.suppress(psycopg.OperationalError):
            if await holds():
                return time.monotonic() - began
        if time.monotonic() - began > within_seconds:
            raise TimeoutError(f"not within {within_seconds:g} s: {what}")
        await asyncio.sleep(every_seconds)


async def _quiet(_: Exception) -> None:
    """The bus goes away all the time here."""


# Keeps the highest count that any committed change ever gave a window (or the requests in flight), whoever made it.
_OBSERVER: LiteralString = """
CREATE SCHEMA IF NOT EXISTS observer;
CREATE TABLE IF NOT EXISTS observer.highest (
    account_id uuid, kind text, starts_on date, taken integer, PRIMARY KEY (account_id, kind, starts_on));
CREATE OR REPLACE FUNCTION observer.see_window() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO observer.highest VALUES (NEW.account_id, NEW.kind, NEW.starts_on, NEW.used + NEW.reserved - NEW.drawn)
    ON CONFLICT (account_id, kind, starts_on) DO UPDATE SET taken = greatest(highest.taken, excluded.taken);
    RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION observer.see_account() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO observer.highest VALUES (NEW.account_id, 'in_flight', '2000-01-01', NEW.in_flight)
    ON CONFLICT (account_id, kind, starts_on) DO UPDATE SET taken = greatest(highest.taken, excluded.taken);
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER observer AFTER INSERT OR UPDATE ON quota.windows
    FOR EACH ROW EXECUTE FUNCTION observer.see_window();
CREATE OR REPLACE TRIGGER observer AFTER INSERT OR UPDATE ON quota.accounts
    FOR EACH ROW EXECUTE FUNCTION observer.see_account();
"""
