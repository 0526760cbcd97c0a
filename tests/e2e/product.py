"""The running product as its tests speak to it: profiles, requests over real HTTP, the ledger as billing prints it."""

import asyncio
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import aiohttp

from devstack.provider import Provider
from devstack.stack import Stack
from tests import commands

ALIASES = (
    "smart-route-mini",
    "smart-route",
    "smart-route-focus",
    "smart-route-deep",
    "smart-route-ultra",
    "smart-route-turbo",
    "smart-route-infinite",
)
HELLO = [{"role": "user", "content": "Say hello."}]


def profiles(targets: Mapping[str, Provider], *, key: str | None = None, **overrides: Any) -> dict[str, Any]:
    """A profiles file: every alias may use all targets, in the order given."""
    return {
        "version": 1,
        "targets": {
            name: {"base_url": provider.base_url, "model": f"{name}-model", "key": key, **overrides}
            for name, provider in targets.items()
        },
        "profiles": {alias: {"targets": list(targets)} for alias in ALIASES},
    }


@dataclass(frozen=True, slots=True)
class Answer:
    """A response as the client got it."""

    status: int
    headers: Mapping[str, str]
    raw: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.raw)

    @property
    def events(self) -> list[Any]:
        """The JSON events of a stream, `[DONE]` left out."""
        lines = [line[6:] for line in self.raw.decode().split("\n") if line.startswith("data: ")]
        return [json.loads(line) for line in lines if line != "[DONE]"]

    @property
    def text(self) -> str:
        """What the model said, streamed or not."""
        if self.headers.get("content-type", "").startswith("text/event-stream"):
            deltas = [choice["delta"] for event in self.events for choice in event.get("choices", ())]
            return "".join(delta.get("content") or "" for delta in deltas)
        return str(self.json["choices"][0]["message"]["content"])


async def chat(
    stack: Stack,
    token: str,
    *,
    model: str = "smart-route-mini",
    base_url: str | None = None,
    session: aiohttp.ClientSession | None = None,
    headers: Mapping[str, str] | None = None,
    **fields: Any,
) -> Answer:
    """POST chat/completions and read the whole response."""
    body = {"model": model, "messages": HELLO, **fields}
    sent = {"authorization": f"Bearer {token}", **(headers or {})}
    url = f"{base_url or stack.base_url}/chat/completions"
    if session is not None:
        async with session.post(url, json=body, headers=sent) as response:
            return Answer(response.status, response.headers, await response.read())
    async with aiohttp.ClientSession() as own, own.post(url, json=body, headers=sent) as response:
        return Answer(response.status, response.headers, await response.read())


async def get(stack: Stack, token: str, path: str) -> Answer:
    """GET a path below the base URL."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{stack.base_url}/{path}", headers={"authorization": f"Bearer {token}"}) as response,
    ):
        return Answer(response.status, response.headers, await response.read())


async def command(stack: Stack, service: str, *arguments: str) -> Any:
    """Run `python -m <service> …` as an operator of this stack would, and read its JSON."""
    environment = {**os.environ, **stack.service_environment(service)}
    return (await commands.run(service, *arguments, "--json", environment=environment)).json


async def new_account(stack: Stack, *, plan: str = "free") -> tuple[str, str]:
    """A fresh account on `plan`: its id and a service token. Waits until quota knows the plan."""
    account = (await command(stack, "gateway", "create-account", f"test-{uuid4()}", "--plan", plan))["account_id"]
    token = (await command(stack, "gateway", "create-token", account))["token"]

    async def has_plan() -> bool:
        answer = await get(stack, token, "usage")
        return answer.status == 200 and bool(answer.json["plan"] == plan)

    await eventually(has_plan)
    return account, token


async def ledger(stack: Stack, account: str, *, lines: int) -> list[dict[str, Any]]:
    """The account's ledger once it has at least `lines` lines."""
    found: list[dict[str, Any]] = []

    async def is_complete() -> bool:
        found[:] = await command(stack, "billing", "ledger", "--account", account, "--limit", "10000")
        return len(found) >= lines

    await eventually(is_complete)
    return found


async def eventually(holds: Callable[[], Any], *, timeout_seconds: float = 15.0) -> None:
    """Wait until an async condition holds."""
    deadline = asyncio.get_running_loop().time() + timeout_seconds
    while not await holds():
        if asyncio.get_running_loop().time() > deadline:
            raise TimeoutError("the condition did not come true in time")
        await asyncio.sleep(0.1)
