"""What every SDK is put through, in words that all of them can say: a scenario has a name, the plan that the provider
plays, what the client must have got in the end, and what it costs.

A client's own program (npm/*.mjs, python/*.py) gets the names of scenarios and prints one `Answered` as JSON for each.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from devstack.provider.agent import Plan, by_prompt, call, parallel, say
from devstack.provider.answers import Usage
from devstack.provider.conversation import conversation
from devstack.provider.server import Exchange
from tests.clients.endpoint import Endpoint
from tests.clients.workplace import Run

WEATHER = {"Oslo": "7 degrees", "Rome": "21 degrees"}
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "degrees": {"type": "integer"}},
    "required": ["city", "degrees"],
}


@dataclass(frozen=True, slots=True)
class Answered:
    """What a client's program got. `usage` is input and output tokens, `pieces` how many parts of a stream had text."""

    texts: list[str] = field(default_factory=list)
    called: list[str] = field(default_factory=list)
    usage: tuple[int, int] | None = None
    pieces: int = 0
    parsed: dict[str, Any] | None = None
    error: dict[str, Any] | None = None

    @classmethod
    def all_printed_by(cls, run: Run) -> "list[Answered]":
        """From the lines of a program's output."""
        assert run.code == 0, run.printed
        return [cls._read(line) for line in run.lines]

    @classmethod
    def _read(cls, line: Mapping[str, Any]) -> "Answered":
        usage = line.get("usage")
        return cls(**{**line, "usage": None if usage is None else tuple(usage)})


@dataclass(frozen=True, slots=True)
class Scenario:
    """One thing that a client does. `words` are in the prompt that it sends."""

    name: str
    words: str
    plan: Plan
    check: Callable[[Answered], None]
    requests: int = 1
    prompts: int = 1
    look: Callable[[list[Exchange]], None] = lambda _: None

    def __str__(self) -> str:
        return self.name


def _is_plain(answered: Answered) -> None:
    assert answered.texts == ["Hello from the model."]
    assert answered.usage == (11, 5)


def _is_streamed(answered: Answered) -> None:
    _is_plain(answered)
    assert answered.pieces > 1


def _used_one_tool(answered: Answered) -> None:
    assert (answered.called, answered.texts) == (["Oslo"], ["It is 7 degrees in Oslo."])


def _used_two_tools(answered: Answered) -> None:
    assert (sorted(answered.called), answered.texts) == (["Oslo", "Rome"], ["Oslo has 7 degrees, Rome 21."])


def _is_structured(answered: Answered) -> None:
    assert answered.parsed == {"city": "Oslo", "degrees": 7}


def _took_turns(answered: Answered) -> None:
    assert answered.texts == ["Noted.", "Noted."]


def _was_asked_for_the_shape(exchanges: list[Exchange]) -> None:
    request = exchanges[-1].request
    asked = json.dumps(request.json["response_format" if request.format == "chat" else "text"])
    assert '"json_schema"' in asked
    assert '"degrees": {' in asked


def _saw_the_results(exchanges: list[Exchange]) -> None:
    results = [said.text for said in conversation(exchanges[-1].request) if said.by == "tool"]
    assert results
    assert all(any(words in result for words in WEATHER.values()) for result in results)


def _saw_the_history(exchanges: list[Exchange]) -> None:
    said = [(one.by, one.text) for one in conversation(exchanges[-1].request)]
    assert said == [("user", "My name is Ada."), ("assistant", "Noted."), ("user", "What is my name?")]


def _weather(city: str) -> Any:
    return call("get_weather", {"city": city})


_USAGE = Usage(prompt_tokens=11, completion_tokens=5, total_tokens=16)
_HELLO = Plan([say("Hello from the model.")], usage=lambda _: _USAGE)

SCENARIOS = [
    Scenario("plain", "Hello?", _HELLO, _is_plain),
    Scenario("stream", "Hello?", _HELLO, _is_streamed),
    Scenario(
        "tool",
        "in Oslo?",
        Plan([_weather("Oslo"), say("It is 7 degrees in Oslo.")]),
        _used_one_tool,
        requests=2,
        look=_saw_the_results,
    ),
    Scenario(
        "parallel",
        "in Oslo and Rome?",
        Plan([parallel(_weather("Oslo"), _weather("Rome")), say("Oslo has 7 degrees, Rome 21.")]),
        _used_two_tools,
        requests=2,
        look=_saw_the_results,
    ),
    Scenario(
        "structured",
        "Read the weather.",
        Plan([say('{"city": "Oslo", "degrees": 7}')]),
        _is_structured,
        look=_was_asked_for_the_shape,
    ),
    Scenario("turns", "name", Plan([say("Noted.")]), _took_turns, requests=2, prompts=2, look=_saw_the_history),
]


def prepare(endpoint: Endpoint) -> None:
    """Let the provider play the plan of whichever scenario it meets."""
    plans = {scenario.words: scenario.plan for scenario in SCENARIOS}
    endpoint.provider.always(by_prompt(plans, default=Plan([say("Which scenario is this?")])))


async def assert_met(scenarios: Sequence[Scenario], answers: Sequence[Answered], endpoint: Endpoint) -> None:
    """The client has what it should, the provider saw what it should, and it cost what it should."""
    exchanges = list(endpoint.provider.exchanges)
    for scenario, answered in zip(scenarios, answers, strict=True):
        assert answered.error is None, scenario.name
        scenario.check(answered)
        assert len(exchanges) >= scenario.requests, scenario.name
        scenario.look(exchanges[: scenario.requests])
        del exchanges[: scenario.requests]
    assert exchanges == [], "requests that nobody asked for"
    await endpoint.assert_prompts(sum(scenario.prompts for scenario in scenarios))
