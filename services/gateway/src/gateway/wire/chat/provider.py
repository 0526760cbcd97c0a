"""Chat completions as a provider's format: how a prompt is written for one, whoever the client is.

| wish | what is written |
|---|---|
| `items` | messages, as `conversation` says |
| `tools` | functions, whatever the client's kind is; `strict` only if it is wished |
| `tool_choice`, `has_parallel_calls` | with tools only; the latter not where calls cannot be parallel |
| `max_output_tokens` | under the target's name for it, lowered to its cap |
| pictures, tools, a JSON schema | `Unservable` where the target takes none |
| everything else | the field of the same meaning |
"""

import msgspec

from gateway.wire.canonical import Image, JsonSchema, Message, OneTool, OutputFormat, Prompt, ToolCall, ToolResult
from gateway.wire.chat.conversation import to_chat_messages
from gateway.wire.chat.deltas import ChatDecoder, from_completion
from gateway.wire.chat.passthrough import STREAM, adjust, cap_output
from gateway.wire.crossing import Dialect, Written
from gateway.wire.lane import Quirks, Sealer, Target, Unservable
from gateway.wire.tools import FlatTool, ToolBox

PATH = "/chat/completions"

_Body = dict[str, object]

_encoder = msgspec.json.Encoder()


def write_request(prompt: Prompt, target: Target, *, is_stream: bool, sealer: Sealer) -> Written:
    """The body for one target. Raises `Unservable`."""
    quirks = target.quirks
    _check_taken(prompt, quirks)
    body: _Body = {"model": target.model, "messages": to_chat_messages(prompt.items, quirks, sealer)}
    ignored = _add_tools(body, prompt, quirks)
    sampling = prompt.sampling
    wishes = {
        "response_format": _response_format(prompt.output),
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "seed": sampling.seed,
        "stop": sampling.stop or None,
        "reasoning_effort": prompt.reasoning_effort,
        "verbosity": prompt.verbosity,
    }
    body |= {name: wish for name, wish in wishes.items() if wish is not None}
    if is_stream:
        body |= STREAM
    cap_output(body, prompt.max_output_tokens, target)
    ignored += [name for name in target.drop if name in body]
    body |= target.cache_fields
    adjust(body, target)
    return Written(_encoder.encode(body), tuple(dict.fromkeys(ignored)))


def _check_taken(prompt: Prompt, quirks: Quirks) -> None:
    if not quirks.takes_tools:
        if prompt.tools:
            raise Unservable("tools")
        if any(isinstance(item, ToolCall | ToolResult) for item in prompt.items):
            raise Unservable("messages")
    if not quirks.takes_images and _has_images(prompt):
        raise Unservable("messages")
    if not quirks.takes_schema and isinstance(prompt.output, JsonSchema):
        raise Unservable("response_format")


def _has_images(prompt: Prompt) -> bool:
    spoken = [item for item in prompt.items if isinstance(item, Message | ToolResult)]
    return any(isinstance(part, Image) for item in spoken for part in item.parts)


def _add_tools(body: _Body, prompt: Prompt, quirks: Quirks) -> list[str]:
    """The tools and how they may be called. What has no effect is returned."""
    tools = ToolBox.of(prompt.tools).flat
    if not tools:
        return []
    body["tools"] = [_tool(tool) for tool in tools]
    choice = prompt.tool_choice
    if isinstance(choice, OneTool):
        body["tool_choice"] = {"type": "function", "function": {"name": choice.name}}
    elif choice is not None:
        body["tool_choice"] = choice
    if prompt.has_parallel_calls is None:
        return []
    if not quirks.takes_parallel_calls:
        return ["parallel_tool_calls"] if prompt.has_parallel_calls else []
    body["parallel_tool_calls"] = prompt.has_parallel_calls
    return []


def _tool(tool: FlatTool) -> _Body:
    function: _Body = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    function["parameters"] = tool.parameters
    if tool.is_strict:
        function["strict"] = True
    return {"type": "function", "function": function}


def _response_format(output: OutputFormat) -> _Body | None:
    if output == "text":
        return None
    if not isinstance(output, JsonSchema):
        return {"type": output}
    schema: _Body = {"name": output.name, "schema": output.schema}
    if output.description is not None:
        schema["description"] = output.description
    if output.is_strict is not None:
        schema["strict"] = output.is_strict
    return {"type": "json_schema", "json_schema": schema}


DIALECT = Dialect(PATH, write_request, ChatDecoder, from_completion)
