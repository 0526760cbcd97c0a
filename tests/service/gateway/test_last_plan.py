"""A router that is silent or away: the gateway goes by its last plans, for the same kind of request and no other."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from contracts.outcomes import Outcome
from devstack.probes import until
from devstack.provider import Provider, ToolCall, scripts
from devstack.pytest_plugin import FreshDatabase
from tests.service.gateway.chat_house import QUESTION, Answer, House, house
from tests.service.gateway.plan_house import Router, plan, router_saying

TOOLS = [{"type": "function", "function": {"name": "look"}}]
LONG_SECONDS = 5.0


@asynccontextmanager
async def routed(
    nats_url: str, fresh_database: FreshDatabase, folder: Path, **settings: Any
) -> AsyncIterator[tuple[House, Router, Provider, Provider]]:
    async with (
        Provider(default=scripts.answer("From a.")) as a,
        Provider(default=scripts.answer("From b.")) as b,
        router_saying(nats_url, plan(("a", a), ("b", b))) as router,
        house(nats_url, fresh_database, folder, {}, without=("router",), **settings) as home,
    ):
        yield home, router, a, b


def said(answer: Answer) -> str:
    return str(answer.json["choices"][0]["message"]["content"])


def with_result(answer: Answer) -> list[dict[str, Any]]:
    message = answer.json["choices"][0]["message"]
    call_id = message["tool_calls"][0]["id"]
    return [*QUESTION["messages"], message, {"role": "tool", "tool_call_id": call_id, "content": "a door"}]


async def test_a_silent_router_costs_a_moment_and_the_answer_says_so(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with routed(nats_url, fresh_database, tmp_path, choose_timeout_seconds=2 * LONG_SECONDS) as (
        home,
        router,
        _,
        _,
    ):
        assert (await home.ask()).headers["x-smartroute-route"] == (
            "profiles=7; class=chat; tier=light; rule=single_tier; placement=order; target=1/2"
        )
        router.is_silent()
        began = time.monotonic()
        answer = await home.ask()
        took = time.monotonic() - began
        settled = await home.settlements(2)
        assert await home.cost() == 2
    assert (answer.status, said(answer)) == (200, "From a.")
    assert took < LONG_SECONDS
    assert "rule=last_plan" in answer.headers["x-smartroute-route"]
    assert [entry.route.route.rule for entry in settled if entry.route] == ["single_tier", "last_plan"]


async def test_without_any_router_known_kinds_of_requests_are_answered_and_others_refused(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with Provider() as provider, house(nats_url, fresh_database, tmp_path, {}, without=("router",)) as home:
        async with router_saying(nats_url, plan(("a", provider))):
            assert (await home.ask()).status == 200
        assert [(await home.ask(stream=is_stream)).status for is_stream in (False, True)] == [200, 200]
        other = await home.ask(tools=TOOLS)
        settled = await home.settlements(4)
        assert await home.cost() == 3
    assert (other.status, other.json["error"]["code"]) == (503, "service_unavailable")
    assert [entry.outcome for entry in settled] == [*[Outcome.COMPLETED] * 3, Outcome.UPSTREAM_UNAVAILABLE]
    assert settled[3].route is None


async def test_the_candidates_of_a_last_plan_are_tried_in_its_order(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with routed(nats_url, fresh_database, tmp_path) as (home, router, first, _):
        assert (await home.ask()).status == 200
        router.is_silent()
        first.always(scripts.http_error(503))
        assert said(await home.ask()) == "From b."


async def test_a_late_answer_of_the_router_is_the_next_last_plan(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with routed(nats_url, fresh_database, tmp_path) as (home, router, first, second):
        assert said(await home.ask()) == "From a."
        router.says(plan(("b", second), ("a", first)))
        router.delay_seconds = 0.5
        assert said(await home.ask()) == "From a."
        await asyncio.sleep(0.6)
        router.is_silent()

        async def is_refreshed() -> bool:
            return said(await home.ask()) == "From b."

        assert await until(is_refreshed, within_seconds=30)


async def test_a_turn_goes_on_with_the_target_that_made_its_calls_or_not_at_all(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with routed(nats_url, fresh_database, tmp_path) as (home, router, first, second):
        first.enqueue(scripts.http_error(503))
        second.enqueue(scripts.answer(tool_calls=[ToolCall("look")]))
        opener = await home.ask(tools=TOOLS)
        router.is_silent()
        again = await home.ask(messages=with_result(opener), tools=TOOLS)
        assert (again.status, said(again)) == (200, "From b.")
        assert again.headers["x-smartroute-route"].endswith("target=1/1")
        second.always(scripts.http_error(503))
        failed = await home.ask(messages=with_result(opener), tools=TOOLS)
        assert (failed.status, failed.json["error"]["code"]) == (502, "upstream_unavailable")
        assert len(first.exchanges) == 1, "another model never goes on with it"


async def test_a_turn_whose_target_nobody_knows_waits_for_the_router(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with routed(nats_url, fresh_database, tmp_path, choose_timeout_seconds=1.0) as (home, router, first, _):
        first.enqueue(scripts.answer(tool_calls=[ToolCall("look")]))
        opener = await home.ask(tools=TOOLS)
        messages = with_result(opener)
        messages[-1]["tool_call_id"] = messages[-2]["tool_calls"][0]["id"] = "call_of_somebody_else"
        router.is_silent()
        answer = await home.ask(messages=messages, tools=TOOLS)
        assert await home.cost() == 1
    assert (answer.status, answer.json["error"]["code"]) == (503, "service_unavailable")
