"""The client's side of one response: what has been sent to it, and whether it is still there.

uvicorn tells that a client has left through `receive` only. A `ClientWatch` waits there and interrupts the request; it
also interrupts for a client that takes nothing for too long, and fills silences of a stream with heartbeats, which keep
proxies and the client's own timer from closing it.
"""

import asyncio
from collections.abc import Callable, Mapping

from starlette.types import Receive, Send

KEEPALIVE_SECONDS = 15.0
TICK_SECONDS = 5.0


class ClientResponse:
    """The response, piece by piece. Nothing is sent before `start`."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._loop = asyncio.get_running_loop()
        self.is_started = False
        self.sent_at = 0.0
        self.sending_since: float | None = None
        self._heartbeat: Callable[[], bytes] | None = None

    async def start_stream(self, headers: list[tuple[bytes, bytes]], *, heartbeat: Callable[[], bytes]) -> None:
        """Say 200 and that events follow. `heartbeat` gives what may be sent between two of them."""
        self.is_started = True
        self._heartbeat = heartbeat
        self.sent_at = self._loop.time()
        await self._send({"type": "http.response.start", "status": 200, "headers": [*_STREAM_HEADERS, *headers]})

    async def send(self, data: bytes, *, is_last: bool = False) -> None:
        """Whole events, in one piece. Returns when the client's side of the socket has taken enough of it."""
        self.sending_since = self._loop.time()
        await self._send({"type": "http.response.body", "body": data, "more_body": not is_last})
        self.sending_since = None
        self.sent_at = self._loop.time()

    async def fill(self) -> None:
        """One heartbeat, made when it is sent: events are numbered."""
        if self._heartbeat is not None and (beat := self._heartbeat()):
            await self.send(beat)


_STREAM_HEADERS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
)


class ClientWatch:
    """Cancels the task that made it when its client is gone; `is_gone` tells that cancellation from any other."""

    def __init__(self, receive: Receive, response: ClientResponse, *, stall_seconds: float) -> None:
        self.is_gone = False
        self._receive = receive
        self._response = response
        self._stall_seconds = stall_seconds
        self._loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None, "a request is answered in a task"
        self._task = task
        self._waiting = asyncio.create_task(self._wait(), name="client watch")
        self._filling: asyncio.Task[None] | None = None
        self._timer = self._loop.call_later(TICK_SECONDS, self._tick)

    def stop(self) -> None:
        """From now on the request is not interrupted."""
        self._timer.cancel()
        self._waiting.cancel()

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._interrupt()

    def _interrupt(self) -> None:
        if not self.is_gone:
            self.is_gone = True
            self._task.cancel()

    def _tick(self) -> None:
        now = self._loop.time()
        response = self._response
        if response.sending_since is not None:
            if now - response.sending_since > self._stall_seconds:
                self._interrupt()
                return
        elif response.is_started and now - response.sent_at >= KEEPALIVE_SECONDS:
            self._filling = asyncio.create_task(response.fill(), name="heartbeat")
        self._timer = self._loop.call_later(TICK_SECONDS, self._tick)


def encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Headers as ASGI takes them."""
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
