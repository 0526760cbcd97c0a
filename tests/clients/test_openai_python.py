"""The official SDK for Python works over both of its APIs, whatever the provider behind speaks.

Not marked as `clients`: the SDK is a tool of our own tests, so these are part of `make test`.
"""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from openai import AsyncOpenAI, OpenAI

from devstack.provider.agent import Plan, call, say
from tests.clients.conftest import OpenEndpoint
from tests.clients.endpoint import IS_DIRECT, MODEL, Endpoint
from tests.clients.failures import FAILURES, Failure
from tests.clients.openai_sdk import Api, perform
from tests.clients.scenarios import SCENARIOS, Scenario, assert_met, prepare

APIS: list[Api] = ["chat", "responses"]


@pytest_asyncio.fixture
async def client(endpoint: Endpoint) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=endpoint.base_url, api_key=endpoint.token) as opened:
        yield opened


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
async def test_the_sdk_gets_what_the_model_said(
    scenario: Scenario, api: Api, client: AsyncOpenAI, endpoint: Endpoint
) -> None:
    prepare(endpoint)
    await assert_met([scenario], [await perform(client, scenario.name, api=api)], endpoint)


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("failure", FAILURES, ids=str)
async def test_the_sdk_raises_what_its_users_catch(failure: Failure, api: Api, open_endpoint: OpenEndpoint) -> None:
    async with (
        open_endpoint(prompts=1) as endpoint,
        AsyncOpenAI(base_url=endpoint.base_url, api_key=endpoint.token) as client,
    ):
        await failure.cause(endpoint)
        await failure.assert_told(await perform(client, failure.scenario, api=api), endpoint)


async def test_the_synchronous_sdk_works_as_well(endpoint: Endpoint) -> None:
    endpoint.provider.always(Plan([say("Hello from the model.")]).script())

    def ask() -> list[str]:
        with OpenAI(base_url=endpoint.base_url, api_key=endpoint.token) as client:
            completion = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Hello?"}])
            response = client.responses.create(model=MODEL, input="Hello?")
        return [completion.choices[0].message.content or "", response.output_text]

    assert await asyncio.to_thread(ask) == ["Hello from the model."] * 2
    await endpoint.assert_prompts(2)


@pytest.mark.skipif(IS_DIRECT, reason="the gateway remembers; the scripted provider does not")
async def test_a_turn_goes_on_from_the_id_of_the_response_before(client: AsyncOpenAI, endpoint: Endpoint) -> None:
    endpoint.provider.always(Plan([call("get_weather", {"city": "Oslo"}), say("7 degrees.")]).script())
    tool = {"type": "function", "name": "get_weather", "parameters": {"type": "object", "properties": {}}}
    first = await client.responses.create(model=MODEL, input="How is Oslo?", tools=[tool])  # type: ignore[list-item]
    (asked,) = [item for item in first.output if item.type == "function_call"]
    second = await client.responses.create(
        model=MODEL,
        previous_response_id=first.id,
        input=[{"type": "function_call_output", "call_id": asked.call_id, "output": "7 degrees"}],
        tools=[tool],  # type: ignore[list-item]
    )
    assert second.output_text == "7 degrees."
    await endpoint.assert_prompts(1)


async def test_the_list_of_models_is_read(client: AsyncOpenAI) -> None:
    assert [model.id async for model in client.models.list()]
