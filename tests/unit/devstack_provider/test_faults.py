"""The provider when it misbehaves: each fault is what its name says, seen through sockets."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from devstack.provider import Ending, Provider, Script, Usage, faults, scripts


def request_bytes(*, stream: bool) -> bytes:
    body = json.dumps({"model": "m", "stream": stream, "messages": []}).encode()
    return b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body


@asynccontextmanager
async def played(script: Script, *, stream: bool) -> AsyncIterator[tuple[Provider, asyncio.StreamReader]]:
    """A provider that plays `script`, and a raw connection on which one request was sent."""
    async with Provider(default=script) as provider:
        reader, writer = await asyncio.open_connection("127.0.0.1", provider.port, limit=2**26)
        try:
            writer.write(request_bytes(stream=stream))
            await writer.drain()
            yield provider, reader
        finally:
            writer.close()


async def answered(script: Script, *, stream: bool = False, **fields: object) -> httpx.Response:
    async with Provider(default=script) as provider, httpx.AsyncClient(timeout=5, trust_env=False) as client:
        body = {"model": "m", "stream": stream, "messages": [], **fields}
        return await client.post(f"{provider.base_url}/chat/completions", json=body)


def events(response: httpx.Response) -> list[str]:
    return [line.removeprefix("data:").strip() for line in response.text.splitlines() if line.startswith("data:")]


def spoken(response: httpx.Response) -> str:
    """The text of the stream up to `[DONE]`, as a tolerant client reads it."""
    text = ""
    for event in events(response):
        if event == "[DONE]":
            break
        for choice in json.loads(event)["choices"]:
            text += choice["delta"].get("content") or ""
    return text


@pytest.mark.parametrize("stream", [True, False])
async def test_hanging_before_headers_sends_nothing_and_sees_the_client_go(stream: bool) -> None:
    async with played(faults.hang_before_headers(), stream=stream) as (provider, reader):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.1)
        exchange = await provider.exchange(0)
        assert exchange.ending is Ending.RUNNING
        reader_transport = reader._transport  # type: ignore[attr-defined]
        reader_transport.close()
        assert await exchange.ended() is Ending.CLIENT_DISCONNECTED


async def test_hanging_midway_sends_its_events_first() -> None:
    async with played(faults.hang_midway(events=2), stream=True) as (_, reader):
        data = await reader.readuntil(b"\n\n\r\n") + await reader.readuntil(b"\n\n\r\n")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.1)
    assert data.count(b"data: ") == 2


async def test_a_reset_before_headers_is_a_reset() -> None:
    async with played(faults.reset_before_headers(), stream=True) as (provider, reader):
        with pytest.raises(ConnectionResetError):
            await reader.read(1)
        assert await provider.exchanges[0].ended() is Ending.CUT_BY_PROVIDER


async def test_a_reset_midway_comes_after_its_events() -> None:
    async with played(faults.reset_midway(events=2), stream=True) as (_, reader):
        data = await reader.readuntil(b"\n\n\r\n")
        data += await reader.readuntil(b"\n\n\r\n")
        assert data.count(b"data: ") == 2
        with pytest.raises(ConnectionResetError):
            await reader.read(1)


@pytest.mark.parametrize("stream", [True, False])
async def test_closing_midway_leaves_the_body_incomplete(stream: bool) -> None:
    async with played(faults.close_midway(events=1), stream=stream) as (_, reader):
        data = await reader.read(-1)
    assert data.startswith(b"HTTP/1.1 200")
    assert not data.endswith(b"0\r\n\r\n")
    with pytest.raises(httpx.RemoteProtocolError):
        await answered(faults.close_midway(events=1), stream=stream)


async def test_closing_before_headers_is_an_orderly_end() -> None:
    async with played(faults.close_before_headers(), stream=False) as (_, reader):
        assert await reader.read(-1) == b""


async def test_a_stream_can_end_without_done_and_even_without_finish() -> None:
    complete = events(await answered(faults.end_without_done(), stream=True))
    short = events(await answered(faults.end_without_done(events=2), stream=True))
    assert '"finish_reason":"stop"' in complete[-1]
    assert len(short) == 2
    assert "[DONE]" not in complete + short


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 409, 413, 422, 429, 500, 502, 503, 504])
async def test_http_errors_have_their_status_and_an_openai_body(status: int) -> None:
    response = await answered(scripts.http_error(status, retry_after=7))
    assert response.status_code == status
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}
    assert response.headers["retry-after"] == "7"


@pytest.mark.parametrize("stream", [True, False])
async def test_an_error_can_come_with_status_200(stream: bool) -> None:
    response = await answered(faults.error_with_ok(), stream=stream)
    assert response.status_code == 200
    assert response.json()["error"]["type"] == "server_error"


async def test_an_error_can_come_inside_a_stream() -> None:
    response = await answered(faults.error_in_stream(events=2, is_named=True), stream=True)
    assert "error" in json.loads(events(response)[2])
    assert events(response)[3] == "[DONE]"
    assert "event: error\n" in response.text


async def test_usage_can_be_absent_negative_huge_twice_or_in_every_chunk() -> None:
    asked = {"stream_options": {"include_usage": True}}
    assert "usage" not in (await answered(faults.no_usage())).json()
    assert "usage" not in (await answered(faults.no_usage(), stream=True, **asked)).text
    assert (await answered(faults.negative_usage())).json()["usage"]["total_tokens"] == -14
    assert (await answered(faults.huge_usage())).json()["usage"]["total_tokens"] == 2**71
    assert (await answered(faults.duplicate_usage(), stream=True)).text.count('"usage":{') == 2
    every = events(await answered(faults.usage_in_every_chunk(), stream=True))
    assert all('"usage":{' in event for event in every[:-1])
    lied = (await answered(faults.usage_lie(Usage(prompt_tokens=None, total_tokens=1)))).json()["usage"]
    assert lied == {"completion_tokens": 7, "total_tokens": 1}


async def test_letters_are_cut_in_the_middle_and_join_again() -> None:
    async with played(faults.split_utf8("ü🙂"), stream=True) as (_, reader):
        data = await reader.readuntil(b"0\r\n\r\n")
    assert b"1\r\n\xc3\r\n1\r\n\xbc\r\n" in data
    assert spoken(await answered(faults.split_utf8("ü🙂"), stream=True)) == "ü🙂"


async def test_unusual_but_legal_streams_say_the_same() -> None:
    for script in (faults.crlf("so be it"), faults.comments("so be it"), faults.one_write("so be it")):
        response = await answered(script, stream=True)
        assert spoken(response) == "so be it"
    assert b"\r\n\r\n" in (await answered(faults.crlf(), stream=True)).content
    assert "\n:" in (await answered(faults.comments(), stream=True)).text


async def test_data_after_done_is_there_to_be_ignored() -> None:
    response = await answered(faults.data_after_done(), stream=True)
    assert "AFTER-DONE" in response.text.partition("[DONE]")[2]
    assert "AFTER-DONE" not in spoken(response)


async def test_a_giant_line_has_its_size() -> None:
    response = await answered(faults.giant_line(megabytes=1.5), stream=True)
    assert max(len(event) for event in events(response)) > 1_500_000


@pytest.mark.parametrize("stream", [True, False])
async def test_invalid_json_does_not_parse(stream: bool) -> None:
    response = await answered(faults.invalid_json(events=2), stream=stream)
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        json.loads(events(response)[2] if stream else response.text)


async def test_a_slow_drip_arrives_whole() -> None:
    response = await answered(faults.slow_drip("drop", bytes_at_once=40, interval_seconds=0.001), stream=True)
    assert spoken(response) == "drop"
    assert response.elapsed.total_seconds() > 0.01


async def test_a_redirect_names_its_place() -> None:
    response = await answered(faults.redirect("http://127.0.0.1:1/elsewhere"))
    assert (response.status_code, response.headers["location"]) == (307, "http://127.0.0.1:1/elsewhere")


@pytest.mark.parametrize("stream", [True, False])
async def test_gzip_comes_unasked(stream: bool) -> None:
    async with played(faults.gzipped("small"), stream=stream) as (_, reader):
        head = await reader.readuntil(b"\r\n\r\n")
    assert b"Content-Encoding: gzip" in head
    async with Provider(default=faults.gzipped("small")) as provider, httpx.AsyncClient(trust_env=False) as client:
        body = {"model": "m", "stream": stream}
        async with client.stream("POST", f"{provider.base_url}/chat/completions", json=body) as response:
            raw = b"".join([piece async for piece in response.aiter_raw()])
    assert b"small" in gzip.decompress(raw)


async def test_other_shapes_of_nonsense() -> None:
    page = await answered(faults.html_page(503))
    assert (page.status_code, page.headers["content-type"]) == (503, "text/html")
    assert (await answered(faults.odd_payload({"choices": None}))).json() == {"choices": None}
    assert events(await answered(faults.odd_payload({"a": 1}), stream=True)) == ['{"a":1}', "[DONE]"]
    assert (await answered(scripts.raw(299, b"[]"))).content == b"[]"
    with pytest.raises(httpx.RemoteProtocolError):
        await answered(faults.not_http())
