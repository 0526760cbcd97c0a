"""One prompt per agent turn, through the whole product: the quota, the receipts, the ledger and the books agree."""

import asyncio
import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
import yaml

from devstack.provider import Plan, Provider, agent, faults, scripts
from devstack.repository import PLANS
from devstack.stack import Stack
from tests import patience
from tests.e2e.product import command, eventually, get, ledger, new_account, profiles

pytestmark = pytest.mark.asyncio(loop_scope="module")

STEPS = 10
CALLS_OF_PLUS = 4
SHELL = {
    "type": "function",
    "name": "shell",
    "parameters": {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]},
}
PLAN = Plan([*(agent.shell(f"echo {step}") for step in range(STEPS)), agent.say("All done.")])


@dataclass(slots=True)
class Turn:
    """A conversation of one account with the Responses endpoint, as an agent has it: the history is sent again."""

    stack: Stack
    account: str
    token: str
    items: list[Any] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    async def post(self, items: list[Any] | None = None, **fields: Any) -> tuple[int, dict[str, Any]]:
        body = {"model": "smart-route", "input": self.items if items is None else items, "tools": [SHELL], **fields}
        headers = {"authorization": f"Bearer {self.token}"}
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.stack.base_url}/responses", json=body, headers=headers) as response,
        ):
            self.requests.append(response.headers["x-request-id"])
            return response.status, await response.json()

    async def begin(self) -> dict[str, Any]:
        """A new prompt of the user."""
        self.items.append({"role": "user", "content": "Do the task."})
        return await self.go_on()

    async def go_on(self) -> dict[str, Any]:
        """One request; what the model said joins the history."""
        status, answer = await self.post()
        assert status == 200, answer
        self.items += answer["output"]
        return answer

    def answer_calls(self, answer: dict[str, Any]) -> bool:
        """Add the results of the calls, as a client that has run them; whether there were any."""
        calls = [item for item in answer["output"] if item["type"] == "function_call"]
        self.items += [result(call["call_id"]) for call in calls]
        return bool(calls)

    async def used(self) -> int:
        """Prompts of the day, once nothing is held."""
        found = 0

        async def at_rest() -> bool:
            nonlocal found
            usage = (await get(self.stack, self.token, "usage")).json["daily"]
            found = usage["used"]
            return bool(usage["reserved"] == 0)

        await eventually(at_rest)
        return found


def result(call_id: str, output: str = "done") -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": output}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def provider() -> AsyncIterator[Provider]:
    async with Provider(default=PLAN.script(), strict=True) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(provider: Provider, module_data_dir: Path) -> AsyncIterator[Stack]:
    plans = yaml.safe_load(PLANS.read_text())
    by_name = {plan["name"]: plan for plan in plans["plans"]}
    by_name["plus"]["turns"] = {"calls_per_turn": CALLS_OF_PLUS}
    (module_data_dir / "plans.yaml").write_text(yaml.safe_dump(plans))
    async with Stack(
        module_data_dir,
        profiles=profiles({"only": provider}),
        plans=module_data_dir / "plans.yaml",
        replicas={"gateway": 2, "quota": 2},
        environment=patience.ENVIRONMENT,
    ) as running:
        yield running


async def new_turn(stack: Stack, plan: str = "max") -> Turn:
    account, token = await new_account(stack, plan=plan)
    return Turn(stack, account, token)


async def test_a_task_of_ten_tool_calls_costs_one_prompt_and_every_receipt_says_which_call_it_was(stack: Stack) -> None:
    turn = await new_turn(stack)
    answer = await turn.begin()
    while turn.answer_calls(answer):
        answer = await turn.go_on()
    assert answer["output"][-1]["content"][0]["text"] == "All done."
    assert len(turn.requests) == STEPS + 1
    assert await turn.used() == 1
    lines = await ledger(stack, turn.account, lines=STEPS + 1)
    assert (
        sorted((line["outcome"], line["prompts"]) for line in lines)
        == [
            ("completed", 1),
            *[("continuation", 0)] * STEPS,
        ][::1]
    )
    turns = []
    for request_id in turn.requests:
        receipt = (await get(stack, turn.token, f"receipts/{request_id}")).json
        turns.append((receipt["turn"]["id"], receipt["turn"]["call"], receipt["turn"]["calls"]))
        assert receipt["tokens"]["source"] == "provider"
    assert turns == [(turn.requests[0], number, 50) for number in range(1, STEPS + 2)]
    books = await command(stack, "billing", "reconcile")
    assert books["differences"] == []


