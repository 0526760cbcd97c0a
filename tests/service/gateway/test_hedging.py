"""A call beside a silent first one: who speaks first is the answer, nothing is left of the other, one prompt is due."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from contracts.outcomes import Outcome
from contracts.router import Format
from devstack.probes import until
from devstack.provider import Ending, Provider, Script, ToolCall, faults, scripts
from devstack.pytest_plugin import FreshDatabase
from tests.service.gateway.chat_house import Answer, House, house
from tests.service.gateway.plan_house import Heard, Router, hearing, late, plan, router_saying

HEDGE_SECONDS = 0.2
WITHOUT_ROUTER = ("router",)


@dataclass(slots=True)
class Pair:
    """Two providers behind one plan that allows a call beside the first."""

    home: House
    router: Router
    heard: Heard
    first: Provider
    second: Provider

    def text(self, answer: Answer, *, is_stream: bool) -> str:
        return answer.text if is_stream else answer.json["choices"][0]["message"]["content"]

    async def disconnects(self, provider: Provider) -> None:
        """The provider sees its client leave, and nothing stays connected to it."""
        exchange = await provider.exchange(0)
        assert await exchange.ended() is Ending.CLIENT_DISCONNECTED

        async def nobody_is_left() -> bool:
            return provider.open_connections == 0

        assert await until(nobody_is_left, within_seconds=30)


@asynccontextmanager
async def pair(
    nats_url: str,
    fresh_database: FreshDatabase,
    folder: Path,
    *,
    hedge_after_seconds: float = HEDGE_SECONDS,
    **settings: Any,
) -> AsyncIterator[Pair]:
    async with Provider(default=scripts.answer("From a.")) as a, Provider(default=scripts.answer("From b.")) as b:
        said = plan(("a", a), ("b", b), hedge_after_seconds=hedge_after_seconds)
        async with (
            hearing(nats_url) as heard,
            router_saying(nats_url, said) as router,
            house(nats_url, fresh_database, folder, {}, without=WITHOUT_ROUTER, **settings) as home,
        ):
            yield Pair(home, router, heard, a, b)


@pytest.mark.parametrize(
    ("silent", "is_stream"),
    [
        (faults.hang_before_headers(), False),
        (faults.hang_before_headers(), True),
        (faults.hang_midway(events=0), True),
        (faults.hang_midway(events=1), True),
    ],
    ids=["whole", "no head", "head only", "head and role"],
)
async def test_the_second_answers_when_the_first_says_nothing(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path, silent: Script, is_stream: bool
) -> None:
    async with pair(nats_url, fresh_database, tmp_path) as both:
        both.first.always(silent)
        answer = await both.home.ask(stream=is_stream)
        settled = await both.home.settlement()
        await both.disconnects(both.first)
        assert await until(lambda: both.heard.at_rest("a", "b"), within_seconds=30)
        assert await both.home.cost() == 1
    assert (answer.status, both.text(answer, is_stream=is_stream)) == (200, "From b.")
    assert answer.headers["x-smartroute-route"].endswith("target=2/2")
    assert (settled.outcome, settled.target, settled.attempts) == (Outcome.COMPLETED, "b", 2)
    assert settled.route is not None
    assert (settled.route.target, settled.route.of, settled.route.hedges) == (2, 2, 1)
    assert [(attempt.target, attempt.result) for attempt in both.heard.attempts] == [("a", "timed_out"), ("b", "ok")]
    firsts = {first.target: first for first in both.heard.first_bytes}
    assert (firsts["a"].is_censored, firsts["b"].is_censored) == (True, False)
    assert firsts["a"].seconds >= HEDGE_SECONDS


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "streamed"])
async def test_the_first_goes_on_when_it_speaks_before_the_second(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path, is_stream: bool
) -> None:
    async with pair(nats_url, fresh_database, tmp_path) as both:
        both.first.always(scripts.answer("From a.", delay_seconds=3 * HEDGE_SECONDS))
        both.second.always(faults.hang_midway(events=1) if is_stream else faults.hang_before_headers())
        answer = await both.home.ask(stream=is_stream)
        settled = await both.home.settlement()
        await both.disconnects(both.second)
        assert await until(lambda: both.heard.at_rest("a", "b"), within_seconds=30)
        assert await both.home.cost() == 1
    assert (answer.status, both.text(answer, is_stream=is_stream)) == (200, "From a.")
    assert answer.headers["x-smartroute-route"].endswith("target=1/2")
    assert (settled.target, settled.attempts, settled.tokens.source) == ("a", 2, "provider")
    assert settled.route is not None
    assert (settled.route.target, settled.route.hedges) == (1, 1)


async def test_the_ids_of_tool_calls_are_those_of_the_answer_that_was_given(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    tools = [{"type": "function", "function": {"name": "look"}}]
    async with pair(nats_url, fresh_database, tmp_path) as both:
        both.first.always(late(scripts.answer(tool_calls=[ToolCall("look"), ToolCall("look")]), 3 * HEDGE_SECONDS))
        both.second.enqueue(scripts.answer(tool_calls=[ToolCall("look")]))
        opener = await both.home.ask(tools=tools)
        said = opener.json["choices"][0]["message"]
        assert len(said["tool_calls"]) == 1
        result = {"role": "tool", "tool_call_id": said["tool_calls"][0]["id"], "content": "a door"}
        both.first.always(scripts.answer("Seen."))
        messages = [{"role": "user", "content": "Hello?"}, said, result]
        assert (await both.home.ask(messages=messages, tools=tools)).status == 200
        settled = await both.home.settlements(2)
        assert await both.home.cost() == 1
        assert [ask.served_by for ask in both.router.asks] == [None, "b"]
    assert [entry.outcome for entry in settled] == [Outcome.COMPLETED, Outcome.CONTINUATION]


async def test_when_both_fail_nothing_is_charged(nats_url: str, fresh_database: FreshDatabase, tmp_path: Path) -> None:
    async with pair(nats_url, fresh_database, tmp_path) as both:
        both.first.always(late(scripts.http_error(503), 3 * HEDGE_SECONDS))
        both.second.always(scripts.http_error(500))
        answer = await both.home.ask(stream=True)
        settled = await both.home.settlement()
        assert await until(lambda: both.heard.at_rest("a", "b"), within_seconds=30)
        assert await both.home.cost() == 0
    assert (answer.status, answer.json["error"]["code"]) == (502, "upstream_unavailable")
    assert answer.headers["x-smartroute-route"].endswith("target=none/2")
    assert (settled.outcome, settled.attempts) == (Outcome.UPSTREAM_UNAVAILABLE, 2)
    assert settled.route is not None
    assert (settled.route.target, settled.route.hedges) == (None, 1)
    assert sorted((attempt.target, attempt.status) for attempt in both.heard.attempts) == [("a", 503), ("b", 500)]


async def test_when_the_second_fails_the_first_goes_on_alone(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with pair(nats_url, fresh_database, tmp_path) as both:
        both.first.always(late(scripts.answer("From a."), 3 * HEDGE_SECONDS))
        both.second.always(scripts.http_error(400))
        answer = await both.home.ask(stream=True)
        settled = await both.home.settlement()
        assert len(both.second.exchanges) == 1
    assert (answer.status, answer.text, settled.attempts) == (200, "From a.", 2)


async def test_when_the_first_fails_meanwhile_the_second_is_the_next_try(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with pair(nats_url, fresh_database, tmp_path) as both:
        both.first.always(late(scripts.http_error(503), 2 * HEDGE_SECONDS))
        both.second.always(late(scripts.answer("From b."), 3 * HEDGE_SECONDS))
        answer = await both.home.ask(stream=True)
        settled = await both.home.settlement()
        assert (len(both.first.exchanges), len(both.second.exchanges)) == (1, 1)
    assert (answer.status, answer.text, settled.attempts) == (200, "From b.", 2)


async def test_a_request_that_the_first_refuses_ends_at_once(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with pair(nats_url, fresh_database, tmp_path) as both:
        both.first.always(late(scripts.http_error(422), 2 * HEDGE_SECONDS))
        both.second.always(faults.hang_before_headers())
        answer = await both.home.ask()
        await both.home.settlement()
        await both.disconnects(both.second)
        assert await both.home.cost() == 0
    assert (answer.status, answer.json["error"]["code"]) == (400, "request_refused")


async def test_both_calls_end_when_the_client_leaves(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with pair(nats_url, fresh_database, tmp_path) as both:
        both.first.always(faults.hang_before_headers())
        both.second.always(faults.hang_before_headers())
        with pytest.raises(asyncio.TimeoutError):
            async with asyncio.timeout(4 * HEDGE_SECONDS), both.home.post(stream=True):
                pass
        await both.disconnects(both.first)
        await both.disconnects(both.second)
        settled = await both.home.settlement()
        assert await until(lambda: both.heard.at_rest("a", "b"), within_seconds=30)
        assert await both.home.cost() == 0
        assert both.heard.attempts == []
    assert (settled.outcome, settled.attempts) == (Outcome.CLIENT_GONE_EARLY, 2)


async def test_both_calls_end_with_the_longest_time_of_an_answer_and_with_the_gateway(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with pair(nats_url, fresh_database, tmp_path, answer_limit_seconds=0.6, grace_seconds=0.1) as both:
        both.first.always(faults.hang_before_headers())
        both.second.always(faults.hang_before_headers())
        answer = await both.home.ask(stream=True)
        assert (answer.status, answer.json["error"]["code"]) == (504, "upstream_timeout")
        await both.disconnects(both.first)
        await both.disconnects(both.second)
        asking = asyncio.create_task(both.home.ask(stream=True))
        await both.second.exchange(1)
        await both.home.stop("gateway")
        assert (await asking).status == 503
        assert [await provider.exchanges[1].ended() for provider in (both.first, both.second)] == [
            Ending.CLIENT_DISCONNECTED
        ] * 2
        settled = await both.home.settlements(2)
        assert await both.home.cost() == 0
    assert [entry.outcome for entry in settled] == [Outcome.UPSTREAM_UNAVAILABLE, Outcome.GATEWAY_SHUTDOWN]


async def test_nobody_is_called_beside_one_that_has_begun_to_speak(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with pair(nats_url, fresh_database, tmp_path, hedge_after_seconds=0.6) as both:
        both.first.always(scripts.chunks(10, interval_seconds=0.15))
        answer = await both.home.ask(stream=True)
        settled = await both.home.settlement()
        assert both.second.exchanges == []
    assert (answer.status, settled.attempts) == (200, 1)


async def test_nobody_is_called_beside_without_a_budget_or_without_the_plan_saying_so(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with pair(nats_url, fresh_database, tmp_path, hedges_saved=1) as both:
        both.first.always(late(scripts.answer("From a."), 3 * HEDGE_SECONDS))
        both.second.always(late(scripts.answer("From b."), 6 * HEDGE_SECONDS))
        assert [(await both.home.ask()).status for _ in range(2)] == [200, 200]
        assert len(both.second.exchanges) == 1, "the second request had no budget left"
        both.router.says(plan(("a", both.first), ("b", both.second)))
        assert (await both.home.ask(stream=True)).text == "From a."
        assert len(both.second.exchanges) == 1
        settled = await both.home.settlements(3)
    assert [entry.attempts for entry in settled] == [2, 1, 1]


async def test_one_request_has_at_most_one_call_beside(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with pair(nats_url, fresh_database, tmp_path) as both, Provider(default=scripts.answer("From c.")) as third:
        both.router.says(plan(("a", both.first), ("b", both.second), ("c", third), hedge_after_seconds=HEDGE_SECONDS))
        both.first.always(late(scripts.http_error(503), 4 * HEDGE_SECONDS))
        both.second.always(late(scripts.http_error(503), 4 * HEDGE_SECONDS))
        third.always(scripts.answer("From c.", delay_seconds=3 * HEDGE_SECONDS))
        answer = await both.home.ask(stream=True)
        settled = await both.home.settlement()
    assert (answer.status, answer.text) == (200, "From c.")
    assert settled.attempts == 3
    assert settled.route is not None
    assert (settled.route.target, settled.route.hedges) == (3, 1)


@pytest.mark.parametrize("spoken", ["responses", "anthropic", "chat"])
@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "streamed"])
async def test_what_is_stored_is_the_answer_that_was_given(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path, spoken: Format, is_stream: bool
) -> None:
    async with pair(nats_url, fresh_database, tmp_path) as both:
        both.router.says(plan(("a", both.first), ("b", both.second), spoken=spoken, hedge_after_seconds=HEDGE_SECONDS))
        both.first.always(faults.hang_midway(events=1) if is_stream else faults.hang_midway())
        home = both.home
        headers = {"authorization": f"Bearer {home.token}"}
        body = {"model": "smart-route", "input": "Hello?", "stream": is_stream}
        async with home.session.post(f"{home.base_url}/responses", json=body, headers=headers) as response:
            sent = await response.text()
        settled = await home.settlement()
        url = f"{home.base_url}/responses/resp_{settled.request_id.hex}"
        async with home.session.get(url, headers=headers) as stored:
            output = (await stored.json())["output"]
        await both.disconnects(both.first)
        assert await home.cost() == 1
    assert "From b." in sent
    assert sent.count("event: response.created") == is_stream
    assert [part["text"] for item in output for part in item["content"]] == ["From b."]
    assert (settled.outcome, settled.target, settled.attempts) == (Outcome.COMPLETED, "b", 2)
