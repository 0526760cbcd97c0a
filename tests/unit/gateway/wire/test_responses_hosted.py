"""What the operator keeps at a provider is out of a customer's reach."""

import json
from typing import Any
from uuid import UUID

import pytest

from gateway.wire.lane import Identity, Target
from gateway.wire.responses.decode import from_responses_request
from gateway.wire.responses.native.lane import native_lane

TARGET = Target("theirs", format="responses")
OPERATORS: list[dict[str, Any]] = [
    {"type": "file_search", "vector_store_ids": ["vs_1"]},
    {"type": "code_interpreter", "container": {"type": "auto", "file_ids": ["file_1"]}},
    {"type": "image_generation"},
    {"type": "mcp", "server_label": "x", "server_url": "https://inside.example"},
    {"type": "computer_use_preview", "display_width": 1, "display_height": 1, "environment": "linux"},
    {"type": "shell", "environment": {"type": "container_reference", "container_id": "cntr_1"}},
]
OWN: list[dict[str, Any]] = [
    {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": False},
    {"type": "custom", "name": "patch"},
    {"type": "web_search", "external_web_access": True},
    {"type": "shell", "environment": {"type": "local"}},
    {"type": "tool_of_tomorrow"},
]


class NoSeal:
    def seal(self, state: str) -> str:
        return state

    def unseal(self, sealed: str) -> str | None:
        return sealed


def sent(**fields: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    body = {"model": "smart-route", "input": "Hi", **fields}
    request = from_responses_request(json.dumps(body).encode())
    identity = Identity(UUID(int=1), "smart-route", 7)
    lane = native_lane(request, TARGET, identity, lambda place: f"call_{place}", NoSeal())
    return json.loads(lane.body), lane.ignored


@pytest.mark.parametrize("tool", OPERATORS, ids=lambda tool: str(tool["type"]))
def test_a_tool_of_the_operators_account_is_withheld_and_named(tool: dict[str, Any]) -> None:
    body, ignored = sent(tools=[*OWN, tool])
    assert [each["type"] for each in body["tools"]] == [each["type"] for each in OWN]
    assert f"tools.{tool['type']}" in ignored


def test_it_is_withheld_in_the_middle_of_the_input_as_well() -> None:
    item = {"type": "additional_tools", "role": "developer", "tools": [OPERATORS[0], OWN[0]]}
    body, ignored = sent(input=[item, {"role": "user", "content": "Hi"}])
    (brought,) = (each for each in body["input"] if each.get("type") == "additional_tools")
    assert [each["type"] for each in brought["tools"]] == ["function"]
    assert ignored == ("tools.file_search",)


def test_a_choice_of_it_is_the_models() -> None:
    body, _ = sent(tools=[*OWN, OPERATORS[0]], tool_choice={"type": "file_search"})
    assert body["tool_choice"] == "auto"


def test_the_clients_own_tools_are_passed_on_as_they_are() -> None:
    body, ignored = sent(tools=OWN)
    assert (body["tools"], ignored) == (OWN, ())
