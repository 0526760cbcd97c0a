"""What customers do while providers fail: single questions, conversations with a session key, agents with tools."""

import asyncio
import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

SHELL = {
    "type": "function",
    "function": {
        "name": "shell",
        "parameters": {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]},
    },
}
LONGEST_SECONDS = 30.0
SESSIONS = 12
MOST_CALLS = 8
TRIES = 3


@dataclass(slots=True)
class Reply:
    """One request as its client saw it. `first_seconds` until the first word or call, None if none came."""

    began: float
    first_seconds: float | None = None
    target: str | None = None
    is_good: bool = False
    calls: list[dict[str, Any]] = field(default_factory=list)
    route: str = ""


@dataclass(slots=True)
class Seen:
    """All that the clients saw. `agents` are the targets of each agent's turn, `sessions` those of each session."""

    replies: list[Reply] = field(default_factory=list)
    agents: list[list[str]] = field(default_factory=list)
    agents_given_up: int = 0
    sessions: dict[str, list[tuple[float, str]]] = field(default_factory=dict)


class Clients:
    """Asks at a given rate, through all gateways in turn."""

    def __init__(self, gateways: Sequence[str], token: str, model: str, *, seed: int) -> None:
        self._gateways = gateways
        self._headers = {"authorization": f"Bearer {token}"}
        self._model = model
        self._draw = random.Random(seed)
        self._count = 0
        self.seen = Seen()

    async def run(self, *, seconds: float, per_second: float) -> Seen:
        """Poisson arrivals: questions, turns of sessions, agents. Returns when all of them have their answer."""
        async with (
            aiohttp.ClientSession(
                headers=self._headers,
                connector=aiohttp.TCPConnector(limit=0),
                timeout=aiohttp.ClientTimeout(total=None),
            ) as session,
            asyncio.TaskGroup() as group,
        ):
            end = time.monotonic() + seconds
            while (now := time.monotonic()) < end:
                kind = self._draw.random()
                if kind < 0.1:  # an agent is several requests
                    group.create_task(self._agent(session))
                elif kind < 0.55:
                    group.create_task(self._turn_of_a_session(session, now))
                else:
                    group.create_task(self._ask(session, _question(f"What is number {self._count}?")))
                await asyncio.sleep(self._draw.expovariate(per_second / 1.3))
        return self.seen

    async def _turn_of_a_session(self, session: aiohttp.ClientSession, now: float) -> None:
        key = f"session-{self._draw.randrange(SESSIONS)}"
        reply = await self._ask(session, _question(f"And then, {key}?") | {"prompt_cache_key": key})
        if reply.target is not None:
            self.seen.sessions.setdefault(key, []).append((now, reply.target))

    async def _agent(self, session: aiohttp.ClientSession) -> None:
        """A task with tools, to its end; a request that failed is sent again, as agents do."""
        body = _question(f"Do task {self._count}.") | {"tools": [SHELL]}
        targets: list[str] = []
        self.seen.agents.append(targets)
        for _ in range(MOST_CALLS):
            for _ in range(TRIES):
                reply = await self._ask(session, body)
                if reply.is_good:
                    break
                await asyncio.sleep(0.5)
            if not reply.is_good or reply.target is None:
                self.seen.agents_given_up += 1
                return
            targets.append(reply.target)
            if not reply.calls:
                return
            body["messages"] = [*body["messages"], {"role": "assistant", "content": None, "tool_calls": reply.calls}]
            body["messages"] += [
                {"role": "tool", "tool_call_id": call["id"], "content": "done"} for call in reply.calls
            ]

    async def _ask(self, session: aiohttp.ClientSession, body: dict[str, Any]) -> Reply:
        self._count += 1
        url = f"{self._gateways[self._count % len(self._gateways)]}/chat/completions"
        reply = Reply(time.monotonic())
        self.seen.replies.append(reply)
        try:
            async with (
                asyncio.timeout(LONGEST_SECONDS),
                session.post(url, json={"model": self._model, "stream": True, **body}) as response,
            ):
                reply.route = response.headers.get("x-smartroute-route", "")
                if response.status == 200:
                    await _read(response, reply)
        except (TimeoutError, aiohttp.ClientError):
            reply.is_good = False
        return reply


async def _read(response: aiohttp.ClientResponse, reply: Reply) -> None:
    words = ""
    async for line in response.content:
        data = line.decode().removeprefix("data: ").strip()
        if data == "[DONE]":
            reply.is_good = True
        elif data.startswith("{"):
            event = json.loads(data)
            for choice in event.get("choices", ()):
                delta = choice.get("delta", {})
                words += delta.get("content") or ""
                _gather_calls(delta.get("tool_calls") or (), reply)
            if reply.first_seconds is None and (words or reply.calls):
                reply.first_seconds = time.monotonic() - reply.began
            if "error" in event:
                return
    named = reply.calls[0]["function"]["arguments"] if reply.calls else words
    reply.target = json.loads(named)["command"].split()[1] if reply.calls else named.split()[0] if named else None


def _gather_calls(deltas: Sequence[dict[str, Any]], reply: Reply) -> None:
    for delta in deltas:
        while len(reply.calls) <= delta["index"]:
            reply.calls.append({"id": "", "type": "function", "function": {"name": "", "arguments": ""}})
        call, function = reply.calls[delta["index"]], delta.get("function", {})
        call["id"] = delta.get("id") or call["id"]
        call["function"]["name"] += function.get("name") or ""
        call["function"]["arguments"] += function.get("arguments") or ""


def _question(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}
