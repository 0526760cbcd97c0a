"""`POST /responses` and what is stored of it, through the real services, with the official SDK as the client."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import openai
import psycopg
import pytest

from contracts.outcomes import Outcome
from devstack.provider import Answer, Provider, ToolCall, faults, scripts
from devstack.pytest_plugin import FreshDatabase
from tests.service.gateway.chat_house import House, house, target
from tests.unit.gateway.wire import responses_rules as rules

FORMATS = ("chat", "responses", "anthropic")
WEATHER: dict[str, Any] = {
    "type": "function",
    "name": "weather",
    "description": "The weather of a place.",
    "parameters": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
}


@asynccontextmanager
async def asked(
    nats_url: str, fresh_database: FreshDatabase, folder: Path, *formats: str, **settings: Any
) -> AsyncIterator[tuple[House, list[Provider], openai.AsyncOpenAI]]:
    """The house in front of strict, branded providers of these formats, and the SDK as its client."""
    providers = [Provider(brand="Zephyr", strict=True) for _ in formats]
    async with (
        house_of(nats_url, fresh_database, folder, dict(zip(formats, providers, strict=True)), **settings) as home,
        openai.AsyncOpenAI(base_url=home.base_url, api_key=home.token, max_retries=0) as client,
    ):
        yield home, providers, client


@asynccontextmanager
async def house_of(
    nats_url: str, fresh_database: FreshDatabase, folder: Path, providers: dict[str, Provider], **settings: Any
) -> AsyncIterator[House]:
    from contextlib import AsyncExitStack

    async with AsyncExitStack() as stack:
        targets = {}
        for format, provider in providers.items():
            await stack.enter_async_context(provider)
            targets[format] = target(provider, format, format=format)
        yield await stack.enter_async_context(house(nats_url, fresh_database, folder, targets, **settings))


async def raw(home: House, body: dict[str, Any], *, token: str | None = None) -> tuple[int, dict[str, str], bytes]:
    headers = {"authorization": f"Bearer {token or home.token}"}
    async with home.session.post(f"{home.base_url}/responses", json=body, headers=headers) as response:
        return response.status, {k.lower(): v for k, v in response.headers.items()}, await response.read()


@pytest.mark.parametrize("format", FORMATS)
async def test_an_answer_is_streamed_and_whole_by_the_published_rules_whatever_the_provider_speaks(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path, format: str
) -> None:
    async with asked(nats_url, fresh_database, tmp_path, format) as (home, (provider,), _):
        said = Answer(text="It rains.", tool_calls=(ToolCall("weather", '{"place": "Oslo"}'), ToolCall("weather")))
        provider.always(scripts.answer(like=said))
        body = {"model": "smart-route", "input": "Weather?", "tools": [WEATHER]}
        status, headers, whole = await raw(home, body)
        assert status == 200, whole
        assert rules.response_violations(json.loads(whole)) == []
        status, headers, streamed = await raw(home, {**body, "stream": True})
        assert status == 200, streamed
        assert rules.frame_violations(streamed) == []
        events = rules.read_events(streamed)
        assert rules.event_violations(events) == []
        assert (headers["content-type"], headers["x-accel-buffering"]) == ("text/event-stream; charset=utf-8", "no")
        assert b"Zephyr" not in whole + streamed
        kinds = [item["type"] for item in events[-1]["response"]["output"]]
        assert kinds == ["message", "function_call", "function_call"]
        assert [item["type"] for item in json.loads(whole)["output"]] == kinds
        first, second = await home.settlements(2)
        assert (first.outcome, second.outcome) == (Outcome.COMPLETED, Outcome.COMPLETED)
        assert (first.endpoint, first.tokens.source) == ("responses", "provider")
        assert provider.complaints == []


async def test_a_response_is_stored_read_continued_and_deleted_by_its_owner_only(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with asked(nats_url, fresh_database, tmp_path, "chat") as (home, (provider,), client):
        provider.enqueue(scripts.answer("My name is Ada."), scripts.answer("Ada, as I said."))
        first = await client.responses.create(model="smart-route", input="Who are you?", instructions="Be brief.")
        assert (await client.responses.retrieve(first.id)).output_text == "My name is Ada."
        second = await client.responses.create(
            model="smart-route", input="Again?", previous_response_id=first.id, store=True
        )
        sent = provider.exchanges[1].request.json["messages"]
        assert isinstance(sent, list)
        # The instructions of the response before are not inherited.
        assert [message["role"] for message in sent] == ["user", "assistant", "user"]
        items = [item async for item in client.responses.input_items.list(second.id, order="asc")]
        assert [item.type for item in items] == ["message", "message", "message"]
        assert len({item.id for item in items}) == 3
        await client.responses.delete(first.id)
        with pytest.raises(openai.NotFoundError) as gone:
            await client.responses.retrieve(first.id)
        assert gone.value.code == "response_not_found"
        with pytest.raises(openai.BadRequestError) as lost:
            await client.responses.create(model="smart-route", input="And?", previous_response_id=first.id)
        assert lost.value.code == "previous_response_not_found"
        assert (await client.responses.retrieve(second.id)).output_text == "Ada, as I said."
        assert await home.cost() == 2


async def test_items_are_referred_to_by_their_ids_instead_of_being_sent_again(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with asked(nats_url, fresh_database, tmp_path, "chat") as (home, (provider,), _):
        provider.enqueue(scripts.answer(tool_calls=[ToolCall("weather", '{"place": "Oslo"}')]), scripts.answer("Rain."))
        question = {"role": "user", "content": "Weather?"}
        _, _, first = await raw(home, {"model": "smart-route", "input": [question], "tools": [WEATHER]})
        (call,) = [item for item in json.loads(first)["output"] if item["type"] == "function_call"]
        result = {"type": "function_call_output", "call_id": call["call_id"], "output": "rain"}
        reference = {"type": "item_reference", "id": call["id"]}
        body = {"model": "smart-route", "input": [question, reference, result], "tools": [WEATHER]}
        status, headers, answer = await raw(home, body)
        assert status == 200, answer
        assert "; call=2; " in headers["x-smartroute-turn"]
        assert await home.cost() == 1
        unknown = {"type": "item_reference", "id": "fc_" + "0" * 36}
        status, _, answer = await raw(home, {**body, "input": [question, unknown]})
        assert (status, json.loads(answer)["error"]["param"]) == (400, "input[1]")


async def test_foreign_unknown_and_malformed_ids_are_the_same_404(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with asked(nats_url, fresh_database, tmp_path, "chat") as (home, _, client):
        mine = await client.responses.create(model="smart-route", input="Hi")
        await move_to_another_account(home, mine.id)
        answers = []
        for response_id in (mine.id, "resp_" + "0" * 32, "resp_x", "RESP_" + mine.id[5:]):
            for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/input_items")):
                url = f"{home.base_url}/responses/{response_id}{path}"
                headers = {"authorization": f"Bearer {home.token}"}
                async with home.session.request(method, url, headers=headers) as response:
                    answers.append((response.status, await response.text()))
        assert len(set(answers)) == 1
        assert (answers[0][0], json.loads(answers[0][1])["error"]["code"]) == (404, "response_not_found")


async def move_to_another_account(home: House, response_id: str) -> None:
    async with await psycopg.AsyncConnection.connect(home.database.admin_url) as connection:
        await connection.execute("UPDATE gateway.responses SET account_id = gen_random_uuid()")


async def test_what_is_not_to_be_stored_is_not_and_says_so(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with asked(nats_url, fresh_database, tmp_path, "chat", responses_size_limit_bytes=4000) as (
        _home,
        made,
        client,
    ):
        kept = await client.responses.create(model="smart-route", input="Hi")
        refused = await client.responses.create(model="smart-route", input="Hi", store=False)
        made[0].always(scripts.answer("long " * 1000))
        large = await client.responses.create(model="smart-route", input="Hi")
        assert [json.loads(answer.to_json())["store"] for answer in (kept, refused, large)] == [True, False, False]
        for answer in (refused, large):
            with pytest.raises(openai.NotFoundError):
                await client.responses.retrieve(answer.id)
        async with client.responses.stream(model="smart-route", input="Hi") as stream:
            final = await stream.get_final_response()
        assert json.loads(final.to_json())["store"] is False
        made[0].always(scripts.answer("short"))
        async with client.responses.stream(model="smart-route", input="Hi") as stream:
            final = await stream.get_final_response()
        assert (await client.responses.retrieve(final.id)).output_text == "short"


async def test_a_failure_in_the_middle_is_a_typed_end_and_costs_nothing(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with asked(nats_url, fresh_database, tmp_path, "chat") as (home, (provider,), _):
        provider.enqueue(faults.close_midway(events=4), faults.error_in_stream(events=4))
        for _ in range(2):
            status, _, body = await raw(home, {"model": "smart-route", "input": "Hi", "stream": True})
            events = rules.read_events(body)
            assert (status, rules.event_violations(events)) == (200, [])
            last = events[-1]
            assert (last["type"], last["response"]["error"]["code"]) == ("response.failed", "server_error")
        outcomes = [settled.outcome for settled in await home.settlements(2)]
        assert outcomes == [Outcome.UPSTREAM_BROKEN] * 2
        assert await home.cost() == 0


async def test_faults_of_the_request_are_400_before_any_prompt_is_held(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with asked(nats_url, fresh_database, tmp_path, "chat") as (home, (provider,), _):
        for body, param in (
            ({"model": "smart-route"}, "input"),
            ({"model": "smart-route", "input": "Hi", "background": True}, "background"),
            ({"model": "smart-route", "input": [{"type": "message", "role": "user", "content": 3}]}, None),
        ):
            status, _, answer = await raw(home, body)
            error = json.loads(answer)["error"]
            assert (status, error["type"]) == (400, "invalid_request_error"), answer
            assert param is None or error["param"] == param
        status, _, answer = await raw(home, {"model": "gpt-4o", "input": "Hi"})
        assert (status, json.loads(answer)["error"]["code"]) == (404, "model_not_found")
        provider.enqueue(scripts.http_error(400))
        status, _, answer = await raw(home, {"model": "smart-route", "input": "Hi", "stream": True})
        assert (status, json.loads(answer)["error"]["code"]) == (400, "context_length_exceeded")
        assert await home.cost() == 0


async def test_a_websocket_is_refused_at_once_with_426(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with asked(nats_url, fresh_database, tmp_path, "chat") as (home, _, _):
        upgrade = {
            "connection": "Upgrade",
            "upgrade": "websocket",
            "sec-websocket-version": "13",
            "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
            "openai-beta": "responses_websockets=2026-02-06",
        }
        headers = {"authorization": f"Bearer {home.token}"}
        async with home.session.get(f"{home.base_url}/responses", headers=headers | upgrade) as response:
            assert (response.status, (await response.json())["error"]["code"]) == (426, "upgrade_required")
        async with home.session.get(f"{home.base_url}/responses", headers=headers) as response:
            assert response.status == 405


async def test_the_next_format_takes_over_before_the_first_content(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with asked(nats_url, fresh_database, tmp_path, "responses", "anthropic", "chat") as (home, made, client):
        made[0].always(scripts.http_error(503))
        made[1].always(faults.error_in_stream(events=1))
        made[2].always(scripts.answer("Third time lucky."))
        async with client.responses.stream(model="smart-route", input="Hi") as stream:
            final = await stream.get_final_response()
        assert final.output_text == "Third time lucky."
        assert (await home.settlement()).attempts == 3


async def test_a_target_without_images_is_passed_over_and_none_with_them_is_a_400(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    picture = {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo="}
    question = [{"type": "message", "role": "user", "content": [picture]}]
    async with Provider() as blind, Provider() as sighted:
        without = {"takes_images": False}
        targets = {"blind": target(blind, "blind", dialect=without), "sighted": target(sighted, "sighted")}
        async with house(nats_url, fresh_database, tmp_path, targets) as home:
            status, _, _ = await raw(home, {"model": "smart-route", "input": question})
            assert (status, len(blind.exchanges), len(sighted.exchanges)) == (200, 0, 1)
    async with (
        Provider() as blind,
        house(nats_url, fresh_database, tmp_path, {"blind": target(blind, "blind", dialect=without)}) as home,
    ):
        status, _, body = await raw(home, {"model": "smart-route", "input": question})
        error = json.loads(body)["error"]
        assert (status, error["code"]) == (400, "unsupported_value")
        assert blind.exchanges == []
        assert await home.cost() == 0
