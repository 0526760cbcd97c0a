"""A hundred readers of streams: each opens one, reads it to its end, and opens the next, at any gateway in rotation."""

import asyncio
import itertools
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp

HELLO = [{"role": "user", "content": "Say hello."}]
MODEL = "smart-route-mini"


@dataclass(frozen=True, slots=True)
class Read:
    """One request to its end. `cut` says how it broke; a refusal has a `status` of its own."""

    gateway: str
    began_at: float
    ended_at: float
    status: int
    request_id: str | None
    is_whole: bool
    cut: str | None = None
    said: str = ""

    @property
    def is_refused(self) -> bool:
        return self.status >= 400


@dataclass
class Crowd:
    """Who reads. `rotation` is what the balancer sends to: a gateway that is to stop is taken out of it first."""

    token: str
    text: str
    rotation: list[str]
    readers: int = 100
    log: list[Read] = field(default_factory=list)
    open_streams: Counter[str] = field(default_factory=Counter)
    _is_over: bool = False
    _turn: "itertools.count[int]" = field(default_factory=itertools.count)

    @property
    def whole(self) -> Sequence[Read]:
        return [read for read in self.log if read.is_whole]

    @property
    def cut(self) -> Sequence[Read]:
        """Answers that began and did not end well, and connections that broke before any answer."""
        return [read for read in self.log if not read.is_whole and not read.is_refused]

    @property
    def refused(self) -> Sequence[Read]:
        return [read for read in self.log if read.is_refused]

    def told(self) -> str:
        """The figures, and the first of what went wrong."""
        figures = f"{len(self.whole)} answers whole, {len(self.cut)} cut, {len(self.refused)} refused"
        return "\n".join([figures, *(str(read) for read in (*self.cut, *self.refused)[:10])])

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        """Readers come while the block runs; on the way out everyone reads to the end."""
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        timeout = aiohttp.ClientTimeout(total=120.0)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            tasks = [asyncio.create_task(self._read_on(session, number)) for number in range(self.readers)]
            try:
                yield
            finally:
                self._is_over = True
                await asyncio.gather(*tasks)

    async def until(self, holds: Callable[[], bool], *, within_seconds: float) -> None:
        deadline = time.monotonic() + within_seconds
        while not holds():
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {within_seconds:g} s")
            await asyncio.sleep(0.05)

    async def _read_on(self, session: aiohttp.ClientSession, number: int) -> None:
        # Not all at once: a crowd arrives over some seconds.
        await asyncio.sleep(number * 0.05)
        while not self._is_over:
            gateway = self.rotation[next(self._turn) % len(self.rotation)]
            read = await self._read(session, gateway)
            self.log.append(read)
            if not read.is_whole:
                await asyncio.sleep(0.5)  # as `Retry-After` asks, and short of what a person would wait

    async def _read(self, session: aiohttp.ClientSession, gateway: str) -> Read:
        began_at = time.monotonic()
        status, request_id, said, cut = 0, None, "", None
        body = {"model": MODEL, "stream": True, "messages": HELLO}
        headers = {"authorization": f"Bearer {self.token}"}
        self.open_streams[gateway] += 1
        try:
            async with session.post(f"{gateway}/chat/completions", json=body, headers=headers) as response:
                status, request_id = response.status, response.headers.get("x-request-id")
                said = (await response.read()).decode()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            cut = f"{type(error).__name__}: {error}"
        finally:
            self.open_streams[gateway] -= 1
        is_whole = cut is None and status == 200 and self._is_whole(said)
        if is_whole:
            said = ""
        return Read(gateway, began_at, time.monotonic(), status, request_id, is_whole, cut, said[-300:])

    def _is_whole(self, said: str) -> bool:
        lines = [line.removeprefix("data: ") for line in said.split("\n") if line.startswith("data: ")]
        if not lines or lines[-1] != "[DONE]":
            return False
        deltas = (choice["delta"] for line in lines[:-1] for choice in json.loads(line).get("choices", ()))
        return "".join(delta.get("content") or "" for delta in deltas) == self.text
