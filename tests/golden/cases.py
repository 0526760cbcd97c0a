"""What the golden files are made of: a question in every client's format, and what the provider answers to it.

A format that cannot ask such a question has none: completions have no tools, pictures or schemas, only Responses have
namespaces and compaction. Where only the answer has no place (thoughts and refusals in plain completions), the files
show what becomes of it, but for a provider that would say nothing at all (`silent`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from devstack.provider import Answer, Usage, agent
from devstack.provider.http import Format, Request
from gateway.wire.lane import ProviderFormat

ClientFormat: TypeAlias = Format
Json: TypeAlias = dict[str, Any]

CLIENTS: Sequence[ClientFormat] = ("chat", "completions", "responses")
PROVIDERS: Sequence[ProviderFormat] = ("chat", "responses", "completions", "anthropic")
ALIAS = "smart-route"
SEAL = "sealed:"

_PIXEL = "data:image/png;base64,iVBORw0KGgo="
_PATCH = '*** Begin Patch\n*** Add File: a.txt\n+Ünïcode & "quotes"\n*** End Patch'
_WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "unit": {"type": "string", "enum": ["C", "F"]}},
    "required": ["city"],
    "additionalProperties": False,
}
_SEARCH = {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]}
_PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
_BRIEF = '{"summary": "The test was fixed in a.py.", "call_id": "call_ours_0"}'
# The state of the thoughts in the history, as each provider had told it.
_STATES: Mapping[ProviderFormat, str] = {
    "chat": "They want the sum.",
    "responses": "opaque-state-0",
    "completions": "They want the sum.",
    "anthropic": '[{"type":"thinking","thinking":"They want the sum.","signature":"signature-0"}]',
}


@dataclass(frozen=True)
class Case:
    """One question. `plan` chooses tools among those that the request offers to the provider, as a model would."""

    name: str
    asks: Mapping[ClientFormat, Json]
    answer: Answer = field(default_factory=Answer)
    plan: agent.Plan | None = None
    silent: tuple[ProviderFormat, ...] = ()

    def said(self, request: Request) -> Answer:
        """What the provider says to this request."""
        return self.plan.answer(request) if self.plan is not None else self.answer

    def ask(self, client: ClientFormat, provider: ProviderFormat) -> Json:
        """The client's request, not streamed; the sealed state in it is one that this provider had told."""
        body: Json = {"model": ALIAS, **self.asks[client]}
        if isinstance(body.get("input"), list):
            state = {"encrypted_content": SEAL + _STATES[provider]}
            body["input"] = [item | (state if item.get("type") == "reasoning" else {}) for item in body["input"]]
        return body


def combinations() -> list[tuple[ClientFormat, ProviderFormat, Case]]:
    """All that there are files for."""
    return [
        (client, provider, case)
        for client in CLIENTS
        for provider in PROVIDERS
        for case in CASES
        if client in case.asks and provider not in case.silent
    ]


def _function(name: str, parameters: Json, description: str) -> Json:
    return {"name": name, "description": description, "parameters": parameters}


def _in_chat(function: Json) -> Json:
    return {"type": "function", "function": function}


def _in_responses(function: Json) -> Json:
    return {"type": "function", **function, "strict": False}


_GET_WEATHER = _function("get_weather", _WEATHER, "The weather now.")
_FIND = _function("search", _SEARCH, "Search the documents.")


def _call(call_id: str, city: str) -> Json:
    return {"id": call_id, "type": "function", "function": {"name": "get_weather", "arguments": f'{{"city":"{city}"}}'}}


def _call_item(call_id: str, city: str) -> Json:
    called = {"name": "get_weather", "arguments": f'{{"city":"{city}"}}'}
    return {"type": "function_call", "id": f"fc_{call_id}", "call_id": call_id, **called, "status": "completed"}


def _output(call_id: str, output: object) -> Json:
    return {"type": "function_call_output", "call_id": call_id, "output": output}


def _says(role: str, text: str) -> Json:
    kind = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}


