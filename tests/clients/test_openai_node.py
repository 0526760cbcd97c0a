"""The official SDK for Node works over both of its APIs, whatever the provider behind speaks."""

import pytest

from tests.clients.conftest import OpenEndpoint
from tests.clients.endpoint import Endpoint
from tests.clients.failures import FAILURES, Failure
from tests.clients.programs import perform_in_node
from tests.clients.scenarios import SCENARIOS, Scenario, assert_met, prepare
from tests.clients.workplace import Workplace

pytestmark = pytest.mark.clients

APIS = ["chat", "responses"]


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
async def test_the_client_gets_what_the_model_said(
    scenario: Scenario, api: str, workplace: Workplace, endpoint: Endpoint
) -> None:
    prepare(endpoint)
    answers = await perform_in_node(workplace, endpoint, "openai_program", api=api, scenarios=[scenario.name])
    await assert_met([scenario], answers, endpoint)


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("failure", FAILURES, ids=str)
async def test_the_client_raises_what_its_users_catch(
    failure: Failure, api: str, workplace: Workplace, open_endpoint: OpenEndpoint
) -> None:
    async with open_endpoint(prompts=1) as endpoint:
        await failure.cause(endpoint)
        (answered,) = await perform_in_node(
            workplace, endpoint, "openai_program", api=api, scenarios=[failure.scenario]
        )
        await failure.assert_told(answered, endpoint)
