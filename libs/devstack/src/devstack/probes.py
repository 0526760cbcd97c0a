"""Is it ready? Small questions to a process over its own socket, without a client library."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import urlsplit

Probe = Callable[[], Awaitable[bool]]


async def http_get(
    url: str, *, headers: Mapping[str, str] | None = None, timeout_seconds: float = 2.0
) -> tuple[int, bytes]:
    """Status and body of a plain GET. Raises `OSError` (or `TimeoutError`, which is one) when nobody answers."""
    parts = urlsplit(url)
    async with asyncio.timeout(timeout_seconds):
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
        try:
            lines = [f"GET {parts.path or '/'} HTTP/1.0", f"Host: {parts.netloc}"]
            lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
            writer.write("\r\n".join([*lines, "", ""]).encode())
            answer = await reader.read()
        finally:
            writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    try:
        return int(head.split(b" ", 2)[1]), body
    except (IndexError, ValueError):
        raise ConnectionError(f"{parts.netloc} does not speak HTTP") from None


async def http_json(url: str, *, headers: Mapping[str, str] | None = None) -> dict[str, object] | None:
    """The JSON object behind `url`, or None when there is none (nobody answers, another status, another body)."""
    try:
        status, body = await http_get(url, headers=headers)
        document = json.loads(body)
    except (OSError, ValueError):
        return None
    return document if status == 200 and isinstance(document, dict) else None


def http_ready(url: str) -> Probe:
    """Ready when `url` answers with a 2xx status."""

    async def ask() -> bool:
        try:
            status, _ = await http_get(url)
        except OSError:
            return False
        return 200 <= status < 300

    return ask


async def until(probe: Probe, *, within_seconds: float, every_seconds: float = 0.02) -> bool:
    """Ask again and again; whether it said yes in time."""
    try:
        async with asyncio.timeout(within_seconds):
            while not await probe():  # noqa: ASYNC110 - another process cannot set an Event of ours
                await asyncio.sleep(every_seconds)
    except TimeoutError:
        return False
    return True
