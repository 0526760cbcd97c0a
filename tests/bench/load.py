"""The load generator: a process of its own, one connection per caller, no HTTP library: not what is measured.

`python load.py '<json>'` with the fields of `Plan`; it prints one JSON object, the fields of `Outcome`. Closed loop:
every caller sends its next request when the last one has ended. Open loop (`rate`): requests start on a timetable,
whatever became of the earlier ones, each on an idle connection or a new one.
"""

import asyncio
import json
import resource
import sys
import time
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import cast
from urllib.parse import urlsplit

import uvloop

_MOST_CONNECTIONS = 256
_STUCK_SECONDS = 30.0
_EXAMPLE_BYTES = 300
_LAST_EVENT_BYTES = 8192  # the whole response comes in it again


@dataclass(frozen=True)
class Plan:
    """What to send where, for how long, in the words of `client` (chat or responses). The first `warmup_seconds` are
    sent but not reported."""

    url: str
    token: str
    model: str
    is_streamed: bool
    callers: int
    seconds: float
    rate: float | None = None
    warmup_seconds: float = 0.5
    chunks: int = 100
    client: str = "chat"


@dataclass
class Outcome:
    """What came of it. Times in milliseconds; `all_requests` counts the warm-up too (for CPU per request);
    `example` is the beginning of the first answer that did not count."""

    requests: int = 0
    all_requests: int = 0
    all_good: int = 0
    per_second: float = 0.0
    p50: float = 0.0
    p99: float = 0.0
    first_p50: float = 0.0
    first_p99: float = 0.0
    cpu_share: float = 0.0
    errors: dict[str, int] = field(default_factory=dict)
    example: str = ""


@dataclass(slots=True)
class Reply:
    """One answer: its status (0: the connection broke), when its first content came and when it ended."""

    status: int
    first_at: float
    ended_at: float
    body: bytes


