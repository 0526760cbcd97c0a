"""Customers of the load and what each of their requests saw: the clients' log, which the books are checked against."""

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal
from uuid import UUID

import aiohttp

from tests.faults.plays import Play

Leaves = Literal["at once", "midway", "at the last chunk"]
NO_SUCH_MODEL = "no-such-model"
TOOLS = [{"type": "function", "function": {"name": "look"}}]


class Ending(StrEnum):
    """How a request ended for its client."""

    COMPLETE = "complete"
    REFUSED = "refused"  # a status of 400 or more
    ERROR_EVENT = "error event"  # content, then an error in our own form
    TRUNCATED = "truncated"  # headers, then a broken connection or an end without [DONE]
    NO_ANSWER = "no answer"  # the connection broke before any header
    LEFT = "left"


@dataclass(frozen=True, slots=True)
class Customer:
    """An account with its limits (None: none) and two tokens; the second one is there to be revoked."""

    account_id: UUID
    plan: str
    daily: int | None
    monthly: int | None
    in_flight: int | None
    token: str
    second_token: str
    second_token_id: UUID


@dataclass(slots=True)
class Seen:
    """One request as its client saw it. Times are of `time.monotonic()`.

    `messages` is the conversation with a good answer that is not streamed, `continues` says that it ended with the
    results of tools.
    """

    customer: Customer
    token: str
    gateway: str
    play: Play
    is_stream: bool
    leaves: Leaves | None
    sent_at: float
    ended_at: float = 0.0
    status: int | None = None
    request_id: UUID | None = None
    ending: Ending = Ending.NO_ANSWER
    error_code: str | None = None
    has_content: bool = False
    has_done: bool = False
    retry_after: str | None = None
    continues: bool = False
    messages: list[dict[str, Any]] = field(default_factory=list)

    @property
    def calls(self) -> list[str]:
        """The ids of the calls that the answer made."""
        said = self.messages[-1] if self.ending is Ending.COMPLETE and self.messages else {}
        return [call["id"] for call in said.get("tool_calls") or ()]


@dataclass(slots=True)
class Client:
    """Asks like a customer's program, and keeps the log."""

    session: aiohttp.ClientSession
    log: list[Seen] = field(default_factory=list)

    async def ask(
        self,
        customer: Customer,
        gateway: str,
        play: Play,
        *,
        is_stream: bool = False,
        model: str = "smart-route-mini",
        token: str | None = None,
        leaves: Leaves | None = None,
        after: Seen | None = None,
    ) -> Seen:
        """One request to its end, noted. Never raises for what a fault can do to it.

        `after` is a request whose calls this one answers, as an agent does that has run them.
        """
        used = token or customer.token
        seen = Seen(customer, used, gateway, play, is_stream, leaves, time.monotonic(), continues=after is not None)
        seen.messages = [{"role": "user", "content": play.prompt}] if after is None else _with_results(after, play)
        self.log.append(seen)
        body = {"model": model, "stream": is_stream, "messages": seen.messages, "tools": TOOLS}
        try:
            if leaves == "at once":
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._send(seen, body), 0.004)
                seen.ending = Ending.LEFT
            else:
                await self._send(seen, body)
        except (aiohttp.ClientError, TimeoutError, OSError):
            if seen.ending is not Ending.LEFT:
                seen.ending = Ending.TRUNCATED if seen.status == 200 else Ending.NO_ANSWER
        finally:
            seen.ended_at = time.monotonic()
        return seen

    async def _send(self, seen: Seen, body: dict[str, object]) -> None:
        headers = {"authorization": f"Bearer {seen.token}"}
        url = f"{seen.gateway}/chat/completions"
        async with self.session.post(url, json=body, headers=headers) as response:
            seen.status = response.status
            identity = response.headers.get("x-request-id")
            seen.request_id = UUID(identity) if identity else None
            seen.retry_after = response.headers.get("retry-after")
            if response.status >= 400:
                refusal = await response.json(content_type=None)
                seen.error_code = refusal["error"]["code"]
                seen.ending = Ending.REFUSED
            elif seen.is_stream:
                await _read_stream(seen, response)
            else:
                answer = await response.json(content_type=None)
                said = answer["choices"][0]["message"]
                seen.messages = [*seen.messages, said]
                seen.has_content = bool(said["content"])
                seen.ending = Ending.COMPLETE


def _with_results(after: Seen, play: Play) -> list[dict[str, Any]]:
    """The conversation with the results of its last calls, in which the provider finds what to play."""
    results = [{"role": "tool", "tool_call_id": call_id, "content": play.prompt} for call_id in after.calls]
    return [*after.messages, *results]


async def _read_stream(seen: Seen, response: aiohttp.ClientResponse) -> None:
    seen.ending = Ending.TRUNCATED
    async for line in response.content:
        if not line.startswith(b"data: "):
            continue
        if line.startswith(b"data: [DONE]"):
            seen.has_done = True
            if seen.ending is Ending.TRUNCATED:
                seen.ending = Ending.COMPLETE
            continue
        event = json.loads(line[6:])
        if "error" in event:
            seen.ending, seen.error_code = Ending.ERROR_EVENT, event["error"]["code"]
            continue
        choice: dict[str, Any] = next(iter(event.get("choices", ())), {})
        seen.has_content |= bool(choice.get("delta", {}).get("content"))
        is_last = choice.get("finish_reason") is not None
        if (seen.leaves == "midway" and seen.has_content) or (seen.leaves == "at the last chunk" and is_last):
            seen.ending = Ending.LEFT
            response.close()
            return
