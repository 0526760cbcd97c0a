"""The server: takes requests on a real socket, lets a script answer each, and keeps a record of what happened."""

import asyncio
import contextlib
import itertools
import socket
import struct
from collections import defaultdict, deque
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Self, cast

from devstack.provider import scripts
from devstack.provider.http import Request, parse_head, take_body, whole
from devstack.provider.identity import Identity
from devstack.provider.payload import encode
from devstack.provider.script import Close, Hang, Pause, Reset, Script, Write
from devstack.provider.strictness import Rules, complaints

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER with no time to linger: close() sends RST


class Ending(StrEnum):
    """How an exchange ended, seen from the provider."""

    RUNNING = "running"
    COMPLETED = "completed"
    CLIENT_DISCONNECTED = "client_disconnected"
    CUT_BY_PROVIDER = "cut_by_provider"


@dataclass(slots=True)
class Exchange:
    """One request that came in, and how it went. Times are UTC."""

    number: int
    request: Request
    script: str
    started_at: datetime
    ending: Ending = Ending.RUNNING
    ended_at: datetime | None = None
    sent_bytes: int = 0
    _ended: asyncio.Event = field(default_factory=asyncio.Event, repr=False)

    async def ended(self, *, timeout_seconds: float = 5.0) -> Ending:
        """Wait for the end and say how it was; TimeoutError if it does not come."""
        await asyncio.wait_for(self._ended.wait(), timeout_seconds)
        return self.ending

    def end(self, ending: Ending) -> None:
        """Record the end."""
        self.ending, self.ended_at = ending, datetime.now(UTC)
        self._ended.set()


class Provider:
    """A scripted provider on 127.0.0.1, running while its context is entered.

    A request is answered by the next script queued for its model, else by the next one queued for any model, else by
    the one set with `always` for its model, else by the default. `GET …/models` is answered without a script.

    A `strict` one answers a request that a real provider would refuse with 400 instead, and notes why in `complaints`.
    It knows no `developer` role in chat messages unless it `allows_developer`; one that `wants_reasoning` needs the
    thoughts back with the tool calls that they led to.
    """

    def __init__(
        self,
        *,
        brand: str | None = None,
        port: int = 0,
        default: Script | None = None,
        strict: bool = False,
        allows_developer: bool = False,
        wants_reasoning: bool = False,
    ) -> None:
        self.brand = brand
        self.exchanges: list[Exchange] = []
        self.complaints: list[str] = []
        self.strict = strict
        self._issued: set[str] = set()
        self._rules = Rules(self._issued, allows_developer, wants_reasoning)
        self._port = port
        self._default = default or scripts.answer()
        self._queues: defaultdict[str | None, deque[Script]] = defaultdict(deque)
        self._always: dict[str, Script] = {}
        self._numbers = itertools.count(1)
        self._arrived = asyncio.Condition()
        self._connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await asyncio.gather(*(connection.stop() for connection in list(self._connections)))
        await self._server.wait_closed()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._port

    @property
    def base_url(self) -> str:
        """What a profile's `base_url` is set to."""
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def open_connections(self) -> int:
        """Connections that clients hold at this moment."""
        return len(self._connections)

    def enqueue(self, *queued: Script, model: str | None = None) -> None:
        """Play these once each, in this order, for requests to `model` or (None) to any."""
        self._queues[model].extend(queued)

    def always(self, script: Script, *, model: str | None = None) -> None:
        """Play this whenever nothing is queued, for `model` or (None) for every model without its own."""
        if model is None:
            self._default = script
        else:
            self._always[model] = script

    def exchanges_for(self, model: str) -> list[Exchange]:
        """What came in for one model, in order."""
        return [exchange for exchange in self.exchanges if exchange.request.model == model]

    async def exchange(self, number: int, *, timeout_seconds: float = 5.0) -> Exchange:
        """Wait for the exchange with this index (from 0) to begin; TimeoutError if it does not."""
        async with asyncio.timeout(timeout_seconds), self._arrived:
            await self._arrived.wait_for(lambda: len(self.exchanges) > number)
        return self.exchanges[number]

    async def begin(self, request: Request) -> tuple[Exchange, Script, Identity]:
        """Record a request and choose its script. (For the connection.)"""
        wrong = complaints(request, self._rules) if self.strict else []
        script = scripts.refusal("; ".join(wrong)) if wrong else self._choose(request.model)
        exchange = Exchange(next(self._numbers), request, script.name, datetime.now(UTC))
        async with self._arrived:
            self.exchanges.append(exchange)
            self._arrived.notify_all()
        self.complaints += [f"request {exchange.number} ({request.format}): {complaint}" for complaint in wrong]
        return exchange, script, Identity(self.brand, exchange.number, self._issued)

    def connected(self, connection: "_Connection") -> None:
        """A client has come. (For the connection.)"""
        self._connections.add(connection)

    def disconnected(self, connection: "_Connection") -> None:
        """A connection has ended. (For the connection.)"""
        self._connections.discard(connection)

    def _choose(self, model: str) -> Script:
        for queue in (self._queues[model], self._queues[None]):
            if queue:
                return queue.popleft()
        return self._always.get(model, self._default)


