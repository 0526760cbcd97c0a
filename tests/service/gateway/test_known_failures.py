"""The known failures of gateways that only a running one can show. See docs/known-failures.md.

One house for all of them but those about a second target; every test uses what it makes there and nothing else.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from chassis.bus import provision
from chassis.database import create_engine
from contracts.outcomes import Outcome
from devstack.nats import nats_server
from devstack.provider import Answer, Ending, Provider, Script, faults, scripts
from devstack.provider.formats import WRITERS
from devstack.provider.http import Request, framed
from devstack.provider.identity import Identity
from devstack.provider.script import Close, Hang, Pause, Steps, Write
from devstack.provider.writing import events_of
from devstack.pytest_plugin import Databases, FreshDatabase, short_folder
from gateway import accounts
from gateway.auth import SCOPES
from gateway.store import Store
from tests.service.gateway.chat_house import House, house, target
from tests.unit.gateway.wire import responses_rules as rules

pytestmark = pytest.mark.asyncio(loop_scope="module")

ASKED: dict[str, Any] = {"model": "smart-route", "input": "Go."}
MEGABYTE = 1_000_000


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def home(databases: Databases) -> AsyncIterator[House]:
    """Everything, running, in front of `PROVIDER`."""
    with short_folder() as folder:
        async with nats_server(folder / "nats") as nats, PROVIDER:
            await provision(nats.url)
            (folder / "house").mkdir()
            targets = {"a": target(PROVIDER, "a")}
            async with house(nats.url, databases.fresh, folder / "house", targets) as made:
                yield made


PROVIDER = Provider(brand="Zephyr", strict=True)


@asynccontextmanager
async def asked(home: House, body: Any, *, path: str = "responses") -> AsyncIterator[aiohttp.ClientResponse]:
    headers = {"authorization": f"Bearer {home.token}"}
    async with home.session.post(f"{home.base_url}/{path}", json=body, headers=headers) as response:
        yield response


async def streamed(home: House, **fields: Any) -> list[dict[str, Any]]:
    """A response stream to its end, which keeps the published rules."""
    async with asked(home, {**ASKED, "stream": True, **fields}) as response:
        raw = await response.read()
        assert response.status == 200, raw
    assert rules.frame_violations(raw) == []
    events = rules.read_events(raw)
    assert rules.event_violations(events) == []
    return events


async def test_wire_11_a_websocket_is_refused_with_426_at_once_and_http_goes_on(home: House) -> None:
    upgrade = {
        "connection": "Upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        "openai-beta": "responses_websockets=2026-02-06",
        "authorization": f"Bearer {home.token}",
    }
    async with home.session.get(f"{home.base_url}/responses", headers=upgrade) as response:
        assert (response.status, (await response.json())["error"]["code"]) == (426, "upgrade_required")
    assert (await streamed(home))[-1]["type"] == "response.completed"


FAULTS: list[Any] = [
    [],
    {"model": "smart-route"},
    {"model": "smart-route", "input": 7},
    {"model": "smart-route", "input": [{"role": "robot", "content": "x"}]},
    {"model": "smart-route", "input": [{"type": "function_call_output", "call_id": "call_a", "output": "x"}]},
    {**ASKED, "tools": [{"name": "typeless"}]},
    {**ASKED, "tools": [{"type": "function"}]},
    {**ASKED, "tool_choice": {"type": "function", "name": "nobody"}, "tools": [{"type": "function", "name": "f"}]},
    {**ASKED, "temperature": "hot"},
    {**ASKED, "previous_response_id": "resp_0"},
    {**ASKED, "text": {"format": {"type": "yaml"}}},
]


@pytest.mark.parametrize("is_stream", [True, False])
async def test_wire_14_a_fault_of_the_request_is_a_400_and_never_a_500(home: House, is_stream: bool) -> None:
    before = await home.cost()
    for body in FAULTS:
        sent = {**body, "stream": is_stream} if isinstance(body, dict) else body
        async with asked(home, sent) as response:
            error = (await response.json())["error"]
            assert (response.status, error["type"]) == (400, "invalid_request_error"), body
    assert await home.cost() == before


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_wire_14_what_a_provider_says_is_wrong_with_a_request_is_a_400_too(home: House, status: int) -> None:
    PROVIDER.enqueue(scripts.http_error(status))
    async with asked(home, {**ASKED, "stream": True}) as response:
        body = await response.text()
    assert (response.status, json.loads(body)["error"]["type"]) == (400, "invalid_request_error")
    assert "Zephyr" not in body


async def test_wire_15_older_codex_finds_its_models_key_and_others_openais_list(home: House) -> None:
    headers = {"authorization": f"Bearer {home.token}"}
    async with home.session.get(f"{home.base_url}/models?client_version=0.155.0", headers=headers) as response:
        codex = await response.json()
    async with home.session.get(f"{home.base_url}/models", headers=headers) as response:
        plain = await response.json()
    assert {"smart-route", "smart-route-deep"} <= {model["slug"] for model in codex["models"]}
    assert codex["data"] == plain["data"]
    assert (plain["object"], plain["models"]) == ("list", None)


def fails_and_stays(events: int = 5) -> Script:
    """An error inside the stream of a provider that does not close then."""

    def play(request: Request, identity: Identity) -> Steps:
        yield Write(scripts.stream_head(identity))
        for event in events_of(Answer(), request, identity)[:events]:
            yield Write(framed(event))
        errors = WRITERS[request.format].error_events(identity, "The engine broke.", is_named=False)
        yield Write(framed(errors[0]))
        yield Hang()

    return Script("fails_and_stays", play)


async def test_wire_13_the_answer_ends_with_response_failed_although_the_provider_stays(home: House) -> None:
    PROVIDER.enqueue(fails_and_stays())
    number = len(PROVIDER.exchanges)
    assert (await streamed(home))[-1]["type"] == "response.failed"
    assert await PROVIDER.exchanges[number].ended() is Ending.CLIENT_DISCONNECTED


async def test_c24_an_error_inside_a_stream_is_told_as_one_and_costs_nothing(home: House) -> None:
    before = await home.cost()
    PROVIDER.enqueue(faults.error_in_stream(events=5), faults.error_in_stream(events=5))
    failed = (await streamed(home))[-1]
    assert (failed["type"], failed["response"]["error"]["code"]) == ("response.failed", "server_error")
    chat = await home.ask(stream=True)
    assert (chat.events[-1]["error"]["code"], "[DONE]" in chat.events) == ("upstream_broken", False)
    assert await home.cost() == before


def silent_in_the_middle(seconds: float) -> Script:
    """An answer that pauses after its first words."""

    def play(request: Request, identity: Identity) -> Steps:
        steps = list(scripts.answer("one two three").play(request, identity))
        yield from (*steps[:3], Pause(seconds), *steps[3:])

    return Script("silent_in_the_middle", play)


def beat_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.client.KEEPALIVE_SECONDS", 0.2)
    monkeypatch.setattr("gateway.client.TICK_SECONDS", 0.05)


async def test_wire_10_a_silence_is_filled_with_events_that_idle_timers_count(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    beat_quickly(monkeypatch)
    PROVIDER.enqueue(silent_in_the_middle(1.0))
    names = [event["type"] for event in await streamed(home)]
    # One belongs to the beginning; `event_violations` has seen that all of them stand between whole events.
    assert names.count("response.in_progress") >= 3
    assert names[-1] == "response.completed"


async def test_c25_a_silence_is_filled_at_the_borders_of_events_and_no_proxy_buffers(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    beat_quickly(monkeypatch)
    PROVIDER.enqueue(silent_in_the_middle(1.0))
    chat = await home.ask(stream=True)
    assert chat.headers["x-accel-buffering"] == "no"
    frames = [frame for frame in chat.body.decode().split("\n\n") if frame]
    assert sum(frame.startswith(":") for frame in frames) >= 2
    assert all(frame.startswith((":", "data: ")) and "\n" not in frame for frame in frames)
    assert (chat.text, frames[-1]) == ("one two three", "data: [DONE]")


def silent_then_gone(seconds: float) -> Script:
    """Headers and an event without words, silence, and the end of the connection."""

    def play(request: Request, identity: Identity) -> Steps:
        yield Write(scripts.stream_head(identity))
        yield Write(framed(events_of(Answer(), request, identity)[0]))
        yield Pause(seconds)
        yield Close()

    return Script("silent_then_gone", play)


async def test_c26_no_heartbeat_says_200_before_the_last_target_was_asked(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beat_quickly(monkeypatch)
    async with Provider() as provider:
        targets = {"a": target(provider, "a"), "b": target(provider, "b")}
        async with house(nats_url, fresh_database, tmp_path, targets) as home:
            provider.enqueue(silent_then_gone(0.8), model="a-model")
            events = await streamed(home)
            assert [event["type"] for event in events].count("response.created") == 1
            assert [event["type"] for event in events].count("response.in_progress") == 1
            assert len(provider.exchanges) == 2
            provider.always(silent_then_gone(0.8))
            async with asked(home, {**ASKED, "stream": True}) as response:
                error = (await response.json())["error"]
            assert (response.status, error["code"]) == (502, "upstream_unavailable")


async def test_c23_after_the_first_words_no_other_target_goes_on(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with Provider() as provider:
        targets = {"a": target(provider, "a"), "b": target(provider, "b")}
        async with house(nats_url, fresh_database, tmp_path, targets) as home:
            provider.enqueue(faults.reset_midway(events=4), faults.reset_midway(events=4), model="a-model")
            assert (await streamed(home))[-1]["type"] == "response.failed"
            chat = await home.ask(stream=True)
            assert chat.events[-1]["error"]["code"] == "upstream_broken"
            assert provider.exchanges_for("b-model") == []
            assert [settled.outcome for settled in await home.settlements(2)] == [Outcome.UPSTREAM_BROKEN] * 2
            assert await home.cost() == 0


async def test_c19_a_response_can_be_continued_the_moment_its_end_is_seen(home: House) -> None:
    question = [{"role": "user", "content": "My name is Ada."}, {"role": "user", "content": "Remember it."}]
    for _ in range(5):
        async with asked(home, {**ASKED, "input": question, "stream": True}) as response:
            seen = b""
            while not (b"event: response.completed" in seen and seen.endswith(b"\n\n")):
                seen += await response.content.readany()
            events = rules.read_events(seen)
            (response_id,) = {event["response"]["id"] for event in events if "response" in event}
            number = len(PROVIDER.exchanges)
            # Not a moment later: the connection of the first one is still open.
            again = await streamed(home, input="Who am I?", previous_response_id=response_id)
        assert again[-1]["response"]["previous_response_id"] == response_id
        said = json.dumps(PROVIDER.exchanges[number].request.json["messages"])
        assert all(text in said for text in ("My name is Ada.", "Remember it.", "Hello from the", "Who am I?"))


async def test_c22_a_response_is_nothing_to_another_account_by_any_way(home: House) -> None:
    mine = (await streamed(home))[-1]["response"]
    unknown = "resp_" + "0" * 32
    item_id, no_item = mine["output"][0]["id"], "msg_" + "0" * 36
    theirs = {"authorization": f"Bearer {await foreign_token(home)}"}
    for response_id in (mine["id"], unknown):
        for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/input_items")):
            url = f"{home.base_url}/responses/{response_id}{path}"
            async with home.session.request(method, url, headers=theirs) as response:
                assert (response.status, (await response.json())["error"]["code"]) == (404, "response_not_found")
    answers: set[str] = set()
    for fields in ({"previous_response_id": mine["id"]}, {"previous_response_id": unknown}):
        async with home.session.post(
            f"{home.base_url}/responses", json={**ASKED, **fields}, headers=theirs
        ) as response:
            answers.add(f"{response.status} {await response.text()}")
    assert len(answers) == 1
    for reference in (item_id, no_item):
        body = {**ASKED, "input": [{"type": "item_reference", "id": reference}]}
        async with home.session.post(f"{home.base_url}/responses", json=body, headers=theirs) as response:
            assert (response.status, (await response.json())["error"]["param"]) == (400, "input[0]")
    async with home.session.get(
        f"{home.base_url}/responses/{mine['id']}", headers={"authorization": f"Bearer {home.token}"}
    ) as response:
        assert (await response.json())["id"] == mine["id"]


async def foreign_token(home: House) -> str:
    """A token of an account that is not the house's."""
    engine = create_engine(home.database.url("gateway"))
    try:
        store = Store(engine)
        account = await accounts.open_account(store, name="rival", plan=None)
        return (await accounts.issue_token(store, account, name="test", scopes=SCOPES))[0]
    finally:
        await engine.dispose()


