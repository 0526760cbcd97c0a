"""The provider when it misbehaves, in every wire format, and streams that are cut anywhere."""

import asyncio
import json

import httpx
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devstack.provider import Answer, Ending, Identity, Provider, Script, Usage, cut, faults, scripts
from devstack.provider.http import LAST_FRAME, Request, take_frame
from devstack.provider.script import Write
from tests.unit.devstack_provider.callers import ASKED, PATHS, ask, events, sdk, spoken

FORMATS = list(PATHS)
OPENAI = ("chat", "responses", "completions")
LAST = {"responses": "response.completed", "anthropic": "message_stop"}


async def answered(wire: str, script: Script, **fields: object) -> httpx.Response:
    async with Provider(default=script) as provider:
        return await ask(provider, wire, **fields)


@pytest.mark.parametrize("wire", FORMATS)
@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503])
async def test_http_errors_have_the_body_of_their_format(wire: str, status: int) -> None:
    response = await answered(wire, scripts.http_error(status, retry_after=7, message="own words"))
    body = response.json()
    assert (response.status_code, response.headers["retry-after"]) == (status, "7")
    assert body["error"]["message"] == "own words"
    if wire in OPENAI:
        assert set(body["error"]) == {"message", "type", "param", "code"}
    else:
        assert (body["type"], set(body)) == ("error", {"type", "error", "request_id"})
        assert body["error"]["type"].endswith(("_error", "_too_large"))


async def test_a_context_that_is_too_long_is_told_in_each_providers_words() -> None:
    for wire in OPENAI:
        assert (await answered(wire, scripts.http_error(400))).json()["error"]["code"] == "context_length_exceeded"
    assert "prompt is too long" in (await answered("anthropic", scripts.http_error(400))).json()["error"]["message"]
    assert (await answered("anthropic", scripts.http_error(529))).json()["error"]["type"] == "overloaded_error"


async def test_the_sdk_raises_for_an_error_of_responses() -> None:
    async with Provider(default=scripts.http_error(429)) as provider, sdk(provider) as api:
        with pytest.raises(openai.RateLimitError):
            await api.responses.create(model="m", input="hi")


@pytest.mark.parametrize("wire", FORMATS)
@pytest.mark.parametrize("stream", [True, False])
async def test_connections_break_in_every_format(wire: str, stream: bool) -> None:
    breaks = [
        faults.reset_before_headers(),
        faults.close_before_headers(),
        faults.reset_midway(),
        faults.close_midway(),
    ]
    async with Provider() as provider:
        provider.enqueue(*breaks)
        for _ in breaks:
            with pytest.raises(httpx.TransportError):
                await ask(provider, wire, stream=stream)
        assert {await exchange.ended() for exchange in provider.exchanges} == {Ending.CUT_BY_PROVIDER}


@pytest.mark.parametrize("wire", FORMATS)
async def test_a_stream_hangs_after_its_events_until_the_client_leaves(wire: str) -> None:
    async with Provider(default=faults.hang_midway(events=2)) as provider:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ask(provider, wire, stream=True), 0.2)
        assert await provider.exchanges[0].ended() is Ending.CLIENT_DISCONNECTED


@pytest.mark.parametrize("wire", FORMATS)
async def test_a_stream_can_end_without_its_end(wire: str) -> None:
    whole, cut_off = (
        await answered(wire, scripts.answer(), stream=True),
        await answered(wire, faults.end_without_done(), stream=True),
    )
    assert spoken(wire, events(cut_off)) == spoken(wire, events(whole)) == "Hello from the provider."
    assert (LAST.get(wire, "[DONE]") in whole.text, LAST.get(wire, "[DONE]") in cut_off.text) == (True, False)
    assert len(events(await answered(wire, faults.end_without_done(events=2), stream=True))) == 2


@pytest.mark.parametrize(
    ("wire", "is_named", "kind"),
    [
        ("responses", False, "response.failed"),
        ("responses", True, "error"),
        ("anthropic", False, "error"),
        ("anthropic", True, "error"),
        ("completions", False, None),
        ("chat", True, None),
    ],
)
async def test_an_error_inside_a_stream_is_its_last_event(wire: str, is_named: bool, kind: str | None) -> None:
    streamed = events(await answered(wire, faults.error_in_stream(events=2, is_named=is_named), stream=True))
    assert len(streamed) == 3
    assert streamed[-1].get("type") == kind
    assert "The server had an error." in json.dumps(streamed[-1])


@pytest.mark.parametrize("wire", FORMATS)
@pytest.mark.parametrize("stream", [True, False])
async def test_an_error_can_come_with_200_in_the_form_of_the_format(wire: str, stream: bool) -> None:
    response = await answered(wire, faults.error_with_ok(), stream=stream)
    assert response.status_code == 200
    assert response.json()["error"]["type"] == ("overloaded_error" if wire == "anthropic" else "server_error")


@pytest.mark.parametrize("wire", FORMATS)
@pytest.mark.parametrize("stream", [True, False])
async def test_invalid_json_does_not_parse_in_any_format(wire: str, stream: bool) -> None:
    response = await answered(wire, faults.invalid_json(events=2), stream=stream)
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        events(response) if stream else response.json()


