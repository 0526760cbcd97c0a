"""What is ours of the time of an answer is measured apart from what is the provider's and the client's."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx

from devstack.provider import Provider, scripts
from devstack.pytest_plugin import FreshDatabase
from tests.service.gateway.chat_house import house, target
from tests.service.gateway.chat_process import serving

HELLO = {"model": "smart-route-mini", "messages": [{"role": "user", "content": "Hi"}]}
SLOW_SECONDS = 2.0


async def slowly_sent(body: bytes) -> AsyncIterator[bytes]:
    yield body[:10]
    await asyncio.sleep(SLOW_SECONDS)
    yield body[10:]


def measured(text: str, name: str) -> tuple[int, float]:
    """How often a histogram was recorded, and the sum."""
    count = sum(float(found) for found in re.findall(rf"^{name}_count(?:{{.*}})? (\S+)$", text, re.MULTILINE))
    total = sum(float(found) for found in re.findall(rf"^{name}_sum(?:{{.*}})? (\S+)$", text, re.MULTILINE))
    return int(count), total


async def test_neither_a_slow_provider_nor_a_slow_client_is_our_part(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with (
        Provider(default=scripts.answer("Hi", delay_seconds=SLOW_SECONDS)) as provider,
        house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}, without=["gateway"]) as home,
        serving(home, tmp_path / "data") as gateway,
        gateway.client(home.token) as client,
    ):
        answer = await client.post("/v1/chat/completions", content=slowly_sent(json.dumps(HELLO).encode()))
        async with httpx.AsyncClient() as scraper:
            text = (await scraper.get(f"{gateway.health}/metrics")).text
    assert answer.status_code == 200
    assert measured(text, "http_server_request_duration_seconds")[1] > 2 * SLOW_SECONDS
    count, seconds = measured(text, "smartroute_added_duration_seconds")
    assert count == 1
    assert 0 < seconds < SLOW_SECONDS


async def test_only_what_is_streamed_has_a_first_chunk(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with (
        Provider(default=scripts.answer("Hi")) as provider,
        house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}, without=["gateway"]) as home,
        serving(home, tmp_path / "data") as gateway,
        gateway.client(home.token) as client,
    ):
        for is_stream in (False, False, True):
            await client.post("/v1/chat/completions", json={**HELLO, "stream": is_stream})
        async with httpx.AsyncClient() as scraper:
            text = (await scraper.get(f"{gateway.health}/metrics")).text
    assert measured(text, "gen_ai_client_operation_duration_seconds")[0] == 3
    assert measured(text, "gen_ai_client_operation_time_to_first_chunk_seconds")[0] == 1