async def test_c20_a_client_that_leaves_takes_its_call_to_the_provider_with_it(home: House) -> None:
    PROVIDER.enqueue(scripts.chunks(1000, interval_seconds=0.05), faults.hang_before_headers())
    number = len(PROVIDER.exchanges)
    async with asked(home, {**ASKED, "stream": True}) as response:
        await response.content.readany()
    assert await PROVIDER.exchanges[number].ended() is Ending.CLIENT_DISCONNECTED
    waiting = asyncio.create_task(streamed(home))
    silent = await PROVIDER.exchange(number + 1)
    waiting.cancel()
    assert await silent.ended() is Ending.CLIENT_DISCONNECTED


async def test_c21_what_has_no_effect_here_is_named_in_a_header(home: House) -> None:
    tools = [{"type": "web_search"}, {"type": "hologram"}, {"type": "function", "name": "f"}]
    async with asked(home, {**ASKED, "tools": tools, "client_metadata": {"turn_id": "x"}}) as response:
        named = response.headers["x-smartroute-ignored"].split(", ")
    assert (response.status, set(named)) == (200, {"tools.web_search", "tools.hologram", "client_metadata"})


async def test_c27_a_body_of_a_megabyte_and_a_stream_of_ten_pass_whole(home: House) -> None:
    text = "0123456789" * (MEGABYTE // 10)
    number = len(PROVIDER.exchanges)
    PROVIDER.enqueue(scripts.answer(like=Answer(text="ü" * (5 * MEGABYTE), pieces=400)))
    messages = [{"role": "user", "content": text}]
    chat = await home.ask({"model": "smart-route", "messages": messages, "stream": True})
    assert PROVIDER.exchanges[number].request.json["messages"] == messages
    assert (chat.status, len(chat.text.encode()), chat.events[-1]) == (200, 10 * MEGABYTE, "[DONE]")
    # Who keeps a length that was true of another body cuts the stream there.
    assert "content-length" not in chat.headers


async def test_c27_a_response_of_ten_megabytes_passes_whole(home: House) -> None:
    PROVIDER.enqueue(scripts.answer(like=Answer(text="x" * (10 * MEGABYTE), pieces=400)))
    events = await streamed(home, input="y" * MEGABYTE, store=False)
    assert len(events[-1]["response"]["output"][0]["content"][0]["text"]) == 10 * MEGABYTE
