"""The provider when it behaves: both shapes of an answer, its choice of script, its record, its brand."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator

import httpx
import openai
import pytest

from devstack.provider import Answer, Ending, Identity, Provider, ToolCall, Usage, scripts
from devstack.provider.http import Request
from devstack.provider.script import Write

BRAND = "Zephyr"


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=5, trust_env=False) as client:
        yield client


def body(**fields: object) -> dict[str, object]:
    return {"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields}


async def post(client: httpx.AsyncClient, provider: Provider, **fields: object) -> httpx.Response:
    return await client.post(f"{provider.base_url}/chat/completions", json=body(**fields))


def sdk(provider: Provider) -> openai.AsyncOpenAI:
    http_client = openai.DefaultAsyncHttpxClient(trust_env=False)
    return openai.AsyncOpenAI(base_url=provider.base_url, api_key="sk-test", http_client=http_client, max_retries=0)


async def test_the_openai_sdk_reads_a_plain_answer() -> None:
    async with Provider() as provider, sdk(provider) as api:
        completion = await api.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
    assert completion.choices[0].message.content == "Hello from the provider."
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage is not None
    assert completion.usage.total_tokens == 19


async def test_the_openai_sdk_reads_a_stream_with_usage_only_when_it_asks() -> None:
    async with Provider() as provider, sdk(provider) as api:
        for wanted in (True, False):
            stream = await api.chat.completions.create(
                model="m",
                messages=[{"role": "user", "content": "hi"}],
                stream=True,
                stream_options={"include_usage": wanted},
            )
            chunks = [chunk async for chunk in stream]
            text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
            assert text == "Hello from the provider."
            assert [chunk.usage is not None for chunk in chunks].count(True) == wanted


async def test_parallel_tool_calls_come_interleaved_and_join_to_their_arguments() -> None:
    calls = (ToolCall("weather", '{"city": "Oslo"}'), ToolCall("time", '{"zone": "UTC"}', id="call_own"))
    async with Provider() as provider, sdk(provider) as api:
        provider.enqueue(scripts.answer(like=Answer(text=None, tool_calls=calls, interleaved=True)))
        stream = await api.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}], stream=True)
        order: list[int] = []
        arguments = {0: "", 1: ""}
        finish = None
        async for chunk in stream:
            finish = chunk.choices[0].finish_reason or finish
            for call in chunk.choices[0].delta.tool_calls or []:
                order.append(call.index)
                assert call.function is not None
                arguments[call.index] += call.function.arguments or ""
    assert order == [0, 1, 0, 1, 0, 1, 0, 1]
    assert arguments == {0: '{"city": "Oslo"}', 1: '{"zone": "UTC"}'}
    assert finish == "tool_calls"


async def test_reasoning_refusal_finish_reason_and_usage_are_as_scripted(client: httpx.AsyncClient) -> None:
    content = Answer(
        text=None,
        refusal="No.",
        reasoning="Hm.",
        finish_reason="length",
        usage=Usage(1, 2, 3, cached_tokens=1, reasoning_tokens=2),
    )
    async with Provider(default=scripts.answer(like=content)) as provider:
        whole = (await post(client, provider)).json()
        streamed = (await post(client, provider, stream=True)).text
    message = whole["choices"][0]["message"]
    assert (message["content"], message["refusal"], message["reasoning_content"]) == (None, "No.", "Hm.")
    assert whole["choices"][0]["finish_reason"] == "length"
    assert whole["usage"]["prompt_tokens_details"] == {"cached_tokens": 1}
    assert whole["usage"]["completion_tokens_details"] == {"reasoning_tokens": 2}
    assert '"refusal":"No."' in streamed
    assert '"reasoning_content":"Hm."' in streamed


async def test_n_gives_that_many_choices(client: httpx.AsyncClient) -> None:
    async with Provider() as provider:
        choices = (await post(client, provider, n=3)).json()["choices"]
    assert [choice["index"] for choice in choices] == [0, 1, 2]


async def test_an_empty_answer_has_no_content(client: httpx.AsyncClient) -> None:
    async with Provider(default=scripts.empty()) as provider:
        message = (await post(client, provider)).json()["choices"][0]["message"]
        streamed = (await post(client, provider, stream=True)).text
    assert message["content"] == ""
    assert streamed.count("data: {") == 2  # the role, and the finish


async def test_chunks_come_in_their_number_and_at_their_interval(client: httpx.AsyncClient) -> None:
    async with Provider(default=scripts.chunks(5, interval_seconds=0.02)) as provider:
        started = asyncio.get_running_loop().time()
        text = (await post(client, provider, stream=True)).text
        taken = asyncio.get_running_loop().time() - started
    assert text.count('"content":"word') + text.count('"content":" word') == 5
    assert taken >= 0.02 * 7  # role, five deltas, finish, [DONE]: seven pauses between eight events


async def test_scripts_are_chosen_by_model_then_in_order_then_by_default(client: httpx.AsyncClient) -> None:
    async with Provider(default=scripts.answer("default")) as provider:
        provider.enqueue(scripts.answer("first"), scripts.answer("second"))
        provider.enqueue(scripts.answer("for b"), model="b")
        provider.always(scripts.answer("always c"), model="c")
        texts = []
        for model in ("b", "b", "c", "c", "a"):
            answered = (await post(client, provider, model=model)).json()
            texts.append(answered["choices"][0]["message"]["content"])
    assert texts == ["for b", "first", "second", "always c", "default"]


async def test_every_request_is_recorded_with_headers_body_and_ending(client: httpx.AsyncClient) -> None:
    async with Provider() as provider:
        await client.post(
            f"{provider.base_url}/chat/completions", json=body(x=1), headers={"Authorization": "Bearer k"}
        )
        exchange = await provider.exchange(0)
        assert await exchange.ended() is Ending.COMPLETED
    assert exchange.request.headers["authorization"] == "Bearer k"
    assert exchange.request.json["x"] == 1
    assert exchange.request.path == "/v1/chat/completions"
    assert exchange.ended_at is not None
    assert exchange.ended_at >= exchange.started_at
    assert exchange.sent_bytes > 100
    assert provider.exchanges_for("m") == [exchange]
    assert provider.exchanges_for("other") == []


async def test_a_chunked_request_body_is_put_together(client: httpx.AsyncClient) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        encoded = json.dumps(body()).encode()
        for start in range(0, len(encoded), 7):
            yield encoded[start : start + 7]

    async with Provider() as provider:
        await client.post(f"{provider.base_url}/chat/completions", content=pieces())
    assert provider.exchanges[0].request.json == body()


async def test_a_connection_is_kept_for_the_next_request(client: httpx.AsyncClient) -> None:
    async with Provider() as provider:
        for _ in range(3):
            await post(client, provider)
            await post(client, provider, stream=True)
        assert provider.open_connections == 1


async def test_a_client_that_leaves_is_seen_at_once(client: httpx.AsyncClient) -> None:
    async with Provider(default=scripts.chunks(1000, interval_seconds=0.05)) as provider:
        async with client.stream("POST", f"{provider.base_url}/chat/completions", json=body(stream=True)) as response:
            await anext(response.aiter_bytes())
        exchange = await provider.exchange(0)
        assert await exchange.ended(timeout_seconds=1) is Ending.CLIENT_DISCONNECTED


async def test_a_client_that_leaves_with_the_last_byte_had_everything() -> None:
    async with Provider() as provider, httpx.AsyncClient(trust_env=False) as client:
        for _ in range(20):
            async with client.stream(
                "POST", f"{provider.base_url}/chat/completions", json=body(stream=True)
            ) as response:
                async for piece in response.aiter_raw():
                    if b"[DONE]" in piece:
                        break
        assert {await exchange.ended() for exchange in provider.exchanges} == {Ending.COMPLETED}


async def test_a_client_that_leaves_a_long_answer_unread_is_seen() -> None:
    long = scripts.raw(200, b"x" * 20_000_000)
    async with Provider(default=long) as provider, httpx.AsyncClient(trust_env=False) as client:
        async with client.stream("POST", f"{provider.base_url}/chat/completions", json=body()) as response:
            await anext(response.aiter_raw())
            exchange = await provider.exchange(0)
            assert exchange.ending is Ending.RUNNING
        assert await exchange.ended(timeout_seconds=1) is Ending.CLIENT_DISCONNECTED


def test_the_end_of_a_stream_comes_with_done_in_one_write() -> None:
    request = Request("POST", "/v1/chat/completions", {}, json.dumps(body(stream=True)).encode())
    *_, last = scripts.answer().play(request, Identity())
    assert isinstance(last, Write)
    assert b"[DONE]" in last.data
    assert last.data.endswith(b"\r\n0\r\n\r\n")


async def test_a_brand_is_in_every_place_that_could_leak(client: httpx.AsyncClient) -> None:
    async with Provider(brand=BRAND) as provider:
        provider.enqueue(scripts.answer(tool_calls=[ToolCall("t")]), scripts.http_error(429, retry_after=3))
        answered = await post(client, provider)
        failed = await post(client, provider)
        streamed = await post(client, provider, stream=True)
    payload = answered.json()
    choice = payload["choices"][0]
    places = [payload["model"], payload["id"], payload["system_fingerprint"], payload["service_tier"]]
    places += [choice["message"]["tool_calls"][0]["id"], str(failed.json()["error"]), failed.json()["error"]["message"]]
    places += [line for line in streamed.text.splitlines() if line.startswith("data: {")]
    places += [answered.headers[name] for name in ("server", "set-cookie", "openai-organization", "cf-ray")]
    assert [place for place in places if BRAND not in place] == []
    assert f"x-{BRAND.lower()}-region" in answered.headers
    assert failed.headers["retry-after"] == "3"
    assert "server" in failed.headers


async def test_without_a_brand_the_model_is_the_one_asked_for(client: httpx.AsyncClient) -> None:
    async with Provider() as provider:
        assert (await post(client, provider, model="anything")).json()["model"] == "anything"
        listing = await client.get(f"{provider.base_url}/models")
    assert listing.json()["object"] == "list"


async def test_it_runs_as_a_module_and_echoes(client: httpx.AsyncClient) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "devstack.provider", "--port", "0", stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        line = (await process.stdout.readline()).decode()
        base_url = next(word for word in line.split() if word.startswith("http"))
        parts = [{"type": "text", "text": "in parts"}]
        answered = await client.post(
            f"{base_url}/chat/completions", json=body(messages=[{"role": "user", "content": parts}])
        )
    finally:
        process.terminate()
        await process.wait()
    assert answered.json()["choices"][0]["message"]["content"] == "You said: in parts"