class _Connection(asyncio.Protocol):
    """One connection: requests in, one after the other; a task that plays their scripts."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._data = bytearray()
        self._received = asyncio.Event()
        self._gone = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._transport: asyncio.Transport
        self._task: asyncio.Task[None]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transport does not subclass asyncio's
        self._transport.set_write_buffer_limits(high=0)  # "writable" means: all that was written has left
        self._task = asyncio.get_running_loop().create_task(self._serve())
        self._provider.connected(self)

    def data_received(self, data: bytes) -> None:
        self._data += data
        self._received.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the interface of asyncio
        self._gone.set()
        self._received.set()
        self._writable.set()
        self._provider.disconnected(self)

    async def stop(self) -> None:
        """Drop the connection and end the task."""
        self._transport.abort()
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _serve(self) -> None:
        while (request := await self._next_request()) is not None:
            if request.method == "GET":
                self._transport.write(_listing(self._provider.brand))
                continue
            exchange, script, identity = await self._provider.begin(request)
            ending = Ending.CLIENT_DISCONNECTED
            try:
                ending = await self._play(exchange, script, identity)
            finally:
                exchange.end(ending)
            if ending is not Ending.COMPLETED or request.headers.get("connection", "").lower() == "close":
                self._transport.close()
                return

    async def _next_request(self) -> Request | None:
        """The next request, or None when the client has left or does not speak HTTP."""
        while b"\r\n\r\n" not in self._data:
            if not await self._more():
                return None
        raw_head, _, rest = bytes(self._data).partition(b"\r\n\r\n")
        try:
            head = parse_head(raw_head)
        except ValueError:
            self._transport.write(whole(400, [("Connection", "close")], b""))
            self._transport.close()
            return None
        self._data = bytearray(rest)
        if "100-continue" in head.headers.get("expect", "").lower():
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        while (body := take_body(head, self._data)) is None:
            if not await self._more():
                return None
        return replace(head, body=body)

    async def _more(self) -> bool:
        """Wait for data; False when the client has left."""
        self._received.clear()
        if self._gone.is_set():
            return False
        await self._received.wait()
        return not self._gone.is_set()

    async def _play(self, exchange: Exchange, script: Script, identity: Identity) -> Ending:
        for step in script.play(exchange.request, identity):
            if self._gone.is_set():
                return Ending.CLIENT_DISCONNECTED
            match step:
                case Write(data):
                    exchange.sent_bytes += len(data)
                    if not await self._write(data):
                        return Ending.CLIENT_DISCONNECTED
                case Pause(seconds):
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._gone.wait(), seconds)
                case Hang():
                    await self._gone.wait()
                    return Ending.CLIENT_DISCONNECTED
                case Close():
                    self._transport.close()
                    return Ending.CUT_BY_PROVIDER
                case Reset():
                    await self._reset()
                    return Ending.CUT_BY_PROVIDER
        return Ending.COMPLETED  # a client that leaves with the last byte has had everything

    async def _write(self, data: bytes) -> bool:
        """Write and wait until the socket has taken it; False when the client left before that."""
        self._transport.write(data)
        if self._transport.get_write_buffer_size():
            await self._writable.wait()
            return not self._gone.is_set()
        await asyncio.sleep(0)  # lets a disconnect be noticed, and keeps writes apart on the wire
        return True

    async def _reset(self) -> None:
        """RST, some time after the last write."""
        await asyncio.sleep(0.02)  # time for the peer to read: an RST also discards what it has not read yet
        plug = cast(socket.socket, self._transport.get_extra_info("socket"))
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._transport.abort()


def _listing(brand: str | None) -> bytes:
    """The answer to any GET: a list of one model."""
    identity = Identity(brand)
    model = {"id": identity.model("scripted"), "object": "model", "created": 0, "owned_by": brand or "scripted"}
    body = encode({"object": "list", "data": [model]})
    return whole(200, [("Content-Type", "application/json"), *identity.headers()], body)
