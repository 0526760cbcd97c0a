"""A target's sealed thoughts bind a conversation to it, until the target is no more; open tool calls even then."""

from pathlib import Path
from typing import Any

import yaml

from devstack.probes import until
from devstack.provider import Answer, Provider, ToolCall, scripts
from devstack.pytest_plugin import FreshDatabase
from tests.service.gateway.chat_house import House, house, profiles, target

TOOL = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}
THOUGHT = Answer(text="A door.", reasoning="Let me see.", reasoning_state="opaque to all")
CALL = Answer(tool_calls=(ToolCall("look"),), reasoning="Let me look.", reasoning_state="opaque to all")
WORDS = {"role": "user", "content": "And behind it?"}


async def say(home: House, *items: Any) -> tuple[int, Any]:
    """One request of the Responses API that keeps its state with the client."""
    body = {
        "model": "smart-route",
        "input": list(items),
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "tools": [TOOL],
    }
    headers = {"authorization": f"Bearer {home.token}"}
    async with home.session.post(f"{home.base_url}/responses", json=body, headers=headers) as response:
        return response.status, await response.json()


async def has_thought(home: House, provider: Provider, answer: Answer) -> list[Any]:
    """The conversation so far, answered by this provider, its thoughts sealed."""
    provider.enqueue(scripts.answer(like=answer, text=answer.text, tool_calls=answer.tool_calls))
    opening = {"role": "user", "content": "What is there?"}
    status, said = await say(home, opening)
    assert status == 200
    assert any(item["type"] == "reasoning" and item["encrypted_content"] for item in said["output"])
    return [opening, *said["output"]]


async def test_thoughts_go_back_to_the_target_that_had_them_or_to_nobody(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with Provider() as first, Provider() as second:
        targets = {
            "first": target(first, "first", format="responses", dialect={"replays_reasoning": True}),
            "second": target(second, "second", format="responses", dialect={"replays_reasoning": True}),
        }
        async with house(nats_url, fresh_database, tmp_path, targets) as home:
            first.enqueue(scripts.http_error(503))
            conversation = await has_thought(home, second, THOUGHT)
            assert (await say(home, *conversation, WORDS))[0] == 200
            assert (len(first.exchanges), len(second.exchanges)) == (1, 2)
            assert b"opaque to all" in second.exchanges[1].request.body
            second.always(scripts.http_error(503))
            status, said = await say(home, *conversation, WORDS)
            assert (status, said["error"]["code"]) == (502, "upstream_unavailable")
            assert len(first.exchanges) == 1


async def test_with_the_target_gone_a_conversation_goes_on_without_its_thoughts_and_open_calls_end_clearly(
    nats_url: str, fresh_database: FreshDatabase, tmp_path: Path
) -> None:
    async with Provider() as first, Provider() as second:
        one = {"first": target(first, "first", format="responses", dialect={"replays_reasoning": True})}
        other = {"second": target(second, "second", format="responses", dialect={"replays_reasoning": True})}
        async with house(nats_url, fresh_database, tmp_path, one) as home:
            thought = await has_thought(home, first, THOUGHT)
            called = await has_thought(home, first, CALL)
            call_id = next(item["call_id"] for item in called if item.get("type") == "function_call")
            document = yaml.safe_load(profiles(other)) | {"version": 2}
            (tmp_path / "profiles.yaml").write_text(yaml.safe_dump(document))

            async def is_changed() -> bool:
                await say(home, WORDS)
                return len(second.exchanges) > 0

            assert await until(is_changed, within_seconds=30)
            before = len(second.exchanges)
            assert (await say(home, *thought, WORDS))[0] == 200
            assert b"opaque to all" not in second.exchanges[before].request.body
            result = {"type": "function_call_output", "call_id": call_id, "output": "a door"}
            status, said = await say(home, *called, result)
            assert (status, said["error"]["code"]) == (400, "conversation_lost")
            assert len(second.exchanges) == before + 1