@pytest.mark.parametrize("wire", FORMATS)
async def test_unusual_streams_say_the_same_in_every_format(wire: str) -> None:
    text = "so be it"
    drip = faults.slow_drip(text, bytes_at_once=200, interval_seconds=0)
    for script in (faults.crlf(text), faults.comments(text), faults.one_write(text), faults.split_utf8(text), drip):
        assert spoken(wire, events(await answered(wire, script, stream=True))) == text


@pytest.mark.parametrize("wire", FORMATS)
async def test_usage_lies_in_every_format(wire: str) -> None:
    names = {"responses": "input_tokens", "anthropic": "input_tokens"}
    name = names.get(wire, "prompt_tokens")
    assert (await answered(wire, faults.negative_usage())).json()["usage"][name] == -5
    assert f'"{name}":{2**70}' in (await answered(wire, faults.huge_usage(), stream=True)).text
    assert not (await answered(wire, faults.no_usage())).json().get("usage")
    lied = await answered(wire, faults.usage_lie(Usage(prompt_tokens=None, total_tokens=1)))
    assert name not in lied.json()["usage"]
    every = await answered(wire, faults.usage_in_every_chunk(), stream=True)
    assert spoken(wire, events(every)) == "Hello from the provider."


@pytest.mark.parametrize("wire", FORMATS)
async def test_a_stream_can_go_on_after_its_end(wire: str) -> None:
    text = (await answered(wire, faults.data_after_done(), stream=True)).text
    assert "AFTER-DONE" in text.partition(LAST.get(wire, "[DONE]"))[2]


@pytest.mark.parametrize("wire", FORMATS)
@pytest.mark.parametrize("seed", range(3))
async def test_a_stream_that_is_cut_anywhere_says_the_same(wire: str, seed: int) -> None:
    script = scripts.answer("Grüße, 世界 🙂")
    async with Provider(default=script) as provider, Provider(default=cut(script, seed=seed, most_bytes=9)) as cutter:
        assert (await ask(cutter, wire, stream=True)).content == (await ask(provider, wire, stream=True)).content
        assert (await ask(cutter, wire)).content == (await ask(provider, wire)).content


async def test_a_cut_stream_still_pauses_and_breaks_where_it_did() -> None:
    async with Provider(default=cut(faults.reset_midway(events=2), seed=1)) as provider:
        with pytest.raises(httpx.ReadError):
            await ask(provider, "responses", stream=True)
        assert await provider.exchanges[0].ended() is Ending.CUT_BY_PROVIDER
    slow = await answered("chat", cut(scripts.chunks(3, interval_seconds=0.02)), stream=True)
    assert slow.elapsed.total_seconds() >= 0.02 * 4


@given(
    seed=st.integers(0, 2**32),
    most_bytes=st.integers(1, 200),
    text=st.text(max_size=40),
    wire=st.sampled_from(FORMATS),
)
@settings(max_examples=60, deadline=None)
def test_cutting_changes_places_and_nothing_else(seed: int, most_bytes: int, text: str, wire: str) -> None:
    body = json.dumps({"model": "m", "stream": True, **ASKED[wire]}).encode()
    request = Request("POST", f"/v1/{PATHS[wire]}", {}, body)
    script = scripts.answer(like=Answer(text=text))
    uncut = [step for step in script.play(request, Identity()) if isinstance(step, Write)]
    head, *rest = cut(script, seed=seed, most_bytes=most_bytes).play(request, Identity())
    again = cut(script, seed=seed, most_bytes=most_bytes).play(request, Identity())
    assert [head, *rest] == list(again)
    assert head == uncut[0]
    pieces = _frames(b"".join(step.data for step in rest if isinstance(step, Write)))
    assert b"".join(pieces) == b"".join(_frames(b"".join(step.data for step in uncut[1:])))
    assert all(0 < len(piece) <= most_bytes for piece in pieces)
    assert isinstance(rest[-1], Write)
    assert rest[-1].data.endswith(b"\r\n" + LAST_FRAME)


def test_every_seed_cuts_elsewhere_and_some_cut_letters_and_line_ends() -> None:
    request = Request("POST", "/v1/responses", {}, b'{"stream":true}')
    cuts = []
    for seed in range(20):
        _, *rest = cut(scripts.answer("世界 🙂 " * 5), seed=seed, most_bytes=40).play(request, Identity())
        cuts.append(_frames(b"".join(step.data for step in rest if isinstance(step, Write))))
    lengths = {tuple(map(len, pieces)) for pieces in cuts}
    assert len(lengths) == 20
    assert {len(piece) for pieces in cuts for piece in pieces} == set(range(1, 41))
    ends = {piece[-1:] for pieces in cuts for piece in pieces}
    assert b"\n" in ends
    assert any(end > b"\x7f" for end in ends)


def _frames(data: bytes) -> list[bytes]:
    left, frames = bytearray(data), []
    while taken := take_frame(left):
        frames.append(taken)
    assert not left
    return frames
