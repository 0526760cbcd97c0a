"""HTTP to the public endpoint, as a customer's client speaks it. The only file of the doctor that knows aiohttp.

The token is in one header and nowhere else: nothing here logs, and no exception of aiohttp leaves.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from gateway.portal.doctor.answers import Answer, NoAnswer
from gateway.wire.sse import EventTooLarge, Splitter

READ_SECONDS = 5.0
STREAM_SECONDS = 20.0
BODY_LIMIT_BYTES = 1024 * 1024
_AGENT = "smartroute-doctor"


class Calls:
    """Requests with one token, as long as there is time. `left_seconds` is what is left of all of it."""

    def __init__(self, session: aiohttp.ClientSession, base_url: str, *, seconds: float) -> None:
        self._session = session
        self._base_url = base_url.rstrip("/")
        self._until = time.monotonic() + seconds

    @property
    def left_seconds(self) -> float:
        return self._until - time.monotonic()

    async def read(self, path: str) -> Answer | NoAnswer:
        """One `GET`."""
        return await self._within(READ_SECONDS, lambda began: self._read(path, began))

    async def stream(self, path: str, body: Mapping[str, Any]) -> Answer | NoAnswer:
        """One `POST`, read to the end of its stream."""
        return await self._within(STREAM_SECONDS, lambda began: self._stream(path, body, began))

    async def _within(self, seconds: float, call: Callable[[float], Awaitable[Answer]]) -> Answer | NoAnswer:
        began, limit = time.monotonic(), max(min(seconds, self.left_seconds), 0.0)
        try:
            async with asyncio.timeout(limit):
                return await call(began)
        except TimeoutError:
            return NoAnswer("too_slow", time.monotonic() - began, limit)
        except (aiohttp.ClientError, OSError):
            return NoAnswer("unreachable", time.monotonic() - began)

    async def _read(self, path: str, began: float) -> Answer:
        async with self._session.get(f"{self._base_url}{path}", allow_redirects=False) as response:
            body = await response.content.read(BODY_LIMIT_BYTES)
            return Answer(response.status, _headers(response), body, seconds=time.monotonic() - began)

    async def _stream(self, path: str, body: Mapping[str, Any], began: float) -> Answer:
        async with self._session.post(f"{self._base_url}{path}", json=body, allow_redirects=False) as response:
            if response.content_type != "text/event-stream":
                content = await response.content.read(BODY_LIMIT_BYTES)
                return Answer(response.status, _headers(response), content, seconds=time.monotonic() - began)
            return await _listen(response, began)


async def _listen(response: aiohttp.ClientResponse, began: float) -> Answer:
    splitter, payloads, first, is_cut = Splitter(limit_bytes=BODY_LIMIT_BYTES), list[bytes](), None, False
    try:
        async for piece in response.content.iter_any():
            first = first if first is not None else time.monotonic() - began
            payloads += splitter.feed(piece)
    except (aiohttp.ClientError, EventTooLarge, OSError):
        is_cut = True
    return Answer(
        response.status,
        _headers(response),
        payloads=tuple(payloads),
        is_stream=True,
        is_cut=is_cut,
        first_seconds=first,
        seconds=time.monotonic() - began,
    )


def _headers(response: aiohttp.ClientResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}


@asynccontextmanager
async def calling(base_url: str, token: str, *, seconds: float) -> AsyncIterator[Calls]:
    """Calls of one examination; leaving it closes their connections, and so cancels what still runs."""
    headers = {"authorization": f"Bearer {token}", "user-agent": _AGENT}
    async with aiohttp.ClientSession(
        headers=headers,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_read=None),
        connector=aiohttp.TCPConnector(limit=1, force_close=True),
    ) as session:
        yield Calls(session, base_url, seconds=seconds)