class Connection(asyncio.Protocol):
    """One kept-alive connection with one request on it at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Reply] | None = None
        self._data = bytearray()
        self._body_at = -1
        self._length: int | None = None
        self._first_at = 0.0

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transport does not subclass asyncio's

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._finish(0)

    def close(self) -> None:
        """Close without waiting."""
        if self._transport is not None:
            self._transport.close()

    def send(self, request: bytes) -> "asyncio.Future[Reply]":
        """Send a request; the future is its reply."""
        self._data, self._body_at, self._length, self._first_at = bytearray(), -1, None, 0.0
        self._waiter = asyncio.get_running_loop().create_future()
        if self._transport is None:
            self._finish(0)
        else:
            self._transport.write(request)
        return self._waiter if self._waiter is not None else _broken()

    def data_received(self, data: bytes) -> None:
        self._data += data
        if self._body_at < 0:
            self._read_head()
            if self._body_at < 0:
                return
        size = len(self._data) - self._body_at
        if size and not self._first_at:
            self._first_at = time.perf_counter()
        is_complete = size >= self._length if self._length is not None else self._data.endswith(b"\r\n0\r\n\r\n")
        if is_complete:
            self._finish(int(self._data[9:12]))

    def _read_head(self) -> None:
        end = self._data.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self._data[:end]).lower()
        self._body_at = end + 4
        place = head.find(b"\r\ncontent-length:")
        if place >= 0:
            self._length = int(head[place + 17 :].split(b"\r\n", 1)[0])

    def _finish(self, status: int) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            body = bytes(self._data[max(self._body_at, 0) :])
            waiter.set_result(Reply(status, self._first_at, time.perf_counter(), body))


class Load:
    """One run of a plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._request = request_bytes(plan)
        self._times: list[float] = []
        self._first_times: list[float] = []
        self._errors: Counter[str] = Counter()
        self._example = ""
        self._all_requests = 0
        self._all_good = 0
        self._counted_from = 0.0
        self._ends_at = 0.0
        self._last_ended_at = 0.0

    async def run(self) -> Outcome:
        """Send, and sum up."""
        self._counted_from = time.perf_counter() + self._plan.warmup_seconds
        self._ends_at = self._counted_from + self._plan.seconds
        cpu = _cpu_seconds()
        began = time.perf_counter()
        try:
            async with asyncio.timeout(self._plan.warmup_seconds + self._plan.seconds + _STUCK_SECONDS):
                await self._send_all()
        except TimeoutError:
            self._errors[f"no answer in {_STUCK_SECONDS:g} s"] += 1
        wall = time.perf_counter() - began
        counted = max(self._last_ended_at - self._counted_from, 1e-9)
        return Outcome(
            requests=len(self._times),
            all_requests=self._all_requests,
            all_good=self._all_good,
            per_second=len(self._times) / counted,
            p50=percentile(self._times, 0.50),
            p99=percentile(self._times, 0.99),
            first_p50=percentile(self._first_times, 0.50),
            first_p99=percentile(self._first_times, 0.99),
            cpu_share=(_cpu_seconds() - cpu) / wall,
            errors=dict(self._errors),
            example=self._example,
        )

    async def _send_all(self) -> None:
        if self._plan.rate is None:
            await asyncio.gather(*(self._call_in_a_loop() for _ in range(self._plan.callers)))
        else:
            await self._call_on_time(self._plan.rate)

    async def _call_in_a_loop(self) -> None:
        connection = await self._connect()
        while time.perf_counter() < self._ends_at:
            if not connection.is_open:
                connection = await self._connect()
            await self._call(connection)
        connection.close()

    async def _call_on_time(self, rate: float) -> None:
        idle: deque[Connection] = deque()
        running: set[asyncio.Task[None]] = set()

        async def one() -> None:
            connection = idle.pop() if idle else await self._connect()
            await self._call(connection)
            if connection.is_open:
                idle.append(connection)

        due = time.perf_counter()
        while due < self._ends_at:
            await asyncio.sleep(due - time.perf_counter())
            if len(running) >= _MOST_CONNECTIONS:
                self._errors["not sent: 256 in flight"] += 1
            else:
                task = asyncio.create_task(one())
                running.add(task)
                task.add_done_callback(running.discard)
            due += 1 / rate
        await asyncio.gather(*running)
        for connection in idle:
            connection.close()

    async def _call(self, connection: Connection) -> None:
        sent_at = time.perf_counter()
        reply = await connection.send(self._request)
        self._all_requests += 1
        problem = self._problem(reply)
        if problem is not None:
            self._errors[problem] += 1
            self._example = self._example or reply.body[:_EXAMPLE_BYTES].decode(errors="replace")
            return
        self._all_good += 1
        if sent_at >= self._counted_from:
            self._last_ended_at = reply.ended_at
            self._times.append((reply.ended_at - sent_at) * 1000)
            self._first_times.append((reply.first_at - sent_at) * 1000)

    def _problem(self, reply: Reply) -> str | None:
        """Why a reply does not count, or None. A stream counts when it is whole."""
        if reply.status != 200:
            return str(reply.status) if reply.status else "connection broken"
        if self._plan.client == "responses":
            return self._problem_of_response(reply.body)
        if not self._plan.is_streamed:
            return None if b'"choices"' in reply.body else "answer without choices"
        if b"data: [DONE]" not in reply.body[-64:]:
            return "stream without [DONE]"
        return None if reply.body.count(b"data: ") >= self._plan.chunks else "stream with chunks missing"

    def _problem_of_response(self, body: bytes) -> str | None:
        if not self._plan.is_streamed:
            return None if b'"output"' in body else "response without output"
        if b"event: response.completed" not in body[-_LAST_EVENT_BYTES:]:
            return "stream without response.completed"
        # The first chunk opens the answer; the others are words.
        words = body.count(b"event: response.output_text.delta")
        return None if words >= self._plan.chunks - 1 else "stream with chunks missing"

    async def _connect(self) -> Connection:
        place = urlsplit(self._plan.url)
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(Connection, place.hostname or "127.0.0.1", place.port or 80)
        return connection


def request_bytes(plan: Plan) -> bytes:
    """The one request that is sent again and again: a prompt of about 1 KB."""
    said: dict[str, object] = {"role": "user", "content": "Say it. " * 120}
    if plan.client == "responses":
        payload: dict[str, object] = {"model": plan.model, "input": [said], "store": False, "stream": plan.is_streamed}
    else:
        payload = {"model": plan.model, "messages": [said]}
        payload |= {"stream": True, "stream_options": {"include_usage": True}} if plan.is_streamed else {}
    body = json.dumps(payload).encode()
    place = urlsplit(plan.url)
    head = (
        f"POST {place.path} HTTP/1.1\r\nhost: {place.netloc}\r\nauthorization: Bearer {plan.token}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def percentile(values: Iterable[float], share: float) -> float:
    """The value that `share` of all are not above; 0 when there is none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def _broken() -> "asyncio.Future[Reply]":
    future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
    now = time.perf_counter()
    future.set_result(Reply(0, now, now, b""))
    return future


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Run the plan in the argument."""
    outcome = uvloop.run(Load(Plan(**json.loads(sys.argv[1]))).run())
    sys.stdout.write(json.dumps(asdict(outcome)))


if __name__ == "__main__":
    main()
