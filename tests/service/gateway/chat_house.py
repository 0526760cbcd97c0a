"""Gateway, quota and router in one event loop, on real NATS and Postgres, in front of scripted providers."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import nats
import psycopg
import yaml

from chassis import bus
from chassis.database import create_engine
from contracts import cloudevents
from contracts.billing import SUBSCRIPTION_CHANGED, SubscriptionChanged
from contracts.gateway import REQUEST_SETTLED, RequestSettled
from contracts.quota import READ_USAGE, ReadUsage, Usage
from devstack.database import Database
from devstack.ports import free_port
from devstack.probes import until
from devstack.provider import Provider
from devstack.pytest_plugin import FreshDatabase
from devstack.repository import PLANS
from gateway import accounts
from gateway import app as gateway_app
from gateway.auth import SCOPES
from gateway.settings import PortalSettings
from gateway.settings import Settings as GatewaySettings
from gateway.store import Store
from quota import app as quota_app
from quota.settings import Settings as QuotaSettings
from router import app as router_app
from router.settings import Settings as RouterSettings
from tests import patience

SIGNING_KEY = "a-signing-key-that-is-long-enough-for-a-test"
QUESTION: dict[str, Any] = {"model": "smart-route", "messages": [{"role": "user", "content": "Hello?"}]}


@dataclass(slots=True)
class Answer:
    """A response as a client sees it."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[Any]:
        """The data of a stream's events: objects, and `[DONE]` as text."""
        payloads = [part[6:] for part in self.body.decode().split("\n\n") if part.startswith("data: ")]
        return [payload if payload == "[DONE]" else json.loads(payload) for payload in payloads]

    @property
    def text(self) -> str:
        """What the deltas of a stream say together."""
        deltas = [choice["delta"] for event in self.events if event != "[DONE]" for choice in event.get("choices", [])]
        return "".join(delta.get("content") or "" for delta in deltas)


@dataclass(slots=True)
class House:
    """The running services, a token of a Free account, and the providers by target name."""

    nats_url: str
    database: Database
    base_url: str
    token: str
    account_id: UUID
    settings: GatewaySettings
    session: aiohttp.ClientSession
    stack: AsyncExitStack
    parts: dict[str, AsyncExitStack] = field(default_factory=dict)

    def post(
        self, body: Any = None, *, token: str | None = None, key: str | None = None, **fields: Any
    ) -> "aiohttp.client._RequestContextManager":
        """Open a chat request; the caller reads or leaves. `key` is its Idempotency-Key."""
        sent = {**QUESTION, **fields} if body is None else body
        headers = {"authorization": f"Bearer {token or self.token}"}
        if key is not None:
            headers["idempotency-key"] = key
        return self.session.post(f"{self.base_url}/chat/completions", json=sent, headers=headers)

    async def ask(self, body: Any = None, *, token: str | None = None, key: str | None = None, **fields: Any) -> Answer:
        """One chat request, read to its end; a connection that breaks in the middle keeps what came."""
        async with self.post(body, token=token, key=key, **fields) as response:
            return Answer(response.status, {k.lower(): v for k, v in response.headers.items()}, await response.read())

    async def settlements(self, count: int, *, within_seconds: float = 20.0) -> list[RequestSettled]:
        """All settlements in the stream, once there are at least `count`; and a moment later there are no more."""
        client = await nats.connect(self.nats_url)
        try:

            async def has_them() -> bool:
                return (await client.jetstream().stream_info("REQUESTS")).state.messages >= count

            assert await until(has_them, within_seconds=within_seconds)
            await asyncio.sleep(0.05)
            state = (await client.jetstream().stream_info("REQUESTS")).state
            raw = [
                (await client.jetstream().get_msg("REQUESTS", seq)).data
                for seq in range(max(state.first_seq, 1), state.last_seq + 1)
            ]
        finally:
            await client.close()
        assert len(raw) == count, f"{len(raw)} settlements, not {count}"
        return [cloudevents.unwrap(REQUEST_SETTLED, data or b"")[1] for data in raw]

    async def settlement(self) -> RequestSettled:
        """The only one there is."""
        return (await self.settlements(1))[0]

    async def usage(self) -> Usage:
        """What quota says of the account."""
        async with bus.connect(self.nats_url, name="test", instance="test") as connection:
            reply = await bus.ask(connection, READ_USAGE, ReadUsage(account_id=self.account_id), timeout_seconds=10)
        assert isinstance(reply, Usage)
        return reply

    async def give_plan(self, plan: str) -> None:
        """Subscribe the account, and wait until quota knows."""
        changed = SubscriptionChanged(account_id=self.account_id, plan=plan, revision=1, effective_at=datetime.now(UTC))
        async with bus.connect(self.nats_url, name="test", instance="test") as connection:
            await bus.publish(connection, SUBSCRIPTION_CHANGED, changed, event_id="plan", timeout_seconds=10)

        async def knows() -> bool:
            return (await self.usage()).plan == plan

        assert await until(knows, within_seconds=30)

    async def cost(self) -> int:
        """The prompts that the account has used, once quota has folded all settlements; over all days, for a test may
        begin before midnight and end after it."""

        async def is_folded() -> bool:
            return (await self._prompts())[1] == 0

        # What a slow machine made the gateway give up is back when its lease has run out and was swept.
        assert await until(is_folded, within_seconds=90)
        return (await self._prompts())[0]

    async def _prompts(self) -> tuple[int, int]:
        """Used and reserved ones."""
        query = """SELECT coalesce(sum(used), 0)::int, coalesce(sum(reserved), 0)::int
            FROM quota.windows WHERE account_id = %s AND kind = 'day'"""
        async with await psycopg.AsyncConnection.connect(self.database.admin_url) as connection:
            found = await (await connection.execute(query, [self.account_id])).fetchone()
        assert found is not None
        return found[0], found[1]

    async def cap_requests(self, max_bytes: int) -> None:
        """Make the stream REQUESTS refuse (a few bytes) or take settlements."""
        client = await nats.connect(self.nats_url)
        try:
            config = (await client.jetstream().stream_info("REQUESTS")).config
            config.max_bytes = max_bytes
            await client.jsm().update_stream(config)
        finally:
            await client.close()

    async def answers(self) -> bool:
        """Whether a request succeeds now."""
        return (await self.ask()).status == 200

    async def stop(self, part: str) -> None:
        """Take down quota, router or gateway."""
        await self.parts.pop(part).aclose()

    async def new_token(self, *, scopes: tuple[str, ...] = SCOPES) -> str:
        """Another token of the account."""
        engine = create_engine(self.database.url("gateway"))
        try:
            store = Store(engine)
            account = await store.find_account("acme") or await accounts.open_account(store, name="acme", plan=None)
            self.account_id = account.account_id
            secret, _ = await accounts.issue_token(store, account, name="test", scopes=scopes)
            return secret
        finally:
            await engine.dispose()


