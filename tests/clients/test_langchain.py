"""LangChain's ChatOpenAI works over both APIs, whatever the provider behind speaks."""

import pytest

from tests.clients.conftest import OpenEndpoint
from tests.clients.endpoint import Endpoint
from tests.clients.failures import FAILURES, Failure
from tests.clients.programs import perform_in_python
from tests.clients.scenarios import SCENARIOS, assert_met, prepare
from tests.clients.workplace import Workplace

pytestmark = pytest.mark.clients

APIS = ["chat", "responses"]


@pytest.mark.parametrize("api", APIS)
async def test_the_client_gets_what_the_model_said_in_every_scenario(
    api: str, workplace: Workplace, endpoint: Endpoint
) -> None:
    """In one process: to load the client takes longer than all of them."""
    prepare(endpoint)
    names = [scenario.name for scenario in SCENARIOS]
    answers = await perform_in_python(workplace, endpoint, "langchain_program", api=api, scenarios=names)
    await assert_met(SCENARIOS, answers, endpoint)


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("failure", FAILURES, ids=str)
async def test_the_client_raises_what_its_users_catch(
    failure: Failure, api: str, workplace: Workplace, open_endpoint: OpenEndpoint
) -> None:
    async with open_endpoint(prompts=1) as endpoint:
        await failure.cause(endpoint)
        (answered,) = await perform_in_python(
            workplace, endpoint, "langchain_program", api=api, scenarios=[failure.scenario]
        )
        await failure.assert_told(answered, endpoint)
