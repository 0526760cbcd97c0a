"""A turn, and a session that its client names, stay with the target that served them while it is healthy."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from devstack.probes import until
from devstack.provider import Provider, ToolCall, scripts
from devstack.pytest_plugin import FreshDatabase
from tests.service.gateway.chat_house import QUESTION, Answer, House, house, target

HEARD_SECONDS = 0.3
TOOLS = [{"type": "function", "function": {"name": "look"}}]


@asynccontextmanager
async def two_targets(
    nats_url: str, fresh_database: FreshDatabase, folder: Path
) -> AsyncIterator[tuple[House, Provider, Provider]]:
    async with Provider() as first, Provider() as second:
        targets = {"first": target(first, "first"), "second": target(second, "second")}
        async with house(nats_url, fresh_database, folder, targets) as home:
            yield home, first, second


def with_result(answer: Answer) -> list[dict[str, Any]]:
    said = answer.json["choices"][0]["message"]
    call_id = said["tool_calls"][0]["id"]
    return [*QUESTION["messages"], said, {"role": "tool", "tool_call_id": call_id, "content": "a door"}]


async def test_a_turn_stays_where_it_began_although_a_better_target_is_back(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with two_targets(nats_url, fresh_database, tmp_path) as (home, first, second):

        async def stays() -> bool:
            """The router hears of an answer a moment after it: on a slow machine another turn has more luck."""
            first.enqueue(scripts.http_error(503))
            second.enqueue(scripts.answer(tool_calls=[ToolCall("look")]))
            opener = await home.ask(tools=TOOLS)
            await asyncio.sleep(HEARD_SECONDS)
            before = len(second.exchanges)
            assert (await home.ask(messages=with_result(opener), tools=TOOLS)).status == 200
            return len(second.exchanges) == before + 1

        assert await until(stays, within_seconds=30)
        elsewhere = len(first.exchanges)
        assert (await home.ask()).status == 200
        assert len(first.exchanges) == elsewhere + 1, "a new turn goes to the best target"


async def test_a_session_comes_back_to_its_target_and_is_told_to_no_provider(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with two_targets(nats_url, fresh_database, tmp_path) as (home, first, second):
        keys = (f"session-{number}" for number in range(100))

        async def stays() -> bool:
            key = next(keys)
            first.enqueue(scripts.http_error(503))
            assert (await home.ask(prompt_cache_key=key)).status == 200
            await asyncio.sleep(HEARD_SECONDS)
            before = len(second.exchanges)
            assert (await home.ask(prompt_cache_key=key)).status == 200
            return len(second.exchanges) == before + 1

        assert await until(stays, within_seconds=30)
        elsewhere = len(first.exchanges)
        await home.ask(prompt_cache_key="another one")
        assert len(first.exchanges) == elsewhere + 1
        bodies = [exchange.request.body for exchange in (*first.exchanges, *second.exchanges)]
        assert not any(b"session-" in body for body in bodies)


async def test_in_the_middle_of_its_tool_calls_a_turn_is_answered_by_the_same_model_or_by_nobody(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with two_targets(nats_url, fresh_database, tmp_path) as (home, first, second):
        first.enqueue(scripts.http_error(503))
        second.enqueue(scripts.answer(tool_calls=[ToolCall("look")]))
        opener = await home.ask(tools=TOOLS)
        second.always(scripts.http_error(503))
        failed = await home.ask(messages=with_result(opener), tools=TOOLS)
        assert (failed.status, failed.json["error"]["code"]) == (502, "upstream_unavailable")
        assert len(first.exchanges) == 1
        second.always(scripts.answer())

        async def goes_on() -> bool:
            """The target was set aside for a moment."""
            return (await home.ask(messages=with_result(opener), tools=TOOLS)).status == 200

        assert await until(goes_on, within_seconds=30)
        assert len(first.exchanges) == 1
        assert await home.cost() == 1


async def test_another_endpoint_of_the_same_model_goes_on_with_a_turn(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with Provider() as first, Provider() as second:
        targets = {"first": target(first, "same"), "second": target(second, "same")}
        async with house(nats_url, fresh_database, tmp_path, targets) as home:
            first.enqueue(scripts.answer(tool_calls=[ToolCall("look")]))
            opener = await home.ask(tools=TOOLS)
            first.always(scripts.http_error(503))
            assert (await home.ask(messages=with_result(opener), tools=TOOLS)).status == 200
            assert (len(first.exchanges), len(second.exchanges)) == (2, 1)
            assert await home.cost() == 1


async def test_a_target_that_takes_keys_for_its_cache_gets_ours_and_no_customers(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with Provider() as first, Provider() as second:
        targets = {
            "first": target(first, "first", dialect={"takes_cache_key": True}),
            "second": target(second, "second"),
        }
        async with house(nats_url, fresh_database, tmp_path, targets) as home:
            for name in ("one", "one", "another"):
                assert (await home.ask(prompt_cache_key=f"session-{name}")).status == 200
            first.always(scripts.http_error(503))
            assert (await home.ask(prompt_cache_key="session-one")).status == 200
    keys = [json.loads(exchange.request.body)["prompt_cache_key"] for exchange in first.exchanges[:3]]
    assert keys[0] == keys[1] != keys[2]
    assert not any("session" in key for key in keys)
    assert "prompt_cache_key" not in json.loads(second.exchanges[0].request.body)
