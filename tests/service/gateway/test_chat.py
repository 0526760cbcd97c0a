"""Chat completions through the real gateway, quota and router: what a client gets, what a provider gets."""

import json
import re
from pathlib import Path
from typing import Any

import openai
import pytest

from contracts.outcomes import Outcome
from devstack.provider import Answer, Provider, Script, ToolCall, faults, scripts
from devstack.pytest_plugin import FreshDatabase
from gateway.turns import ToolCallIds
from tests.service.gateway.chat_house import SIGNING_KEY, house, target

BRAND = "Zephyrine"


async def test_the_openai_sdk_gets_an_answer_streamed_and_not(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with (
        Provider(default=scripts.answer("Good morning.")) as provider,
        house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}) as home,
        openai.AsyncOpenAI(base_url=home.base_url, api_key=home.token, max_retries=0) as client,
    ):
        whole = await client.chat.completions.create(model="smart-route", messages=[{"role": "user", "content": "Hi"}])
        assert whole.choices[0].message.content == "Good morning."
        assert whole.usage is not None
        assert whole.usage.total_tokens == 19
        stream = await client.chat.completions.create(
            model="smart-route",
            messages=[{"role": "user", "content": "Hi"}],
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "Good morning."
    assert chunks[-1].usage is not None
    assert {chunk.model for chunk in chunks} == {"smart-route-mini"}


async def test_every_answer_says_what_is_left_and_which_turn_it_was(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with Provider() as provider, house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}) as home:
        first, second = await home.ask(user="someone"), await home.ask(stream=True)
        await home.give_plan("unlimited")
        third = await home.ask()
        settled = await home.settlements(3)
    for answer, left in ((first, 199), (second, 198)):
        assert answer.status == 200
        assert answer.headers["x-ratelimit-limit-requests"] == "200"
        assert answer.headers["x-ratelimit-remaining-requests"] == str(left)
        assert re.fullmatch(r"(\d+h)?(\d+m)?\d+s", answer.headers["x-ratelimit-reset-requests"])
        assert answer.headers["x-smartroute-daily-remaining"] == str(left)
        assert answer.headers["x-smartroute-monthly-remaining"] == str(left + 800)
        assert "x-request-id" in answer.headers
    assert first.headers["x-smartroute-ignored"] == "user"
    assert second.headers["content-type"].startswith("text/event-stream")
    assert [answer.headers["x-smartroute-turn"] for answer in (first, second)] == [
        f"{entry.turn_id}; call=1; calls=50" for entry in settled[:2]
    ]
    assert third.headers["x-smartroute-daily-remaining"] == "unlimited"
    assert "x-ratelimit-limit-requests" not in third.headers


async def test_the_lower_of_alias_and_plan_is_served_and_told(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with Provider() as provider, house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}) as home:
        ambitious = await home.ask(model="smart-route-ultra")
        await home.give_plan("unlimited")
        modest = await home.ask(model="smart-route-mini")
        strongest = await home.ask(model="smart-route-infinite")
        unknown = await home.ask(model="gpt-9")
        settled = await home.settlements(3)
    assert ambitious.json["model"] == modest.json["model"] == "smart-route-mini"
    assert strongest.json["model"] == "smart-route-infinite"
    assert [(entry.alias_asked, entry.alias_served, entry.plan) for entry in settled] == [
        ("smart-route-ultra", "smart-route-mini", "free"),
        ("smart-route-mini", "smart-route-mini", "unlimited"),
        ("smart-route-infinite", "smart-route-infinite", "unlimited"),
    ]
    assert (unknown.status, unknown.json["error"]["code"]) == (404, "model_not_found")
    assert unknown.json["error"]["message"].count("smart-route") == 7


async def test_a_provider_gets_the_prompt_its_own_model_and_key_and_nothing_of_the_customer(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text("sk-of-the-provider\n")
    keyed = {"key": f"file:{tmp_path / 'key'}"}
    async with (
        Provider() as provider,
        house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a", **keyed)}) as home,
    ):
        await home.ask(stream=True, user="customer-7", metadata={"k": "v"}, temperature=0.25)
        request = provider.exchanges[0].request
        token = home.token
    assert request.json == {
        "model": "a-model",
        "messages": [{"role": "user", "content": "Hello?"}],
        "temperature": 0.25,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert request.headers["authorization"] == "Bearer sk-of-the-provider"
    assert "traceparent" not in request.headers
    assert "cookie" not in request.headers
    assert token not in str(request.headers) + json.dumps(request.json)


LOUD: list[Script] = [
    scripts.answer("Hello."),
    scripts.answer(tool_calls=[ToolCall("f", '{"a": 1}'), ToolCall("g", "{}")]),
    scripts.http_error(400, message="You sent something odd"),
    scripts.http_error(400),
    scripts.http_error(422, message="Unprocessable"),
    scripts.http_error(401),
    scripts.http_error(429, retry_after=3),
    scripts.http_error(500),
    faults.error_with_ok(),
    faults.error_in_stream(events=0),
    faults.error_in_stream(events=3),
    faults.error_in_stream(events=3, is_named=True),
    faults.html_page(),
    faults.redirect("http://127.0.0.1:9/"),
    faults.close_midway(),
]


@pytest.mark.parametrize("is_stream", [False, True])
async def test_nothing_of_a_loud_provider_reaches_the_client(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path, is_stream: bool
) -> None:
    async with (
        Provider(brand=BRAND) as provider,
        house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}) as home,
    ):
        for script in LOUD:
            provider.enqueue(script)
            # A target that failed before is only tried again later, unless it is the only one: it is.
            answer = await home.ask(stream=is_stream)
            seen = (answer.body + repr(answer.headers).encode()).lower()
            assert BRAND.lower().encode() not in seen, script.name
            assert b"a-model" not in seen
            assert b"127.0.0.1" not in seen
        assert len(provider.exchanges) >= len(LOUD)


