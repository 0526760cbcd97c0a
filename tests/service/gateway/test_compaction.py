"""A conversation in brief: one sealed item that any target can read later, and nobody else."""

import json
from pathlib import Path
from typing import Any

import pytest

from contracts.outcomes import Outcome
from devstack.provider import Answer, scripts
from devstack.pytest_plugin import FreshDatabase
from tests.service.gateway.test_responses import asked, raw
from tests.unit.gateway.wire import responses_rules as rules

USER = {"type": "message", "role": "user", "content": "Rename the function."}
TRIGGER = {"type": "compaction_trigger"}


def compacting(**fields: Any) -> dict[str, Any]:
    return {"model": "smart-route", "input": [USER, TRIGGER], "store": False, **fields}


@pytest.mark.parametrize("format", ["chat", "responses"])
async def test_one_item_comes_back_and_stands_for_the_conversation(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path, format: str
) -> None:
    async with asked(nats_url, fresh_database, tmp_path, format) as (home, (provider,), _):
        summary = "The user wants the function renamed."
        provider.enqueue(scripts.answer(summary), scripts.answer("Renamed."))
        status, _, body = await raw(home, compacting(stream=True))
        assert status == 200, body
        events = rules.read_events(body)
        done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
        (item,) = events[-1]["response"]["output"]
        assert (done, item["type"]) == ([item], "compaction")
        assert summary.encode() not in body
        go_on = {"type": "message", "role": "user", "content": "Go on."}
        status, _, body = await raw(home, {**compacting(), "input": [item, go_on]})
        assert (status, json.loads(body)["output"][0]["content"][0]["text"]) == (200, "Renamed.")
        assert summary in provider.exchanges[1].request.body.decode()
        assert [settled.outcome for settled in await home.settlements(2)] == [Outcome.COMPLETED] * 2


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("text", ["", "  \n"])
async def test_a_model_that_writes_no_summary_has_failed_and_costs_nothing(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path, text: str, stream: bool
) -> None:
    async with asked(nats_url, fresh_database, tmp_path, "chat") as (home, (provider,), _):
        provider.always(scripts.answer(like=Answer(text=text)))
        status, _, body = await raw(home, compacting(stream=stream))
        if status == 200:
            last = rules.read_events(body)[-1]
            assert (last["type"], last["response"]["error"]["code"]) == ("response.failed", "server_error")
        else:
            assert (status, json.loads(body)["error"]["code"]) == (502, "upstream_unavailable")
        assert not (await home.settlement()).outcome.is_charged


async def test_the_summary_of_another_account_is_a_fault_of_the_request(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with asked(nats_url, fresh_database, tmp_path, "chat") as (home, _, _):
        foreign = {"type": "compaction", "id": "cmp_1", "encrypted_content": "sr1." + "A" * 80}
        status, _, body = await raw(home, compacting(input=[foreign, USER]))
        assert (status, json.loads(body)["error"]["type"]) == (400, "invalid_request_error")
        assert await home.cost() == 0