def profiles(targets: dict[str, dict[str, Any]]) -> str:
    """profiles.yaml with these targets, in this order, for every alias."""
    plans = yaml.safe_load(PLANS.read_text())
    names = list(targets)
    return yaml.safe_dump(
        {
            "version": 1,
            "targets": targets,
            "profiles": {plan["alias"]: {"targets": names} for plan in plans["plans"]},
        }
    )


def target(provider: Provider | str, name: str, **more: Any) -> dict[str, Any]:
    """A target of a profile that leads to a scripted provider, or to any base URL."""
    base_url = provider if isinstance(provider, str) else provider.base_url
    return {"base_url": base_url, "model": f"{name}-model", "key": None, **more}


@asynccontextmanager
async def house(
    nats_url: str,
    fresh_database: FreshDatabase,
    folder: Path,
    targets: dict[str, dict[str, Any]],
    *,
    without: Sequence[str] = (),
    plans: Path = PLANS,
    quota: Mapping[str, Any] | None = None,
    **settings: Any,
) -> AsyncIterator[House]:
    """Everything, running. `without` leaves parts out; `settings` are the gateway's, `quota` those of quota.

    Nobody is in a hurry unless they say so: a disk that stalls for a second is not what a test is about.
    """
    database = await fresh_database("gateway", "quota")
    (folder / "profiles.yaml").write_text(profiles(targets))
    port = free_port()
    chosen = GatewaySettings(
        database_url=database.url("gateway"),
        nats_url=settings.pop("gateway_nats_url", nats_url),
        plans_file=plans,
        port=port,
        health_port=0,
        signing_key=SIGNING_KEY,
        data_dir=settings.pop("data_dir", folder / "gateway"),
        grace_seconds=settings.pop("grace_seconds", 1.0),
        **{**patience.GATEWAY, **settings},
    )
    running = {
        "quota": quota_app.answering(
            QuotaSettings(
                database_url=database.url("quota"),
                nats_url=nats_url,
                plans_file=plans,
                health_port=0,
                **{**patience.QUOTA, **(quota or {})},
            )
        ),
        "router": router_app.answering(
            RouterSettings(nats_url=nats_url, plans_file=plans, profiles_file=folder / "profiles.yaml", health_port=0)
        ),
        "gateway": gateway_app.running(chosen, PortalSettings(public_url=f"http://127.0.0.1:{port}")),
    }
    async with AsyncExitStack() as stack:
        parts: dict[str, AsyncExitStack] = {}
        for name, part in running.items():
            if name not in without:
                parts[name] = await stack.enter_async_context(AsyncExitStack())
                await parts[name].enter_async_context(part)
        # A connection of its own per request: tests look at single connections.
        session = await stack.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True))
        )
        made = House(nats_url, database, f"http://127.0.0.1:{port}/v1", "", UUID(int=0), chosen, session, stack, parts)
        made.token = await made.new_token()
        yield made
