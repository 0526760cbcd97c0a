"""Routing through the whole product: providers that fail over HTTP, two gateways, two routers."""

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import aiohttp
import pytest
import pytest_asyncio

from devstack.stack import Stack
from tests.e2e.product import HELLO, chat, command, eventually, get, new_account
from tests.routing.live.clients import Clients
from tests.routing.live.providers import Targets
from tests.routing.live.scenarios import Figures, Scenario, new_targets, play

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECONDS = 15.0
PER_SECOND = 10.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def targets() -> AsyncIterator[Targets]:
    async with new_targets(seed=7) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(targets: Targets, module_data_dir: Path) -> AsyncIterator[Stack]:
    replicas = {"gateway": 2, "router": 2}
    async with Stack(module_data_dir, profiles=targets.profiles(), replicas=replicas) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def token(stack: Stack) -> str:
    return (await new_account(stack, plan="unlimited"))[1]


async def played(scenario: Scenario, stack: Stack, targets: Targets, token: str, *, alias: str) -> Figures:
    clients = Clients(stack.gateways, token, alias, seed=3)
    found = await play(scenario, targets, clients, seconds=SECONDS, per_second=PER_SECOND)
    # Whatever fails: nothing switches its model in the middle of tool calls, and every agent comes to its end.
    assert found.switches == 0
    assert found.agents > 3
    return found


async def test_header_receipt_and_record_tell_the_same_decision_and_only_staff_see_names(
    stack: Stack, targets: Targets, token: str
) -> None:
    session = f"session {uuid4()}"
    answer = await chat(stack, token, model="smart-route-deep", prompt_cache_key=session)
    assert answer.status == 200
    route = dict(pair.split("=") for pair in answer.headers["x-smartroute-route"].split("; "))
    assert (route["tier"], route["rule"], route["placement"]) == ("light", "single_tier", "affinity")
    request_id = answer.headers["x-request-id"]
    receipt = (await get(stack, token, f"receipts/{request_id}")).json["route"]
    assert receipt["class"] == route["class"]
    assert (receipt["rule"], receipt["target"], receipt["of"]) == ("single_tier", 1, 3)

    async def is_recorded() -> bool:
        return bool(await command(stack, "router", "decisions", "--request", request_id))

    await eventually(is_recorded)
    told = str(await command(stack, "router", "decisions", "--request", request_id))
    assert all(target.name in told for target in targets.all)
    shown = str(answer.headers) + str(receipt)
    assert not any(f"'{target.name}'" in shown for target in targets.all)


async def test_a_session_comes_to_the_same_target_through_either_gateway(
    stack: Stack, targets: Targets, token: str
) -> None:
    found: set[str] = set()
    async with aiohttp.ClientSession() as session:
        for number in range(8):
            answer = await chat(
                stack,
                token,
                model="smart-route-deep",
                base_url=stack.gateways[number % 2],
                session=session,
                messages=[*HELLO, {"role": "user", "content": f"And {number}?"}],
                prompt_cache_key="one conversation",
            )
            found.add(answer.text.split()[0])
    assert len(found) == 1


async def test_a_silent_provider_costs_nobody_an_error_and_few_a_long_wait(
    stack: Stack, targets: Targets, token: str
) -> None:
    found = await played(Scenario("silent", "silent"), stack, targets, token, alias="smart-route-turbo")
    assert found.errors == 0.0
    assert found.agents_given_up == 0
    # Those that were sent there before the first one was overdue, and they are helped by a second call.
    assert found.slow <= 0.05
    assert found.calls_per_request <= 1.3


async def test_a_provider_that_fails_half_of_its_calls_is_left_and_nobody_sees_it(
    stack: Stack, targets: Targets, token: str
) -> None:
    found = await played(Scenario("errors", "errors"), stack, targets, token, alias="smart-route-deep")
    assert found.errors == 0.0
    assert found.calls_per_request <= 1.2


async def test_a_provider_that_asks_for_a_pause_gets_it(stack: Stack, targets: Targets, token: str) -> None:
    found = await played(Scenario("429", "rate_limited"), stack, targets, token, alias="smart-route-deep")
    assert found.errors == 0.0
    assert found.calls_per_request <= 1.1


async def test_with_all_routers_gone_requests_go_by_the_last_plan(stack: Stack, token: str) -> None:
    for base_url in stack.gateways:
        assert (await chat(stack, token, base_url=base_url, model="smart-route-deep")).status == 200
    routers = stack.children("router")
    for router in routers:
        await router.halt()
    try:
        for base_url in stack.gateways:
            answer = await chat(stack, token, base_url=base_url, model="smart-route-deep")
            assert answer.status == 200
            assert "rule=last_plan" in answer.headers["x-smartroute-route"]
    finally:
        for router in routers:
            await router.start()
