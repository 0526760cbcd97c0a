"""opencode works as an agent over both of its OpenAI providers, whatever the provider behind speaks."""

from collections.abc import Awaitable, Callable

import pytest

from tests.clients import agent_tasks
from tests.clients.conftest import OpenEndpoint
from tests.clients.endpoint import Endpoint
from tests.clients.opencode import PACKAGES, Agent, Api
from tests.clients.workplace import Workplace

pytestmark = pytest.mark.clients

APIS = [pytest.param(api, id=package) for api, package in PACKAGES.items()]
TASKS = [
    agent_tasks.create_a_file,
    agent_tasks.call_tools_in_parallel,
    agent_tasks.go_on_with_a_session,
    agent_tasks.try_again_after_a_failure,
    agent_tasks.see_a_stream_break,
    agent_tasks.compact_what_is_too_long,
    agent_tasks.hear_that_the_request_is_refused,
]


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.__name__)
async def test_opencode_can(
    task: Callable[[Agent, Endpoint], Awaitable[None]], api: Api, workplace: Workplace, endpoint: Endpoint
) -> None:
    await task(Agent.opencode(workplace, endpoint, api=api), endpoint)


@pytest.mark.parametrize("provider_format", ["chat"], indirect=True)
@pytest.mark.parametrize("api", APIS)
async def test_a_spent_allowance_is_told_in_words(api: Api, workplace: Workplace, open_endpoint: OpenEndpoint) -> None:
    async with open_endpoint(prompts=1) as endpoint:
        await endpoint.spend_allowance()
        run = await Agent.opencode(workplace, endpoint, api=api).run("Hello?", timeout_seconds=60)
        assert "prompts" in (run.failure or ""), run.run.printed
        await endpoint.assert_prompts(1)
