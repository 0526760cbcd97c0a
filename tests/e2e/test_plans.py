"""The customer's side of the contract: aliases, plans, both base paths, and the official SDK unchanged."""

from collections.abc import AsyncIterator
from pathlib import Path

import openai
import pytest
import pytest_asyncio
from openai.types.chat import ChatCompletionMessageParam

from devstack.provider import Provider, ToolCall, scripts
from devstack.stack import Stack
from tests import patience
from tests.e2e.product import ALIASES, chat, get, profiles

OTHER_BASE_PATH = "/api/smart-routing-ai-model/v1"
SAID: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Say hello."}]
PLANS = ("free", "plus", "business", "pro", "ultimate", "max", "unlimited")

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def provider() -> AsyncIterator[Provider]:
    async with Provider(default=scripts.answer("Hello there.")) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(provider: Provider, module_data_dir: Path) -> AsyncIterator[Stack]:
    async with Stack(
        module_data_dir, profiles=profiles({"only": provider}), environment=patience.ENVIRONMENT
    ) as running:
        yield running


async def test_a_free_customer_who_asks_for_ultra_is_served_and_told_mini(stack: Stack) -> None:
    answer = await chat(stack, stack.tokens["free"], model="smart-route-ultra")
    assert (answer.status, answer.json["model"]) == (200, "smart-route-mini")


async def test_an_unlimited_customer_who_asks_for_mini_gets_mini(stack: Stack) -> None:
    answer = await chat(stack, stack.tokens["unlimited"], model="smart-route-mini")
    assert (answer.status, answer.json["model"]) == (200, "smart-route-mini")


@pytest.mark.parametrize(("plan", "own"), list(zip(PLANS, ALIASES, strict=True)))
async def test_every_plan_is_served_at_most_its_own_alias(stack: Stack, plan: str, own: str) -> None:
    served = [(await chat(stack, stack.tokens[plan], model=alias)).json["model"] for alias in ALIASES]
    rank = ALIASES.index(own)
    assert served == [*ALIASES[: rank + 1], *[own] * (len(ALIASES) - rank - 1)]


async def test_an_unknown_model_is_a_404_that_names_the_seven_and_costs_nothing(stack: Stack) -> None:
    before = (await get(stack, stack.tokens["plus"], "usage")).json["daily"]["used"]
    answer = await chat(stack, stack.tokens["plus"], model="gpt-4o")
    assert (answer.status, answer.json["error"]["code"]) == (404, "model_not_found")
    assert all(f"`{alias}`" in answer.json["error"]["message"] for alias in ALIASES)
    assert (await get(stack, stack.tokens["plus"], "usage")).json["daily"]["used"] == before


async def test_usage_has_the_shape_of_the_contract(stack: Stack) -> None:
    usage = (await get(stack, stack.tokens["free"], "usage")).json
    assert (usage["plan"], usage["alias"]) == ("free", "smart-route-mini")
    assert (usage["daily"]["limit"], usage["monthly"]["limit"]) == (200, 1000)
    assert usage["daily"]["used"] + usage["daily"]["remaining"] == 200
    assert usage["daily"]["resets_at"].endswith(("Z", "+00:00"))
    unlimited = (await get(stack, stack.tokens["unlimited"], "usage")).json
    assert (unlimited["daily"]["limit"], unlimited["daily"]["remaining"]) == (None, None)
    assert unlimited["daily"]["used"] > 0


async def test_every_admitted_response_has_the_headers_of_the_contract(stack: Stack) -> None:
    for is_streamed in (False, True):
        headers = (await chat(stack, stack.tokens["pro"], stream=is_streamed)).headers
        assert int(headers["x-ratelimit-limit-requests"]) == 3000
        assert int(headers["x-ratelimit-remaining-requests"]) == int(headers["x-smartroute-daily-remaining"])
        assert int(headers["x-smartroute-monthly-remaining"]) < 30_000
        assert headers["x-ratelimit-reset-requests"]
        assert headers["x-smartroute-turn"]
        assert headers["x-request-id"]
        assert headers["traceparent"].startswith("00-")


@pytest.mark.parametrize("path", ["/v1", OTHER_BASE_PATH])
async def test_the_openai_sdk_works_unchanged(stack: Stack, provider: Provider, path: str) -> None:
    base_url = stack.base_url.removesuffix("/v1") + path
    async with openai.AsyncOpenAI(base_url=base_url, api_key=stack.tokens["max"], max_retries=0) as client:
        whole = await client.chat.completions.create(model="smart-route", messages=SAID)
        assert whole.choices[0].message.content == "Hello there."
        assert whole.usage is not None
        assert whole.usage.total_tokens == 19

        stream = await client.chat.completions.create(
            model="smart-route", messages=SAID, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
        assert "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices) == "Hello there."
        assert chunks[-1].usage is not None
        assert chunks[-1].usage.completion_tokens == 7

        models = [model.id async for model in client.models.list()]
        assert models == list(ALIASES)
        assert (await client.models.retrieve("smart-route-ultra")).id == "smart-route-ultra"
        with pytest.raises(openai.NotFoundError, match="smart-route-infinite"):
            await client.models.retrieve("nothing")


async def test_tool_calls_pass_with_ids_of_our_own(stack: Stack, provider: Provider) -> None:
    tools = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}]
    provider.enqueue(scripts.answer(tool_calls=[ToolCall("look", '{"at": "sky"}', id="call_of_the_provider")]))
    answer = await chat(stack, stack.tokens["max"], tools=tools, tool_choice="auto")
    call = answer.json["choices"][0]["message"]["tool_calls"][0]
    assert call["function"] == {"name": "look", "arguments": '{"at": "sky"}'}
    assert len(call["id"]) <= 40
    assert "provider" not in call["id"]
    assert provider.exchanges[-1].request.json["tools"] == tools


async def test_a_wrong_token_is_a_401_whatever_is_wrong_with_it(stack: Stack) -> None:
    good = stack.tokens["free"]
    bodies = set()
    for token in ("", "nonsense", good[:-1] + ("a" if good[-1] != "a" else "b"), good + "x", "sr_live_" + "0" * 38):
        answer = await chat(stack, token)
        assert (answer.status, answer.json["error"]["code"]) == (401, "invalid_api_key")
        bodies.add(answer.raw)
    assert len(bodies) == 1
