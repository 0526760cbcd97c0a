"""Candidates: the next one before the first content only, time-outs by phase, connections that died."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from chassis import bus
from contracts.gateway import ATTEMPTS_FINISHED, AttemptFinished, AttemptsFinished
from contracts.outcomes import Outcome
from devstack.ports import free_port
from devstack.probes import until
from devstack.provider import Answer, Ending, Provider, Script, faults, scripts
from devstack.pytest_plugin import FreshDatabase
from tests.service.gateway.chat_house import house, target

SHORT = {"timeouts": {"connect_seconds": 0.3, "first_byte_seconds": 0.4, "silence_seconds": 0.4}}

FAILURES: list[tuple[Script, str]] = [
    (scripts.http_error(401), "refused_key"),
    (scripts.http_error(403), "refused_key"),
    (scripts.http_error(404), "http_error"),
    (scripts.http_error(408), "http_error"),
    (scripts.http_error(409), "http_error"),
    (scripts.http_error(429, retry_after=7), "rate_limited"),
    (scripts.http_error(500), "http_error"),
    (scripts.http_error(503), "http_error"),
    (faults.redirect("http://127.0.0.1:9/"), "http_error"),
    (faults.html_page(), "broken"),
    (faults.not_http(), "broken"),
    (faults.error_with_ok(), "broken"),
    (faults.hang_before_headers(), "timed_out"),
    (faults.odd_payload({"choices": "none"}), "broken"),
]
STREAM_FAILURES: list[tuple[Script, str]] = [
    (faults.hang_midway(events=0), "timed_out"),
    (faults.reset_midway(events=1), "broken"),
    (faults.close_midway(events=0), "broken"),
    (faults.end_without_done(events=1), "broken"),
    (faults.error_in_stream(events=0), "broken"),
    (faults.giant_line(), "broken"),
]


@pytest.mark.parametrize(
    ("script", "result", "is_stream"),
    [(script, result, is_stream) for script, result in FAILURES for is_stream in (False, True)]
    + [(script, result, True) for script, result in STREAM_FAILURES],
    ids=lambda value: value.name if isinstance(value, Script) else str(value),
)
async def test_a_candidate_that_fails_before_content_is_replaced_and_reported(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path, script: Script, result: str, is_stream: bool
) -> None:
    heard: list[AttemptFinished] = []

    def listen(report: AttemptsFinished) -> None:
        heard.extend(report.attempts)

    async with Provider(default=scripts.answer("From b.")) as provider:
        provider.always(script, model="a-model")
        targets = {"a": target(provider, "a", **SHORT), "b": target(provider, "b", **SHORT)}
        async with (
            bus.connect(nats_url, name="test", instance="test") as connection,
            house(nats_url, fresh_database, tmp_path, targets) as home,
        ):
            await bus.hear(connection, ATTEMPTS_FINISHED, listen)
            answer = await home.ask(stream=is_stream)
            settled = await home.settlement()

            async def has_heard() -> bool:
                return len(heard) == 2

            assert await until(has_heard, within_seconds=30)
    text = answer.text if is_stream else answer.json["choices"][0]["message"]["content"]
    assert (answer.status, text) == (200, "From b.")
    assert (settled.outcome, settled.target, settled.attempts) == (Outcome.COMPLETED, "b", 2)
    assert [(attempt.target, attempt.result) for attempt in heard] == [("a", result), ("b", "ok")]
    if result == "rate_limited":
        assert (heard[0].status, heard[0].retry_after_seconds) == (429, 7.0)


async def test_a_target_that_refuses_connections_or_has_no_key_is_replaced(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with Provider() as provider:
        targets = {
            "nobody": target(f"http://127.0.0.1:{free_port()}/v1", "nobody", **SHORT),
            "keyless": target(provider, "keyless", key="env:NO_SUCH_KEY_ANYWHERE"),
            "b": target(provider, "b"),
        }
        async with house(nats_url, fresh_database, tmp_path, targets) as home:
            answer = await home.ask()
            settled = await home.settlement()
        models = [exchange.request.model for exchange in provider.exchanges]
    assert (answer.status, settled.attempts, models) == (200, 3, ["b-model"])


async def test_when_every_candidate_fails_nothing_is_charged_and_the_error_says_which_way(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with Provider() as provider:
        targets = {"a": target(provider, "a", **SHORT), "b": target(provider, "b", **SHORT)}
        async with house(nats_url, fresh_database, tmp_path, targets) as home:
            provider.enqueue(faults.hang_before_headers(), scripts.http_error(500))
            mixed = await home.ask()
            provider.enqueue(faults.hang_before_headers(), faults.hang_before_headers())
            silent = await home.ask()
            settled = await home.settlements(2)
    assert (mixed.status, silent.status) == (502, 504)
    assert [entry.outcome for entry in settled] == [Outcome.UPSTREAM_UNAVAILABLE] * 2
    assert [entry.attempts for entry in settled] == [2, 2]


async def test_a_refused_request_is_not_tried_elsewhere(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with Provider() as provider:
        provider.always(scripts.http_error(400), model="a-model")
        targets = {"a": target(provider, "a"), "b": target(provider, "b")}
        async with house(nats_url, fresh_database, tmp_path, targets) as home:
            answer = await home.ask()
            await home.settlement()
        assert not provider.exchanges_for("b-model")
    assert (answer.status, answer.json["error"]["code"]) == (400, "context_length_exceeded")


async def test_an_answer_that_is_slow_but_alive_outlasts_the_time_for_silence(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    script = scripts.chunks(8, interval_seconds=0.15)
    async with (
        Provider(default=script) as provider,
        house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a", **SHORT)}) as home,
    ):
        answer = await home.ask(stream=True)
        settled = await home.settlement()
    assert answer.events[-1] == "[DONE]"
    assert settled.timings.total_ms > 900


async def test_an_answer_is_cut_at_the_longest_time_it_may_take(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    script = scripts.chunks(1000, interval_seconds=0.05)
    async with Provider(default=script) as provider:
        async with house(
            nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}, answer_limit_seconds=0.5
        ) as home:
            answer = await home.ask(stream=True)
            settled = await home.settlement()
        assert await provider.exchanges[0].ended() is Ending.CLIENT_DISCONNECTED
    assert answer.events[-1]["error"]["code"] == "upstream_timeout"
    assert settled.outcome is Outcome.UPSTREAM_BROKEN


async def test_a_client_that_takes_nothing_for_too_long_is_let_go(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.client.TICK_SECONDS", 0.1)
    script = scripts.answer(like=Answer(text="x" * 30_000_000, pieces=1000))
    async with (
        Provider(default=script) as provider,
        house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}, client_stall_seconds=0.5) as home,
    ):
        reader, writer = await _raw_request(home.base_url, home.token, {"stream": True})
        began = time.perf_counter()
        settled = await home.settlements(1, within_seconds=60)
        took = time.perf_counter() - began
        writer.close()
        del reader
    assert took < 60, "as the settings say, and not the two minutes that are usual"
    assert settled[0].outcome is Outcome.CLIENT_GONE_LATE


async def _raw_request(
    base_url: str, token: str, fields: dict[str, Any]
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A request whose answer nobody reads."""
    import json

    host, port = base_url.removeprefix("http://").removesuffix("/v1").split(":")
    body = json.dumps({"model": "smart-route", "messages": [{"role": "user", "content": "Hi"}], **fields}).encode()
    reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
    writer.write(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer "
        + token.encode()
        + b"\r\ncontent-length: "
        + str(len(body)).encode()
        + b"\r\n\r\n"
        + body
    )
    await writer.drain()
    return reader, writer


async def test_a_kept_connection_that_died_is_replaced_without_the_client_noticing(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with Provider() as provider, house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}) as home:
        provider.enqueue(scripts.answer("one"), faults.close_before_headers(), scripts.answer("two"))
        first, second = await home.ask(), await home.ask()
        settled = await home.settlements(2)
    assert [first.status, second.status] == [200, 200]
    assert second.json["choices"][0]["message"]["content"] == "two"
    assert settled[1].attempts == 1
