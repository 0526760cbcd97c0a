"""A provider that shows its name everywhere it can: no byte of it reaches the client (invariant I6)."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from devstack.provider import Answer as Said
from devstack.provider import Provider, Script, ToolCall, faults, scripts
from devstack.stack import Stack
from tests import patience
from tests.e2e.product import Answer, chat, profiles

BRAND = "Zephyrine"
UPSTREAM_MODEL = "only-model"
TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}]

ANSWERS = {
    "text": scripts.answer("A plain answer."),
    "tool calls": scripts.answer(tool_calls=[ToolCall("look", '{"at": 1}'), ToolCall("look", '{"at": 2}')]),
    "interleaved calls": scripts.answer(
        like=Said(text=None, tool_calls=(ToolCall("look", '{"a": 1}'), ToolCall("look", '{"b": 2}')), interleaved=True)
    ),
    "nothing": scripts.empty(),
}
STREAMS = {"comments": faults.comments(), "usage everywhere": faults.usage_in_every_chunk(), "crlf": faults.crlf()}
FAILURES = {
    **{f"http {status}": scripts.http_error(status) for status in (400, 401, 403, 404, 413, 422, 429, 500, 503)},
    "redirect": faults.redirect("https://zephyrine.example/v1"),
    "error with 200": faults.error_with_ok(),
    "html": faults.html_page(),
    "html 502": faults.html_page(502),
    "error in stream": faults.error_in_stream(),
    "invalid json": faults.invalid_json(),
    "reset": faults.reset_midway(),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def provider() -> AsyncIterator[Provider]:
    async with Provider(brand=BRAND) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(provider: Provider, module_data_dir: Path) -> AsyncIterator[Stack]:
    async with Stack(
        module_data_dir, profiles=profiles({"only": provider}), environment=patience.ENVIRONMENT
    ) as running:
        yield running


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("script", ANSWERS.values(), ids=ANSWERS)
async def test_an_answer_does_not_name_its_provider(stack: Stack, provider: Provider, script: Script) -> None:
    provider.enqueue(script)
    answer = await chat(stack, stack.tokens["max"], tools=TOOLS)
    _assert_anonymous(answer)
    _assert_ours(answer, [answer.json])


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("script", [*ANSWERS.values(), *STREAMS.values()], ids=[*ANSWERS, *STREAMS])
async def test_a_stream_does_not_name_its_provider(stack: Stack, provider: Provider, script: Script) -> None:
    provider.enqueue(script)
    answer = await chat(stack, stack.tokens["max"], tools=TOOLS, stream=True, stream_options={"include_usage": True})
    _assert_anonymous(answer)
    _assert_ours(answer, answer.events)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("is_streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("script", FAILURES.values(), ids=FAILURES)
async def test_a_failure_does_not_name_its_provider(
    stack: Stack, provider: Provider, script: Script, is_streamed: bool
) -> None:
    provider.enqueue(script, script)
    _assert_anonymous(await chat(stack, stack.tokens["max"], stream=is_streamed))


def _assert_ours(answer: Answer, bodies: list[Any]) -> None:
    assert answer.status == 200
    assert bodies
    assert {body["model"] for body in bodies} == {"smart-route-mini"}
    assert {body["id"] for body in bodies} == {f"chatcmpl-{answer.headers['x-request-id']}"}


def _assert_anonymous(answer: Answer) -> None:
    headers = "\n".join(f"{name}: {value}" for name, value in answer.headers.items())
    everything = f"{headers}\n{answer.raw.decode()}".lower()
    for trace in (BRAND.lower(), UPSTREAM_MODEL, "127.0.0.1", "aiohttp", "uvicorn"):
        assert trace not in everything
