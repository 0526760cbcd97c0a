"""The router's deadlines to the first word, and the budget of tries again: without anybody else, waiting is best."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from contracts.outcomes import Outcome
from contracts.router import Timeouts
from devstack.probes import until
from devstack.provider import Ending, Provider, Script, faults, scripts
from devstack.pytest_plugin import FreshDatabase
from tests.service.gateway.chat_house import House, house
from tests.service.gateway.plan_house import Heard, Router, hearing, late, plan, router_saying

DEADLINE_SECONDS = 0.3


@asynccontextmanager
async def deadline(
    nats_url: str, fresh_database: FreshDatabase, folder: Path, provider: Provider, **settings: Any
) -> AsyncIterator[tuple[House, Router, Heard]]:
    """Two candidates at one provider; each of them should begin within the deadline."""
    said = plan(("a", provider), ("b", provider), first_byte_seconds=(DEADLINE_SECONDS, DEADLINE_SECONDS), bucket=3)
    async with (
        hearing(nats_url) as heard,
        router_saying(nats_url, said) as router,
        house(nats_url, fresh_database, folder, {}, without=("router",), **settings) as home,
    ):
        yield home, router, heard


@pytest.mark.parametrize(
    "silent",
    [faults.hang_before_headers(), faults.hang_midway(events=0), faults.hang_midway(events=1)],
    ids=["no head", "head only", "head and role"],
)
async def test_a_stream_without_a_first_word_in_time_is_left_for_the_next_candidate(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path, silent: Script
) -> None:
    async with Provider(default=scripts.answer("From b.")) as provider:
        provider.always(silent, model="a-model")
        async with deadline(nats_url, fresh_database, tmp_path, provider) as (home, _, heard):
            answer = await home.ask(stream=True)
            settled = await home.settlement()
            assert await provider.exchanges[0].ended() is Ending.CLIENT_DISCONNECTED
            assert await until(lambda: heard.at_rest("a", "b"), within_seconds=30)
            assert await home.cost() == 1
    assert (answer.status, answer.text) == (200, "From b.")
    assert (settled.attempts, settled.target) == (2, "b")
    assert settled.timings.first_content_ms is not None
    assert settled.timings.first_content_ms < 10_000
    assert [(attempt.target, attempt.result) for attempt in heard.attempts] == [("a", "timed_out"), ("b", "ok")]
    silence, word = heard.first_bytes
    assert (silence.target, silence.is_censored, silence.bucket) == ("a", True, 3)
    assert DEADLINE_SECONDS * 0.95 < silence.seconds < 10
    assert (word.target, word.is_censored) == ("b", False)


async def test_the_last_candidate_is_bound_by_its_own_time_outs_only(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with (
        Provider(default=late(scripts.answer("At last."), 3 * DEADLINE_SECONDS)) as provider,
        deadline(nats_url, fresh_database, tmp_path, provider) as (home, router, _),
    ):
        provider.enqueue(scripts.http_error(503))
        assert (await home.ask(stream=True)).text == "At last."
        own = Timeouts(connect_seconds=1, first_byte_seconds=0.4, silence_seconds=0.4)
        router.says(plan(("a", provider), timeouts=own, first_byte_seconds=(0.1,)))
        provider.always(faults.hang_before_headers())
        answer = await home.ask(stream=True)
    assert (answer.status, answer.json["error"]["code"]) == (504, "upstream_timeout")


async def test_a_whole_answer_is_not_cut_and_neither_is_a_stream_that_has_begun(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with (
        Provider() as provider,
        deadline(nats_url, fresh_database, tmp_path, provider) as (home, _, _),
    ):
        provider.enqueue(scripts.answer("All of it.", delay_seconds=3 * DEADLINE_SECONDS))
        whole = await home.ask()
        provider.enqueue(scripts.chunks(12, interval_seconds=0.1))
        streamed = await home.ask(stream=True)
        settled = await home.settlements(2)
    assert whole.json["choices"][0]["message"]["content"] == "All of it."
    assert streamed.events[-1] == "[DONE]"
    assert [entry.attempts for entry in settled] == [1, 1]
    assert settled[1].timings.total_ms > 1000


async def test_without_a_budget_the_first_failure_is_the_answer_and_silence_is_waited_for(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with Provider(default=scripts.answer("From b.")) as provider:
        nothing = {"retries_per_request": 0.0, "retries_per_second": 0.0}
        async with deadline(nats_url, fresh_database, tmp_path, provider, **nothing) as (home, _, _):
            provider.always(scripts.http_error(503), model="a-model")
            failed = await home.ask()
            provider.always(late(scripts.answer("From a."), 3 * DEADLINE_SECONDS), model="a-model")
            patient = await home.ask(stream=True)
            settled = await home.settlements(2)
            assert provider.exchanges_for("b-model") == []
            assert await home.cost() == 1
    assert (failed.status, failed.json["error"]["code"]) == (502, "upstream_unavailable")
    assert (patient.status, patient.text) == (200, "From a.")
    assert [(entry.outcome, entry.attempts) for entry in settled] == [
        (Outcome.UPSTREAM_UNAVAILABLE, 1),
        (Outcome.COMPLETED, 1),
    ]


async def test_tries_again_stay_within_their_budget(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with Provider(default=scripts.answer("From b.")) as provider:
        provider.always(scripts.http_error(503), model="a-model")
        few = {"retries_per_request": 0.0, "retries_per_second": 0.2}
        async with deadline(nats_url, fresh_database, tmp_path, provider, **few) as (home, _, _):
            statuses = [(await home.ask()).status for _ in range(4)]
    assert statuses == [200, 200, 502, 502], "two were saved up, and five seconds earn one more"


async def test_a_deadline_finds_nobody_where_the_next_candidate_cannot_take_the_request(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with (
        Provider(default=late(scripts.answer("From a."), 3 * DEADLINE_SECONDS)) as provider,
        deadline(nats_url, fresh_database, tmp_path, provider) as (home, router, _),
    ):
        both = plan(("a", provider), ("b", provider), first_byte_seconds=(DEADLINE_SECONDS, DEADLINE_SECONDS))
        first, second = both.candidates
        without_tools = second.dialect.model_copy(update={"takes_tools": False})
        second = second.model_copy(update={"dialect": without_tools})
        router.says(both.model_copy(update={"candidates": (first, second)}))
        answer = await home.ask(stream=True, tools=[{"type": "function", "function": {"name": "look"}}])
        settled = await home.settlement()
    assert (answer.status, answer.text, settled.attempts) == (200, "From a.", 1)
