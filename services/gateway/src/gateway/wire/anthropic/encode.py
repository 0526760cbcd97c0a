"""A prompt as the body of a Messages request.

| of the prompt | what happens |
|---|---|
| instructions, whatever their place | `system`: the API takes them first, as one text |
| messages, calls, results, files | `messages`: see `conversation` |
| `Reasoning` | unsealed and sent back where the target replays reasoning; text alone is not: it has no signature |
| tools | `tools`, with an object as schema; `strict` is not sent: its limits refuse schemas that others take |
| calls in the history, but no tools | the tools called are declared, not to be called: the API wants that |
| `tool_choice`, parallel calls | `auto`, `any`, `tool`, `none`; `disable_parallel_tool_use` |
| cap on the answer | `max_tokens`, required: the target's cap, or `DEFAULT_MAX_TOKENS`, when there is none |
| `temperature` | lowered to 1, the API's highest |
| `top_p` | sent when there is no `temperature`: newer models refuse both at once |
| `stop` | `stop_sequences`, blank ones left out, which the API refuses |
| JSON schema | `output_config.format` where the target takes schemas; another target otherwise |
| `json_object` | another target: there is no such mode |
| effort | `thinking` where the target replays reasoning (see below), by a budget or by `output_config.effort` |
| with `thinking` | `temperature` and `top_p` are left out, the API refuses them |
| penalties, `seed`, `verbosity`, detail of images | without effect, the API has nothing like them |

What is without effect is named in `Written.ignored`, the detail of images aside. Without reasoning replayed there is no
thinking: the call after a tool's result would be refused. Nor is there with a forced tool, or between a call that was
made without thoughts and what follows its result: the API refuses both.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from gateway.wire.anthropic.conversation import Conversation, to_conversation
from gateway.wire.canonical import JsonSchema, OneTool, Prompt
from gateway.wire.crossing import Written
from gateway.wire.lane import Sealer, Target, Unservable
from gateway.wire.tools import ToolBox

DEFAULT_MAX_TOKENS = 8192
MIN_BUDGET = 1024  # the API's least
BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16384, "xhigh": 32768, "max": 32768}
MIN_ANSWER = 1024  # what thoughts leave of the cap

_ANYTHING = {"type": "object"}
_EFFORTS = {"minimal": "low"}  # the others have one name everywhere
_HIGHEST_TEMPERATURE = 1.0
# The client's wishes by their names in chat, and the fields that express them here.
_EXPRESSED = {
    "temperature": "temperature",
    "top_p": "top_p",
    "stop": "stop_sequences",
    "reasoning_effort": "thinking",
}
_encoder = msgspec.json.Encoder()


def write_request(prompt: Prompt, target: Target, *, is_stream: bool, sealer: Sealer) -> Written:
    """Raises `Unservable`."""
    quirks = target.quirks
    conversation = to_conversation(
        prompt.items, sealer=sealer if quirks.replays_reasoning else None, takes_images=quirks.takes_images
    )
    tools = _tools(prompt, target, conversation)
    effort = prompt.reasoning_effort if _may_think(target, conversation, tools) else None
    max_tokens = _max_tokens(prompt, target, BUDGETS.get(effort or "", 0))
    thinking = _thinking(effort, max_tokens, is_adaptive=quirks.thinks_adaptively)
    fields: dict[str, Any] = {
        "model": target.model,
        "max_tokens": max_tokens,
        "messages": [{"role": turn.role, "content": turn.content} for turn in conversation.turns],
        **({"system": conversation.system} if conversation.system else {}),
        **tools,
        **(_sampling(prompt) if not thinking else {"thinking": thinking}),
        **_output(prompt, target, effort if thinking and quirks.thinks_adaptively else None),
        **_stop(prompt),
        **({"stream": True} if is_stream else {}),
    }
    for name in target.drop:
        fields.pop(name, None)
    ignored = _ignored(prompt, fields)
    return Written(_encoder.encode({target.rename.get(name, name): value for name, value in fields.items()}), ignored)


def _tools(prompt: Prompt, target: Target, conversation: Conversation) -> dict[str, Any]:
    if not prompt.tools and not conversation.called:
        return {}
    if not target.quirks.takes_tools:
        raise Unservable("tools")
    if not prompt.tools:
        tools: list[dict[str, Any]] = [{"name": name, "input_schema": _ANYTHING} for name in conversation.called]
        return {"tools": tools, "tool_choice": {"type": "none"}}
    tools = [
        {"name": flat.name, "input_schema": {**_ANYTHING, **flat.parameters}}
        | ({"description": flat.description} if flat.description else {})
        for flat in ToolBox.of(prompt.tools).flat
    ]
    choice = _tool_choice(prompt, target)
    return {"tools": tools} | ({"tool_choice": choice} if choice is not None else {})


def _tool_choice(prompt: Prompt, target: Target) -> dict[str, Any] | None:
    is_one_by_one = prompt.has_parallel_calls is False or not target.quirks.takes_parallel_calls
    match prompt.tool_choice:
        case "none":
            return {"type": "none"}
        case "required":
            choice = {"type": "any"}
        case OneTool(name):
            choice = {"type": "tool", "name": name}
        case None if not is_one_by_one:
            return None
        case _:
            choice = {"type": "auto"}
    return choice | ({"disable_parallel_tool_use": True} if is_one_by_one else {})


def _max_tokens(prompt: Prompt, target: Target, budget: int) -> int:
    """Thoughts count, too: where nobody set a cap, there is room for both."""
    cap = target.max_output_tokens
    if prompt.max_output_tokens is None:
        return cap if cap is not None else DEFAULT_MAX_TOKENS + budget
    return min(prompt.max_output_tokens, cap) if cap is not None else prompt.max_output_tokens


def _may_think(target: Target, conversation: Conversation, tools: Mapping[str, Any]) -> bool:
    is_forced = tools.get("tool_choice", {}).get("type") in {"any", "tool"}
    return (
        target.quirks.replays_reasoning and "thinking" not in target.drop and conversation.can_think and not is_forced
    )


def _thinking(effort: str | None, max_tokens: int, *, is_adaptive: bool) -> dict[str, Any] | None:
    if effort not in BUDGETS:
        return None
    if is_adaptive:
        return {"type": "adaptive", "display": "summarized"}
    budget = min(BUDGETS[effort], max_tokens - MIN_ANSWER)
    return {"type": "enabled", "budget_tokens": budget} if budget >= MIN_BUDGET else None


def _sampling(prompt: Prompt) -> dict[str, float]:
    temperature, top_p = prompt.sampling.temperature, prompt.sampling.top_p
    if temperature is not None:
        return {"temperature": min(max(temperature, 0.0), _HIGHEST_TEMPERATURE)}
    return {"top_p": top_p} if top_p is not None else {}


def _output(prompt: Prompt, target: Target, effort: str | None) -> dict[str, Any]:
    config: dict[str, Any] = {}
    if effort is not None:
        config["effort"] = _EFFORTS.get(effort, effort)
    match prompt.output:
        case JsonSchema(schema=schema) if target.quirks.takes_schema:
            config["format"] = {"type": "json_schema", "schema": schema}
        case JsonSchema() | "json_object":
            raise Unservable("response_format")
    return {"output_config": config} if config else {}


def _stop(prompt: Prompt) -> dict[str, Sequence[str]]:
    sequences = [text for text in prompt.sampling.stop if text.strip()]
    return {"stop_sequences": sequences} if sequences else {}


def _ignored(prompt: Prompt, fields: Collection[str]) -> tuple[str, ...]:
    """A wish for the default is none."""
    sampling = prompt.sampling
    wishes = {
        "temperature": sampling.temperature is not None,
        "top_p": sampling.top_p not in {None, 1},
        "presence_penalty": bool(sampling.presence_penalty),
        "frequency_penalty": bool(sampling.frequency_penalty),
        "seed": sampling.seed is not None,
        "stop": bool(sampling.stop),
        "reasoning_effort": prompt.reasoning_effort not in {None, "none"},
        "verbosity": prompt.verbosity is not None,
    }
    return tuple(name for name, is_wished in wishes.items() if is_wished and _EXPRESSED.get(name) not in fields)
