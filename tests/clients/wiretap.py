"""Between a client and the gateway: passes everything on as it comes, and keeps it, to be searched when the client is
done.

What is checked: every response object and every event of `/responses` by OpenAI's published rules; that nothing which
a client received tells of the provider; that nothing which the provider received tells of the client.
"""

import json
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

from devstack.ports import free_port
from devstack.provider import Exchange
from tests.unit.gateway.wire import responses_rules as rules

# What belongs to one connection, or is made anew for the next one.
_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "te", "trailer", "proxy-connection", "host"})
_UPGRADE = frozenset({"connection", "upgrade"})
_BODY_LIMIT_BYTES = 64 * 1024 * 1024
# Names of headers and fields whose values say who the client is.
_IDENTIFYING = ("session-id", "session_id", "thread-id", "thread_id", "installation_id", "turn_id", "window_id")
_IDENTIFYING_HEADERS = (*_IDENTIFYING, "x-client-request-id", "x-session-id", "x-session-affinity", "x-codex-window-id")
_SHORTEST_IDENTITY = 8


@dataclass(slots=True)
class Heard:
    """One request of a client and its answer, whole."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    status: int = 0
    answer_headers: dict[str, str] = field(default_factory=dict)
    answer: bytes = b""
    is_whole: bool = False

    @property
    def is_stream(self) -> bool:
        return self.answer_headers.get("content-type", "").startswith("text/event-stream")


class Wiretap:
    """Listens on `base_url` and passes on to `upstream`, a base URL without a slash at the end. Made by `tapping`."""

    def __init__(self, upstream: str, port: int, session: aiohttp.ClientSession) -> None:
        self.base_url = f"http://127.0.0.1:{port}/v1"
        self.heard: list[Heard] = []
        self._upstream = upstream
        self._session = session

    async def pass_on(self, request: web.Request) -> web.StreamResponse:
        """One request; a stream is passed on read by read."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        is_upgrade = "upgrade" in headers
        dropped = _HOP_BY_HOP - _UPGRADE if is_upgrade else _HOP_BY_HOP
        sent = {name: value for name, value in headers.items() if name not in dropped}
        heard = Heard(request.method, request.path, headers, await request.read())
        self.heard.append(heard)
        url = self._upstream + request.path_qs.removeprefix("/v1")
        async with self._session.request(request.method, url, data=heard.body, headers=sent) as answer:
            heard.status = answer.status
            heard.answer_headers = {name.lower(): value for name, value in answer.headers.items()}
            kept = {name: value for name, value in heard.answer_headers.items() if name not in _HOP_BY_HOP | _UPGRADE}
            response = web.StreamResponse(status=answer.status, headers=kept)
            await response.prepare(request)
            async for part in answer.content.iter_any():
                heard.answer += part
                await response.write(part)
            await response.write_eof()
            heard.is_whole = True
            return response

    def violations(self) -> list[str]:
        """What in all answers of `/responses` is against the rules."""
        return [f"{heard.method} {heard.path}: {violation}" for heard in self.heard for violation in _violations(heard)]

    def leaks(self, markers: Iterable[str]) -> list[str]:
        """Where something that a client received has one of the provider's marks, whatever its case."""
        marks = [marker.lower() for marker in markers]
        return [
            f"{heard.method} {heard.path}: {marker} in {text[max(text.find(marker) - 60, 0) :][:160]}"
            for heard in self.heard
            for text in (json.dumps(heard.answer_headers).lower(), heard.answer.decode("utf-8", "replace").lower())
            for marker in marks
            if marker in text
        ]

    def betrayals(self, received: Sequence[Exchange], *, secrets: Iterable[str]) -> list[str]:
        """Where the provider received one of the secrets, or what tells this client from others."""
        wanted = {*secrets, *(identity for heard in self.heard for identity in _identities(heard))}
        texts = [
            (exchange.request.path, f"{exchange.request.headers} {exchange.request.body.decode()}")
            for exchange in received
        ]
        return [f"{path}: {secret}" for secret in sorted(wanted) for path, text in texts if secret in text]


@asynccontextmanager
async def tapping(upstream: str) -> AsyncIterator[Wiretap]:
    """Open while the block runs."""
    port = free_port()
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session:
        tap = Wiretap(upstream, port, session)
        app = web.Application(client_max_size=_BODY_LIMIT_BYTES)
        app.router.add_route("*", "/{path:.*}", tap.pass_on)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        try:
            yield tap
        finally:
            await runner.cleanup()


def _violations(heard: Heard) -> list[str]:
    is_response = heard.method == "POST" and heard.path.endswith("/responses") and heard.status == 200
    if not is_response or not heard.is_whole:
        return []
    if not heard.is_stream:
        return rules.response_violations(json.loads(heard.answer))
    found = rules.frame_violations(heard.answer)
    return found or rules.event_violations(rules.read_events(heard.answer))


def _identities(heard: Heard) -> Iterator[str]:
    """Values of a request that say who the client is, wherever it says so."""
    for name in _IDENTIFYING_HEADERS:
        if name in heard.headers:
            yield heard.headers[name]
    for text in (heard.headers.get("x-codex-turn-metadata", ""), heard.body.decode("utf-8", "replace")):
        try:
            said = json.loads(text)
        except ValueError:
            continue
        if isinstance(said, dict):
            yield from _named(said.get("client_metadata", said))
            if isinstance(key := said.get("prompt_cache_key"), str) and len(key) >= _SHORTEST_IDENTITY:
                yield key


def _named(told: Any) -> Iterator[str]:
    if not isinstance(told, dict):
        return
    for name, value in told.items():
        is_identity = any(name.endswith(identifying) for identifying in _IDENTIFYING)
        if is_identity and isinstance(value, str) and len(value) >= _SHORTEST_IDENTITY:
            yield value