@pytest.mark.parametrize("is_stream", [False, True])
async def test_parallel_tool_calls_interleaved_get_ids_that_verify_for_this_account_and_turn(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path, is_stream: bool
) -> None:
    calls = tuple(ToolCall(name, f'{{"city": "{name}-ville"}}') for name in ("one", "two", "three"))
    script = scripts.answer(like=Answer(text=None, tool_calls=calls, interleaved=True))
    async with (
        Provider(default=script) as provider,
        house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}) as home,
    ):
        answer = await home.ask(stream=is_stream)
        settled = await home.settlement()
        account_id = home.account_id
    got = _joined(answer.events) if is_stream else answer.json["choices"][0]["message"]["tool_calls"]
    assert [(call["function"]["name"], call["function"]["arguments"]) for call in got] == [
        (call.name, call.arguments) for call in calls
    ]
    ids = ToolCallIds(SIGNING_KEY.encode())
    verified = [ids.verify(call["id"], account_id=account_id) for call in got]
    assert [(made.turn_id, made.call, made.place) for made in verified if made] == [
        (settled.turn_id, 1, place) for place in range(3)
    ]
    assert settled.outcome is Outcome.COMPLETED


def _joined(events: list[Any]) -> list[dict[str, Any]]:
    """Tool calls put together as the SDKs do."""
    calls: dict[int, dict[str, Any]] = {}
    for event in events:
        for choice in event["choices"] if event != "[DONE]" else ():
            for piece in choice["delta"].get("tool_calls", ()):
                call = calls.setdefault(piece["index"], {"function": {"name": "", "arguments": ""}})
                call["id"] = piece.get("id") or call["id"]
                for field, value in piece["function"].items():
                    call["function"][field] += value
    return [calls[index] for index in sorted(calls)]


@pytest.mark.parametrize(
    "script",
    [
        faults.split_utf8("Grüße, 世界 🙂"),
        faults.one_write("Grüße, 世界 🙂"),
        faults.crlf("Grüße, 世界 🙂"),
        faults.comments("Grüße, 世界 🙂"),
        faults.gzipped("Grüße, 世界 🙂"),
        faults.slow_drip("Grüße, 世界 🙂", bytes_at_once=40, interval_seconds=0.001),
    ],
    ids=lambda script: script.name,
)
async def test_however_a_stream_is_cut_the_client_reads_the_same(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path, script: Script
) -> None:
    async with (
        Provider(default=script) as provider,
        house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}) as home,
    ):
        answer = await home.ask(stream=True)
        settled = await home.settlement()
    assert answer.text == "Grüße, 世界 🙂"
    assert answer.events[-1] == "[DONE]"
    assert (settled.outcome, settled.tokens.source) == (Outcome.COMPLETED, "provider")


@pytest.mark.parametrize(
    ("script", "tokens"),
    [
        (faults.no_usage(), (0, 0, "none")),
        (faults.negative_usage(), (0, 0, "provider")),
        (faults.huge_usage(), (100_000_000, 100_000_000, "provider")),
        (faults.duplicate_usage(), (12, 7, "provider")),
        (faults.data_after_done(), (12, 7, "provider")),
    ],
    ids=lambda value: value.name if isinstance(value, Script) else "",
)
async def test_usage_that_is_missing_or_lies_harms_nobody(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path, script: Script, tokens: tuple[int, int, str]
) -> None:
    async with (
        Provider(default=script) as provider,
        house(nats_url, fresh_database, tmp_path, {"a": target(provider, "a")}) as home,
    ):
        answer = await home.ask(stream=True, stream_options={"include_usage": True})
        settled = await home.settlement()
    assert answer.status == 200
    assert answer.events[-1] == "[DONE]"
    assert settled.outcome is Outcome.COMPLETED
    assert (settled.tokens.input, settled.tokens.output, settled.tokens.source) == tokens
