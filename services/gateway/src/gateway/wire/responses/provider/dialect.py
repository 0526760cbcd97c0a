"""The Responses API as a provider speaks it, for clients of other formats: a prompt written as a request.

| of the prompt | what is sent |
|---|---|
| messages | input items; instructions under the target's role for them, as one that comes first if it wants that |
| images, files | `input_image`, `input_file`; images in front of a target without eyes are `Unservable` |
| tool calls and their results | `function_call`, `function_call_output`: every tool is a plain function |
| reasoning | its state, if it was sealed for this target; thoughts that anybody can read are not sent back |
| output format, verbosity | `text` |
| reasoning effort | `reasoning`, with a summary and the state of the thoughts asked for |
| `stop`, `seed`, penalties | cannot be said in this format: named as ignored |

Nothing is kept at the provider (`store` is false).
"""

from collections.abc import Iterable, Sequence

import msgspec

from gateway.wire.canonical import (
    File,
    Image,
    Item,
    JsonSchema,
    Message,
    OneTool,
    Part,
    Prompt,
    Reasoning,
    Text,
    ToolCall,
    ToolResult,
)
from gateway.wire.crossing import Dialect, Written
from gateway.wire.lane import Quirks, Sealer, Target, Unservable
from gateway.wire.responses.provider.stream import ResponsesDecoder, read_whole
from gateway.wire.tools import ToolBox

PATH = "/responses"
ENCRYPTED = "reasoning.encrypted_content"
# OpenAI's own minimum for `max_output_tokens` in this format; chat has none.
LEAST_OUTPUT_TOKENS = 16

INSTRUCTING = frozenset({"system", "developer"})
# Between two instructions that become one.
SEPARATOR = "\n\n"

_encoder = msgspec.json.Encoder()

Fields = dict[str, object]


def write_request(prompt: Prompt, target: Target, *, is_stream: bool, sealer: Sealer) -> Written:
    """The body for one target. Raises `lane.Unservable`."""
    _check_taken(prompt, target.quirks)
    items = _merged(prompt.items) if target.quirks.merges_system else prompt.items
    written = [_to_item(item, target.quirks, sealer) for item in items]
    fields: Fields = {
        "model": target.model,
        "input": [item for item in written if item is not None],
        "stream": is_stream,
        "store": False,
    }
    fields |= _tool_fields(prompt, target.quirks) | _thinking_fields(prompt, target.quirks) | _text_fields(prompt)
    wishes = {"temperature": prompt.sampling.temperature, "top_p": prompt.sampling.top_p}
    fields |= {name: value for name, value in wishes.items() if value is not None}
    cap_output(fields, prompt.max_output_tokens, target)
    fields |= target.cache_fields
    adjust(fields, target)
    return Written(_encoder.encode(fields), _ignored(prompt, target.quirks))


def cap_output(fields: Fields, asked: int | None, target: Target) -> None:
    """What was asked for or the target's cap, whichever is lower, but no less than OpenAI takes."""
    tokens = [tokens for tokens in (asked, target.max_output_tokens) if tokens is not None]
    if tokens:
        fields["max_output_tokens"] = max(min(tokens), LEAST_OUTPUT_TOKENS)


def adjust(fields: Fields, target: Target) -> None:
    """What the operator says of a target: fields are left out, then renamed."""
    for name in target.drop:
        fields.pop(name, None)
    for name, other in target.rename.items():
        if name in fields:
            fields[other] = fields.pop(name)


def _check_taken(prompt: Prompt, quirks: Quirks) -> None:
    uses_tools = bool(prompt.tools) or any(isinstance(item, ToolCall | ToolResult) for item in prompt.items)
    if uses_tools and not quirks.takes_tools:
        raise Unservable("tools")
    if isinstance(prompt.output, JsonSchema) and not quirks.takes_schema:
        raise Unservable("response_format")
    said = [part for item in prompt.items if isinstance(item, Message | ToolResult) for part in item.parts]
    if not quirks.takes_images and any(isinstance(part, Image) for part in said):
        raise Unservable("image")


def _merged(items: Sequence[Item]) -> Sequence[Item]:
    """All instructions as one message before everything else."""
    told = [item for item in items if isinstance(item, Message) and item.role in INSTRUCTING]
    if not told:
        return items
    parts = tuple(part for message in told for part in message.parts)
    if all(isinstance(part, Text) for part in parts):
        parts = (Text(SEPARATOR.join(_joined(message.parts) for message in told)),)
    return [Message(told[0].role, parts), *(item for item in items if not _instructs(item))]


