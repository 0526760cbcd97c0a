"""A gateway process in front of a house that has none of its own: one that can be killed, paused and started again."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from gateway.journal import SUFFIX, Record, read
from tests import patience
from tests.service.gateway.chat_house import Answer, House
from tests.service.gateway.gateway_process import Gateway, Process


@asynccontextmanager
async def serving(home: House, data_dir: Path, **more: str) -> AsyncIterator[Process]:
    """`python -m gateway serve`, ready; `home` asks it. Killed on the way out."""
    gateway = Gateway(home.database, home.nats_url, {"GATEWAY_DATA_DIR": str(data_dir), **patience.ENVIRONMENT, **more})
    async with gateway.running() as process:
        home.base_url = f"{process.origin}/v1"
        yield process


def journaled(data_dir: Path) -> list[Record]:
    """What is in the journals of this folder now."""
    found = [read(path.read_bytes()) for path in sorted(data_dir.glob(f"*{SUFFIX}"))]
    assert not any(contents.damaged or contents.is_torn for contents in found)
    return [record for contents in found for record in contents.records]


async def stream(home: House, *, begun: Callable[[], None] = lambda: None) -> Answer:
    """A streamed answer, as far as it came. `begun` is called when its first bytes are here."""
    async with home.post(stream=True) as response:
        parts = [await response.content.readany()]
        begun()
        try:
            while part := await response.content.readany():
                parts.append(part)
        except aiohttp.ClientError:
            pass  # it broke off: what came is what the client has
    return Answer(response.status, {k.lower(): v for k, v in response.headers.items()}, b"".join(parts))


async def begun_streams(home: House, count: int) -> list["asyncio.Task[Answer]"]:
    """So many streams side by side, each of which has begun to arrive."""
    left = count
    all_begun = asyncio.Event()

    def one_begun() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            all_begun.set()

    streams = [asyncio.create_task(stream(home, begun=one_begun)) for _ in range(count)]
    async with asyncio.timeout(60):
        await all_begun.wait()
    return streams
