"""The outcome table of design.md §4, row by row: what the client sees, what is settled, what it costs."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from contracts.outcomes import Outcome
from devstack.provider import Answer, Ending, Provider, Script, faults, scripts
from devstack.pytest_plugin import FreshDatabase
from tests.service.gateway.chat_house import house, target

SHORT = {"timeouts": {"connect_seconds": 0.3, "first_byte_seconds": 0.4, "silence_seconds": 0.4}}


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize(
    ("script", "outcome", "status", "code", "prompts"),
    [
        (scripts.answer("Hi"), Outcome.COMPLETED, 200, None, 1),
        (scripts.answer(like=Answer(text="Hi", finish_reason="length")), Outcome.COMPLETED, 200, None, 1),
        (scripts.answer(like=Answer(text=None, refusal="No.")), Outcome.COMPLETED, 200, None, 1),
        (scripts.empty(), Outcome.EMPTY, 200, None, 0),
        (scripts.http_error(400), Outcome.REJECTED_REQUEST, 400, "context_length_exceeded", 0),
        (scripts.http_error(413), Outcome.REJECTED_REQUEST, 400, "request_refused", 0),
        (scripts.http_error(422), Outcome.REJECTED_REQUEST, 400, "request_refused", 0),
        (scripts.http_error(500), Outcome.UPSTREAM_UNAVAILABLE, 502, "upstream_unavailable", 0),
        (faults.hang_before_headers(), Outcome.UPSTREAM_UNAVAILABLE, 504, "upstream_timeout", 0),
    ],
    ids=lambda value: value.name if isinstance(value, Script) else "",
)
async def test_an_answer_or_its_failure_is_settled_as_the_table_says(
    nats_url: str,
    fresh_database: FreshDatabase,
    tmp_path: Path,
    script: Script,
    outcome: Outcome,
    status: int,
    code: str | None,
    prompts: int,
    is_stream: bool,
) -> None:
    async with (
        Provider(default=script) as provider,
        house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a", **SHORT)}) as home,
    ):
        answer = await home.ask(stream=is_stream)
        settled = await home.settlement()
        used = await home.cost()
    assert answer.status == status
    assert (settled.outcome, settled.error_code, settled.is_stream) == (outcome, code, is_stream)
    assert (settled.prompts, used) == (prompts, prompts)
    assert (settled.target, settled.attempts) == ("a", 1)
    assert answer.headers["x-smartroute-turn"].startswith(str(settled.turn_id))
    if code is not None:
        assert answer.json["error"]["code"] == code


@pytest.mark.parametrize(
    "script",
    [
        faults.close_midway(),
        faults.reset_midway(),
        faults.hang_midway(),
        faults.end_without_done(events=3),
        faults.error_in_stream(events=3),
        faults.error_in_stream(events=3, is_named=True),
        faults.invalid_json(events=3),
    ],
    ids=lambda script: script.name,
)
async def test_an_answer_that_breaks_off_ends_with_a_typed_error_and_costs_nothing(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path, script: Script
) -> None:
    targets: dict[str, dict[str, Any]]
    async with Provider() as provider:
        targets = {"a": target(provider, "a", **SHORT), "b": target(provider, "b", **SHORT)}
        provider.enqueue(script, model="a-model")
        async with house(nats_url, fresh_database, tmp_path, targets) as home:
            answer = await home.ask(stream=True)
            settled = await home.settlement()
            used = await home.cost()
        seen_by_b = provider.exchanges_for("b-model")
    assert answer.status == 200
    assert answer.events[-1]["error"]["code"] == "upstream_broken"
    assert answer.text
    assert "[DONE]" not in answer.events
    assert (settled.outcome, settled.error_code, used) == (Outcome.UPSTREAM_BROKEN, "upstream_broken", 0)
    assert not seen_by_b, "another candidate was asked after content had left"


@pytest.mark.parametrize("is_stream", [False, True])
async def test_a_client_that_leaves_before_content_is_not_charged_and_the_provider_is_told_at_once(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path, is_stream: bool
) -> None:
    async with (
        Provider(default=faults.hang_before_headers()) as provider,
        house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}) as home,
    ):
        asking = asyncio.create_task(home.ask(stream=is_stream))
        exchange = await provider.exchange(0)
        asking.cancel()
        assert await exchange.ended(timeout_seconds=1.0) is Ending.CLIENT_DISCONNECTED
        settled = await home.settlement()
        used = await home.cost()
    assert (settled.outcome, settled.timings.first_content_ms, used) == (Outcome.CLIENT_GONE_EARLY, None, 0)


async def test_a_client_that_leaves_after_content_is_charged_and_the_provider_is_told_at_once(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with (
        Provider(default=scripts.chunks(1000, interval_seconds=0.02)) as provider,
        house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}) as home,
    ):
        async with home.post(stream=True) as response:
            await response.content.readany()
            response.close()
        exchange = await provider.exchange(0)
        assert await exchange.ended(timeout_seconds=1.0) is Ending.CLIENT_DISCONNECTED
        settled = await home.settlement()
        used = await home.cost()
    assert (settled.outcome, used) == (Outcome.CLIENT_GONE_LATE, 1)


@pytest.mark.parametrize("has_begun", [False, True])
async def test_a_gateway_that_has_to_stop_settles_what_it_cuts_off_and_says_so(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path, has_begun: bool
) -> None:
    script = scripts.chunks(1000, interval_seconds=0.05) if has_begun else faults.hang_before_headers()
    async with (
        Provider(default=script) as provider,
        house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}, grace_seconds=1.0) as home,
    ):
        asking = asyncio.create_task(home.ask(stream=True))
        exchange = await provider.exchange(0)
        await home.stop("gateway")
        answer = await asking
        settled = await home.settlement()
        await exchange.ended()
        used = await home.cost()
    assert answer.status == (200 if has_begun else 503)
    error = answer.events[-1]["error"] if has_begun else answer.json["error"]
    assert error["code"] == "gateway_stopping"
    assert (settled.outcome, used) == (Outcome.GATEWAY_SHUTDOWN, 0)


async def test_a_stream_that_ends_within_the_grace_is_not_cut_off(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with (
        Provider(default=scripts.chunks(20, interval_seconds=0.05)) as provider,
        house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}, grace_seconds=10.0) as home,
    ):
        asking = asyncio.create_task(home.ask(stream=True))
        await provider.exchange(0)
        await home.stop("gateway")
        answer = await asking
        settled = await home.settlement()
    assert answer.events[-1] == "[DONE]"
    assert settled.outcome is Outcome.COMPLETED


async def test_a_spent_allowance_names_the_window_and_must_not_be_retried(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with Provider() as provider, house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}) as home:
        answers = []
        for _ in range(4):
            answers += await asyncio.gather(*(home.ask() for _ in range(51)))
            await home.cost()  # all are folded: none of this burst is in flight when the next one begins
        await home.settlements(200)
    refused = [answer for answer in answers if answer.status == 429]
    assert [answer.status for answer in answers].count(200) == 200
    assert len(refused) == 4
    for answer in refused:
        error = answer.json["error"]
        assert (error["code"], error["type"]) == ("insufficient_quota", "insufficient_quota")
        assert "daily allowance of 200 prompts" in error["message"]
        assert "UTC" in error["message"]
        assert answer.headers["x-should-retry"] == "false"
        assert 1 <= int(answer.headers["retry-after"]) <= 86_400
        assert answer.headers["x-ratelimit-remaining-requests"] == "0"
        assert answer.headers["x-smartroute-daily-remaining"] == "0"
        assert "x-smartroute-turn" not in answer.headers


async def test_requests_that_are_refused_before_admission_reserve_nothing(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with Provider() as provider, house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}) as home:
        usage_only = await home.new_token(scopes=("usage:read",))
        refused = [
            await home.ask(token="sr_live_nonsense"),
            await home.ask(token=usage_only),
            await home.ask({"messages": []}),
            await home.ask(n=3),
            await home.ask(model="gpt-9"),
        ]
        used = (await home.usage()).daily.used
        await home.settlements(0)
    assert [answer.status for answer in refused] == [401, 403, 400, 400, 404]
    assert [answer.json["error"]["param"] for answer in refused[2:]] == ["model", "n", "model"]
    assert used == 0
    assert not provider.exchanges