def _instructs(item: Item) -> bool:
    return isinstance(item, Message) and item.role in INSTRUCTING


def _to_item(item: Item, quirks: Quirks, sealer: Sealer) -> Fields | None:
    """An input item; None for thoughts that this target cannot take up again."""
    match item:
        case Message():
            return _to_message(item, quirks)
        case Reasoning(_, sealed):
            state = sealer.unseal(sealed) if sealed is not None else None
            return {"type": "reasoning", "summary": [], "encrypted_content": state} if state is not None else None
        case ToolCall(call_id, name, arguments):
            return {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}
        case ToolResult(call_id, parts):
            return {"type": "function_call_output", "call_id": call_id, "output": _to_content(parts)}


def _to_message(message: Message, quirks: Quirks) -> Fields:
    role = quirks.system_role if message.role in INSTRUCTING else message.role
    if message.is_refusal:
        content: object = [{"type": "refusal", "refusal": _joined(message.parts)}]
    elif role == "assistant":
        if not all(isinstance(part, Text) for part in message.parts):
            raise Unservable("image")
        # A plain text is an assistant's message for every provider; `output_text` wants an id with some of them.
        content = _joined(message.parts)
    else:
        content = _to_content(message.parts)
    return {"type": "message", "role": role, "content": content}


def _to_content(parts: Sequence[Part]) -> object:
    if not parts or (len(parts) == 1 and isinstance(parts[0], Text)):
        return _joined(parts)
    return [_to_part(part) for part in parts]


def _to_part(part: Part) -> Fields:
    match part:
        case Text(text):
            return {"type": "input_text", "text": text}
        case Image(url, detail):
            return {"type": "input_image", "image_url": url, "detail": detail or "auto"}
        case File(data, name):
            named: Fields = {} if name is None else {"filename": name}
            return {"type": "input_file", **named, "file_data": data}


def _joined(parts: Iterable[Part]) -> str:
    return "".join(part.text for part in parts if isinstance(part, Text))


def _tool_fields(prompt: Prompt, quirks: Quirks) -> Fields:
    flat = ToolBox.of(prompt.tools).flat
    if not flat:
        return {}
    tools: list[Fields] = []
    for tool in flat:
        described: Fields = {} if tool.description is None else {"description": tool.description}
        # Said also when false: here, a function is strict unless it says otherwise.
        shape = {"parameters": tool.parameters, "strict": bool(tool.is_strict)}
        tools.append({"type": "function", "name": tool.name, **described, **shape})
    fields: Fields = {"tools": tools}
    if isinstance(prompt.tool_choice, OneTool):
        fields["tool_choice"] = {"type": "function", "name": prompt.tool_choice.name}
    elif prompt.tool_choice is not None:
        fields["tool_choice"] = prompt.tool_choice
    if prompt.has_parallel_calls is not None and quirks.takes_parallel_calls:
        fields["parallel_tool_calls"] = prompt.has_parallel_calls
    return fields


def _thinking_fields(prompt: Prompt, quirks: Quirks) -> Fields:
    """Models that do not think refuse to give the state of their thoughts: it is asked for where there may be one."""
    effort = prompt.reasoning_effort
    fields: Fields = {"include": [ENCRYPTED]} if quirks.replays_reasoning or effort is not None else {}
    if effort is not None:
        fields["reasoning"] = {"effort": effort} if effort == "none" else {"effort": effort, "summary": "auto"}
    return fields


def _text_fields(prompt: Prompt) -> Fields:
    text: Fields = {}
    if isinstance(prompt.output, JsonSchema):
        wanted = prompt.output
        more = {"description": wanted.description, "strict": wanted.is_strict}
        said = {name: value for name, value in more.items() if value is not None}
        text["format"] = {"type": "json_schema", "name": wanted.name, "schema": wanted.schema, **said}
    elif prompt.output == "json_object":
        text["format"] = {"type": "json_object"}
    if prompt.verbosity is not None:
        text["verbosity"] = prompt.verbosity
    return {"text": text} if text else {}


def _ignored(prompt: Prompt, quirks: Quirks) -> tuple[str, ...]:
    sampling = prompt.sampling
    wishes: dict[str, object] = {
        "stop": sampling.stop or None,
        "seed": sampling.seed,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "parallel_tool_calls": None if quirks.takes_parallel_calls else prompt.has_parallel_calls or None,
    }
    return tuple(name for name, value in wishes.items() if value is not None)


DIALECT = Dialect(path=PATH, write_request=write_request, decoder=ResponsesDecoder, read_whole=read_whole)