async def test_past_the_cap_of_the_plan_a_turn_is_opened_anew_and_costs_one_more(stack: Stack) -> None:
    turn = await new_turn(stack, "plus")
    answer = await turn.begin()
    for _ in range(CALLS_OF_PLUS + 1):
        turn.answer_calls(answer)
        answer = await turn.go_on()
    assert await turn.used() == 2
    calls = [
        (await get(stack, turn.token, f"receipts/{request_id}")).json["turn"]["call"] for request_id in turn.requests
    ]
    assert calls == [1, 2, 3, 4, 1, 2]


async def test_twenty_forged_foreign_mixed_and_replayed_variants_cost_a_prompt_each(stack: Stack) -> None:
    turn, other = await new_turn(stack), await new_turn(stack)
    answer, foreign = await turn.begin(), await other.begin()
    (call,) = (item for item in answer["output"] if item["type"] == "function_call")
    (theirs,) = (item for item in foreign["output"] if item["type"] == "function_call")
    good, user = call["call_id"], turn.items[0]
    used = await turn.used()
    assert used == 1
    for variant in variants(good, theirs["call_id"], user, call):
        status, body = await turn.post(variant)
        assert status == 200, (variant, body)
        used += 1
        assert await turn.used() == used, variant
    # The call itself was not redeemed by any of them.
    status, _ = await turn.post([user, call, result(good)])
    assert (status, await turn.used()) == (200, used)
    status, _ = await turn.post([user, call, result(good)])
    assert (status, await turn.used()) == (200, used + 1)


def variants(good: str, foreign: str, user: dict[str, Any], call: dict[str, Any]) -> list[list[Any]]:
    """Twenty conversations that end like a continuation, and are none."""

    def history(call_id: str, *more: Any) -> list[Any]:
        return [user, {**call, "call_id": call_id}, result(call_id), *more]

    raw = base64.urlsafe_b64decode(good[5:] + "=")
    flips = [bytes([*raw[:place], raw[place] ^ 1, *raw[place + 1 :]]) for place in (0, 5, 15, 16, 17, 18, 19, 22, 25)]
    forged = ["call_" + base64.urlsafe_b64encode(flip).decode().rstrip("=") for flip in flips]
    spelled = ["call_x", "call_" + "A" * 35, good[:-1] + ("A" if good[-1] != "A" else "E"), good.swapcase(), good[5:]]
    asked_again = {"role": "user", "content": "And one more thing."}
    second = {**call, "id": "fc_2", "call_id": "call_made_up"}
    return [
        *(history(call_id) for call_id in (*forged, *spelled, foreign)),
        history(good, asked_again),
        [user, call, asked_again, result(good)],
        [user, call, second, result(good), result("call_made_up")],
        [user, call, result(good), {"role": "assistant", "content": "Done."}, asked_again],
        [user, call, result(good), {"role": "developer", "content": "Go on."}],
    ]


async def test_a_continuation_that_was_not_delivered_is_tried_again_on_the_same_prompt(
    stack: Stack, provider: Provider
) -> None:
    turn = await new_turn(stack)
    turn.answer_calls(await turn.begin())
    provider.enqueue(scripts.http_error(503), faults.error_with_ok())
    for _ in range(2):
        status, answer = await turn.post()
        assert (status, answer["error"]["code"]) == (502, "upstream_unavailable")
        await turn.used()
    await turn.go_on()
    assert await turn.used() == 1
    lines = await ledger(stack, turn.account, lines=4)
    assert sorted(line["outcome"] for line in lines) == ["completed", *["continuation"] * 3]


async def test_previous_response_id_continues_a_turn_with_nothing_but_the_results(stack: Stack) -> None:
    turn = await new_turn(stack)
    answer = await turn.begin()
    for _ in range(3):
        (call,) = (item for item in answer["output"] if item["type"] == "function_call")
        status, answer = await turn.post([result(call["call_id"])], previous_response_id=answer["id"])
        assert status == 200, answer
    assert await turn.used() == 1


async def test_thirty_agents_of_one_account_at_once_cost_a_prompt_each(stack: Stack) -> None:
    first = await new_turn(stack)

    async def agent_task() -> None:
        turn = Turn(stack, first.account, first.token)
        answer = await turn.begin()
        while turn.answer_calls(answer):
            answer = await turn.go_on()

    await asyncio.gather(*(agent_task() for _ in range(30)))
    assert await first.used() == 30