TEXT = Case(
    "text",
    {
        "chat": {
            "messages": [
                {"role": "developer", "content": "Be brief."},
                {"role": "user", "content": "Is “Grüße” German?"},
                {"role": "assistant", "content": "Yes."},
                {"role": "system", "content": [{"type": "text", "text": "Say it in full."}]},
                {"role": "user", "content": [{"type": "text", "text": "And 世界?"}]},
            ],
            "temperature": 1.5,
            "max_completion_tokens": 200,
            "stop": ["END"],
            "seed": 7,
            "user": "somebody",
        },
        "completions": {
            "prompt": "Is “世界” Chinese?",
            "temperature": 1.5,
            "max_tokens": 200,
            "stop": "END",
            "logprobs": 1,
            "user": "somebody",
        },
        "responses": {
            "instructions": "Be brief.",
            "input": [
                {"role": "user", "content": "Is “Grüße” German?"},
                {**_says("assistant", "Yes."), "id": "msg_0", "status": "completed"},
                _says("developer", "Say it in full."),
                {"role": "user", "content": [{"type": "input_text", "text": "And 世界?"}]},
            ],
            "temperature": 1.5,
            "max_output_tokens": 200,
            "metadata": {"ticket": "7"},
            "user": "somebody",
        },
    },
    Answer("世界 is Chinese, “Grüße” is not 🙂.", usage=Usage(30, 9, 39, cached_tokens=10)),
)
REASONING = Case(
    "reasoning",
    {
        "chat": {
            "messages": [
                {"role": "user", "content": "1+1?"},
                {"role": "assistant", "content": "2.", "reasoning_content": "They want the sum."},
                {"role": "user", "content": "And 2+2?"},
            ],
            "reasoning_effort": "low",
        },
        "completions": {"prompt": "2+2?"},
        "responses": {
            "input": [
                _says("user", "1+1?"),
                {
                    "type": "reasoning",
                    "id": "rs_0",
                    "summary": [{"type": "summary_text", "text": "They want the sum."}],
                },
                _says("assistant", "2."),
                _says("user", "And 2+2?"),
            ],
            "reasoning": {"effort": "low", "summary": "auto"},
            "include": ["reasoning.encrypted_content"],
            "store": False,
        },
    },
    Answer(
        "It is 4.",
        reasoning="Two and two are four.",
        reasoning_state="opaque-state-1",
        usage=Usage(20, 12, 32, reasoning_tokens=6),
    ),
)
TOOL_CALL = Case(
    "tool-call",
    {
        "chat": {
            "messages": [
                {"role": "user", "content": "Weather in Bern, then in Rome?"},
                {"role": "assistant", "content": "Bern first.", "tool_calls": [_call("call_0", "Bern")]},
                {"role": "tool", "tool_call_id": "call_0", "content": "4 °C"},
            ],
            "tools": [_in_chat(_GET_WEATHER)],
            "tool_choice": "auto",
        },
        "responses": {
            "input": [
                _says("user", "Weather in Bern, then in Rome?"),
                _says("assistant", "Bern first."),
                _call_item("call_0", "Bern"),
                _output("call_0", "4 °C"),
            ],
            "tools": [_in_responses(_GET_WEATHER)],
            "tool_choice": "auto",
        },
    },
    plan=agent.Plan([agent.shell("none"), agent.call("get_weather", {"city": "Rome", "unit": "C"}, text="Now Rome.")]),
)
PARALLEL_TOOLS = Case(
    "parallel-tools",
    {
        "chat": {
            "messages": [
                {"role": "user", "content": "Bern and Rome, then Oslo and Riga?"},
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [_call("call_0", "Bern"), _call("call_1", "Rome")],
                },
                {"role": "tool", "tool_call_id": "call_1", "content": "12 °C"},
                {"role": "tool", "tool_call_id": "call_0", "content": "4 °C"},
            ],
            "tools": [_in_chat(_GET_WEATHER)],
            "tool_choice": {"type": "function", "function": {"name": "get_weather"}},
            "parallel_tool_calls": True,
        },
        "responses": {
            "input": [
                _says("user", "Bern and Rome, then Oslo and Riga?"),
                _call_item("call_0", "Bern"),
                _call_item("call_1", "Rome"),
                _output("call_1", [{"type": "input_text", "text": "12 °C"}]),
                _output("call_0", "4 °C"),
            ],
            "tools": [_in_responses(_GET_WEATHER)],
            "tool_choice": {"type": "function", "name": "get_weather"},
            "parallel_tool_calls": True,
        },
    },
    plan=agent.Plan(
        [
            agent.parallel(agent.shell("none"), agent.shell("none")),
            agent.parallel(agent.call("get_weather", {"city": "Oslo"}), agent.call("get_weather", {"city": "Riga"})),
        ]
    ),
)
CUSTOM_TOOL = Case(
    "custom-tool",
    {
        "chat": {
            "messages": [{"role": "user", "content": "Add a.txt; search for it before."}],
            "tools": [
                _in_chat({**_FIND, "name": "mcp__docs__search"}),
                {"type": "custom", "custom": {"name": "apply_patch", "description": "Change files."}},
            ],
        },
        "responses": {
            "input": "Add a.txt; search for it before.",
            "tools": [
                {
                    "type": "namespace",
                    "name": "mcp__docs",
                    "description": "The documents.",
                    "tools": [_in_responses(_FIND)],
                },
                {
                    "type": "custom",
                    "name": "apply_patch",
                    "description": "Change files.",
                    "format": {"type": "grammar", "syntax": "lark", "definition": "start: /.+/s"},
                },
                {"type": "web_search"},
            ],
            "store": False,
        },
    },
    plan=agent.Plan([agent.parallel(agent.call("mcp__docs__search", {"query": "a.txt"}), agent.apply_patch(_PATCH))]),
)
REFUSAL = Case(
    "refusal",
    {
        "chat": {"messages": [{"role": "user", "content": "Something bad."}]},
        "completions": {"prompt": "Something bad."},
        "responses": {"input": "Something bad."},
    },
    Answer(None, refusal="I cannot help with that."),
    silent=("completions",),
)
LENGTH = Case(
    "length",
    {
        "chat": {"messages": [{"role": "user", "content": "Count."}], "max_tokens": 16},
        "completions": {"prompt": "Count.", "max_tokens": 16},
        "responses": {"input": "Count.", "max_output_tokens": 16},
    },
    Answer("One, two, three,", finish_reason="length"),
)
IMAGE = Case(
    "image",
    {
        "chat": {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "What do you see?"},
                        {"type": "image_url", "image_url": {"url": _PIXEL, "detail": "high"}},
                        {"type": "image_url", "image_url": {"url": "https://pictures.example/cat.png"}},
                    ],
                }
            ]
        },
        "responses": {
            "input": [
                {
                    "role": "user",
                    "content": [
                        {"type": "input_text", "text": "What do you see?"},
                        {"type": "input_image", "image_url": _PIXEL, "detail": "high"},
                        {"type": "input_image", "image_url": "https://pictures.example/cat.png"},
                    ],
                }
            ]
        },
    },
    Answer("A dot and a cat."),
)
SCHEMA = Case(
    "structured-output",
    {
        "chat": {
            "messages": [{"role": "user", "content": "Who is Ada?"}],
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "person", "strict": True, "schema": _PERSON},
            },
        },
        "responses": {
            "input": "Who is Ada?",
            "text": {"format": {"type": "json_schema", "name": "person", "strict": True, "schema": _PERSON}},
        },
    },
    Answer('{"name": "Ada", "age": 36}'),
)
COMPACTION = Case(
    "compaction",
    {
        "responses": {
            "input": [
                _says("user", "Fix the test."),
                _says("assistant", "Done: a.py, line 7."),
                {"type": "compaction_trigger"},
            ],
            "parallel_tool_calls": False,
            "store": False,
        }
    },
    Answer("The user wanted the test fixed; a.py, line 7 was changed."),
)
COMPACTED = Case(
    "compacted",
    {
        "responses": {
            "input": [
                {"type": "compaction", "encrypted_content": SEAL + _BRIEF},
                _says("user", "And the docs?"),
            ],
            "store": False,
        }
    },
    Answer("The docs are next."),
)
CASES: Sequence[Case] = (
    TEXT,
    REASONING,
    TOOL_CALL,
    PARALLEL_TOOLS,
    CUSTOM_TOOL,
    REFUSAL,
    LENGTH,
    IMAGE,
    SCHEMA,
    COMPACTION,
    COMPACTED,
)
