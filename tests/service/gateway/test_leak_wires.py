"""In every format, behind every format: nothing tells a client who the provider is, and a provider who the client is.

The provider puts its name into everything that it sends (invariant I6). The client sends all that agents send of
themselves: sessions, machines, users, keys of caches.
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from devstack.provider import Answer as Said
from devstack.provider import Identity, Provider, Script, ToolCall, faults, scripts
from devstack.provider.http import Request
from devstack.provider.script import Pause, Steps, Write
from devstack.pytest_plugin import FreshDatabase
from tests.service.gateway.chat_house import Answer, House, house, target

BRAND = "Zephyrine"
KEY = "sk-upstream-0f1e2d3c"
TARGET = "zephyr-target"
FORMATS = ("chat", "responses", "completions", "anthropic")
PATHS = {"chat": "chat/completions", "completions": "completions", "responses": "responses"}

CALLS = (ToolCall("look", '{"at": 1}'), ToolCall("look", '{"at": 2}'))
ANSWERS = {
    "text": scripts.answer("A plain answer."),
    "thoughts": scripts.answer(like=Said(text="So.", reasoning="Hm, well.", reasoning_state="opaque")),
    "refusal": scripts.answer(like=Said(text="No.", refusal="I cannot.")),
    "length": scripts.answer(like=Said(text="One, two", finish_reason="length")),
    "tool calls": scripts.answer(like=Said(text="Let me look.", tool_calls=CALLS, reasoning="Look.")),
    "interleaved calls": scripts.answer(like=Said(text=None, tool_calls=CALLS, interleaved=True)),
}
ODD = {
    "nothing": scripts.empty(),
    "comments": faults.comments(),
    "crlf": faults.crlf(),
    "usage everywhere": faults.usage_in_every_chunk(),
    "more after the end": faults.data_after_done(),
}
REFUSED = {
    **{f"http {status}": scripts.http_error(status) for status in (400, 401, 404, 413, 429, 500, 503)},
    "redirect": faults.redirect("https://zephyrine.example/v1"),
    "error with 200": faults.error_with_ok(),
    "html": faults.html_page(),
    "not http": faults.not_http(),
    "error first": faults.error_in_stream(events=0),
}
# After so many events the model is in the middle of its answer.
MIDDLE = {"chat": 3, "responses": 6, "completions": 2, "anthropic": 5}


def broken(format: str) -> Mapping[str, Script]:
    """Answers that break off when some of them has left."""
    events = MIDDLE[format]
    found = {
        "error": faults.error_in_stream(events=events),
        "named error": faults.error_in_stream(events=events, is_named=True),
        "invalid json": faults.invalid_json(events=events),
        "no end": faults.end_without_done(events=events),
        "closed": faults.close_midway(events=events),
        "reset": faults.reset_midway(events=events),
    }
    return {name: slowly(script) for name, script in found.items()}


def slowly(script: Script) -> Script:
    """The same with time between two writes: they are read one by one."""

    def play(request: Request, identity: Identity) -> Steps:
        for step in script.play(request, identity):
            yield step
            if isinstance(step, Write):
                yield Pause(0.005)

    return Script(script.name, play)


# What clients say of themselves, each with a value that is found wherever it goes.
ABOUT = {
    "user": "told-user",
    "safety_identifier": "told-safety",
    "prompt_cache_key": "told-cache-key",
    "service_tier": "priority",
    "metadata": {"ticket": "told-metadata"},
    "client_metadata": {"x-codex-turn-metadata": '{"turn_id":"told-turn"}', "installation_id": "told-installation"},
    "told_unknown": "told-unknown",
}
HEADERS = {
    "user-agent": "codex_exec/told-agent",
    "originator": "told-originator",
    "session-id": "told-session",
    "thread-id": "told-thread",
    "x-client-request-id": "told-request",
    "x-codex-window-id": "told-window:0",
    "x-codex-turn-metadata": '{"installation_id":"told-installation","turn_id":"told-turn"}',
    "x-codex-parent-thread-id": "told-parent",
    "x-codex-beta-features": "told-feature",
    "x-openai-subagent": "told-subagent",
    "x-session-id": "told-session",
    "x-session-affinity": "told-affinity",
    "http-referer": "https://told-referer.example",
    "x-title": "told-title",
    "cookie": "told=cookie",
    "x-forwarded-for": "203.0.113.77",
    "openai-organization": "told-organization",
    "openai-project": "told-project",
    "traceparent": "00-7011d0000000000000000000000070d5-7011d00000000001-01",
    "tracestate": "told=state",
    "baggage": "told=baggage",
}
UNTOLD = ("told", "203.0.113.77", "7011d0", "codex", "smart-route-", "priority")
# All that a provider has to know. `smart-route` in the user agent is the product, not an alias.
SENT_HEADERS = {
    "host",
    "content-type",
    "content-length",
    "accept",
    "accept-encoding",
    "user-agent",
    "authorization",
    "x-api-key",
    "anthropic-version",
}
PARAMETERS = {"type": "object", "properties": {}}
TOOLS = {
    "chat": [{"type": "function", "function": {"name": "look", "parameters": PARAMETERS}}],
    "responses": [
        {"type": "function", "name": "look", "parameters": PARAMETERS, "strict": False},
        {"type": "custom", "name": "patch"},
        {"type": "namespace", "name": "mcp__docs", "description": "", "tools": []},
    ],
}


@dataclass
class Talk:
    """One client in front of one provider, and the ids of all that it asked."""

    home: House
    provider: Provider
    format: str
    request_ids: list[str] = field(default_factory=list)

    async def ask(self, client: str, body: dict[str, Any]) -> Answer:
        """Everything that there is to tell is told; what was kept of a broken answer counts as well."""
        headers = {**HEADERS, "authorization": f"Bearer {self.home.token}"}
        url = f"{self.home.base_url}/{PATHS[client]}"
        async with self.home.session.post(url, json={"model": "smart-route", **ABOUT, **body}, headers=headers) as got:
            answer = Answer(got.status, {k.lower(): v for k, v in got.headers.items()}, await got.read())
        self.request_ids.append(answer.headers["x-request-id"])
        return answer

    async def receipt(self, answer: Answer) -> bytes:
        url = f"{self.home.base_url}/receipts/{answer.headers['x-request-id']}"
        async with self.home.session.get(url, headers={"authorization": f"Bearer {self.home.token}"}) as got:
            return await got.read()

    def question(self, client: str) -> dict[str, Any]:
        """The first request of a conversation; a provider of plain completions is not asked for tools."""
        tools = {"tools": TOOLS[client]} if self.format != "completions" and client in TOOLS else {}
        match client:
            case "chat":
                return {"messages": [{"role": "user", "content": "Look."}], "reasoning_effort": "low", **tools}
            case "completions":
                return {"prompt": "Look."}
        item = {"type": "message", "role": "user", "content": "Look.", "id": "msg_told-item"}
        passed = {"internal_chat_message_metadata_passthrough": {"turn_id": "told-turn"}}
        thoughts = {"include": ["reasoning.encrypted_content"], "reasoning": {"effort": "low", "summary": "auto"}}
        return {"input": [{**item, **passed}], **thoughts, **tools}


@asynccontextmanager
async def talk(nats_url: str, fresh_database: FreshDatabase, folder: Path, format: str) -> AsyncIterator[Talk]:
    (folder / "key").write_text(KEY)
    async with Provider(brand=BRAND) as provider:
        more = {"key": f"file:{folder / 'key'}", "format": format, "dialect": {"replays_reasoning": True}}
        leads = {TARGET: target(provider, TARGET, **more)}
        async with house(nats_url, fresh_database, folder, leads) as home:
            yield Talk(home, provider, format)


def traces(talk: Talk, answer: Answer, receipt: bytes) -> list[str]:
    """What a client could tell the provider by."""
    headers = "\n".join(f"{name}: {value}" for name, value in answer.headers.items())
    everything = f"{headers}\n{answer.body.decode()}\n{receipt.decode()}".lower()
    own = (BRAND.lower(), "zephyr", f"{TARGET}-model", "127.0.0.1", str(talk.provider.port), KEY, "sk-", "req-1")
    libraries = ("aiohttp", "uvicorn", "system_fingerprint", "anthropic", "org-")
    shown = [trace for trace in (*own, *libraries) if trace in everything]
    return shown + (["a limit"] if answer.headers.get("x-ratelimit-limit-requests") == "777" else [])


@pytest.mark.parametrize("format", FORMATS)
async def test_a_client_cannot_tell_the_provider(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path, format: str
) -> None:
    found: list[tuple[str, ...]] = []
    async with talk(nats_url, fresh_database, tmp_path, format) as talking:
        plays = {**ANSWERS, **ODD, **REFUSED, **(breaking := broken(format))}
        for client in PATHS:
            for name, script in plays.items():
                talking.provider.always(script)
                for is_stream in (False, True):
                    before = len(talking.provider.exchanges)
                    answer = await talking.ask(client, {**talking.question(client), "stream": is_stream})
                    assert len(talking.provider.exchanges) > before, (client, name, answer.body)
                    begins = name in ANSWERS or (is_stream and name in breaking)
                    assert answer.status == 200 or not begins, (client, name, answer.body)
                    receipt = await talking.receipt(answer) if name in ("text", "http 400", "reset") else b""
                    found += [(client, name, str(is_stream), trace) for trace in traces(talking, answer, receipt)]
    assert found == []


@pytest.mark.parametrize("format", FORMATS)
async def test_a_provider_cannot_tell_the_client(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path, format: str
) -> None:
    async with talk(nats_url, fresh_database, tmp_path, format) as talking:
        said = Said(text="So.", tool_calls=CALLS, reasoning="Hm.", reasoning_state="opaque")
        talking.provider.always(scripts.answer(like=said))
        for client in PATHS:
            question = talking.question(client)
            for is_stream in (False, True):
                answer = await talking.ask(client, {**question, "stream": is_stream})
                assert answer.status == 200, answer.body
            first = await talking.ask(client, {**question, "store": True})
            for followed in follow_ups(client, question, first.json):
                answer = await talking.ask(client, followed)
                assert answer.status == 200, answer.body
        assert len(talking.provider.exchanges) == len(talking.request_ids)
        account = talking.home.account_id
        secret = (*UNTOLD, talking.home.token, "acme", str(account), account.hex, *ids(talking.request_ids))
        found = [
            (exchange.request.format, word)
            for exchange in talking.provider.exchanges
            for word in secret
            if word in received(exchange.request.headers, exchange.request.body)
        ]
        assert found == []
        headers = [exchange.request.headers for exchange in talking.provider.exchanges]
        assert {name for each in headers for name in each} <= SENT_HEADERS
        bodies = [exchange.request.json for exchange in talking.provider.exchanges]
        assert [name for body in bodies for name in body if name in {*ABOUT, "previous_response_id"}] == []
        assert {body.get("store", False) for body in bodies} == {False}


def ids(request_ids: list[str]) -> Iterator[str]:
    """A request's id as it is told, and as it is in the ids of items and answers."""
    for request_id in request_ids:
        yield from (request_id, request_id.replace("-", ""))


def received(headers: Mapping[str, str], body: bytes) -> str:
    return "\n".join((*(f"{name}: {value}" for name, value in headers.items()), body.decode()))


def follow_ups(client: str, question: dict[str, Any], answer: Any) -> Iterator[dict[str, Any]]:
    """What the client sends next: all that it was told, with every id; and in Responses only where it goes on."""
    if client == "completions":
        yield {"prompt": f"Look.{answer['choices'][0]['text']} And?", "stream": False}
    elif client == "chat":
        said = answer["choices"][0]["message"]
        results = [
            {"role": "tool", "tool_call_id": call["id"], "content": "Seen."} for call in said.get("tool_calls", ())
        ]
        yield {
            **question,
            "messages": [*question["messages"], said, *(results or [{"role": "user", "content": "And?"}])],
        }
    else:
        calls = [item["call_id"] for item in answer["output"] if item["type"] == "function_call"]
        results = [{"type": "function_call_output", "call_id": call, "output": "Seen."} for call in calls]
        next_input = results or [{"role": "user", "content": "And?"}]
        yield {**question, "input": [*question["input"], *answer["output"], *next_input]}
        yield {**question, "input": next_input, "previous_response_id": answer["id"]}
