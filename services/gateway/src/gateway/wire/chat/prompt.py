"""A chat request in no format, for targets that speak another one.

| field | what happens |
|---|---|
| `messages` | in order; the assistant's thoughts, words, refusal and calls become one item each, in that order |
| `content` | texts, pictures and documents (`data:` URLs); a document that is kept elsewhere (`file_id`) is refused |
| audio, other parts, other kinds of tools | `Unservable`: a target that speaks chat may take them |
| `reasoning_content`, `reasoning` of the assistant | readable thoughts |
| `name` of a message | left out: no other format has it |
| an assistant's message that says nothing | left out: there is nothing to write |
| `function_call` of a message | refused, deprecated by OpenAI: such calls have no ids |
| `tools` | functions, and custom tools with their grammar |
| `tool_choice` | `allowed_tools` leaves only these tools |
| those of `AskedPrompt` | have a place of their own |
| the rest of what is passed on (`logprobs`, `top_k`, …) | no effect, and named as such |
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from gateway.wire.body import fault
from gateway.wire.canonical import (
    File,
    Image,
    Item,
    JsonSchema,
    Message,
    OneTool,
    OutputFormat,
    Part,
    Prompt,
    Reasoning,
    Role,
    Sampling,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from gateway.wire.chat.decode import ChatRequest
from gateway.wire.chat.models import (
    AskedFile,
    AskedFormat,
    AskedPart,
    AskedPrompt,
    AskedTool,
    AskedToolCall,
    AskedToolChoice,
    AskedToolReference,
    AskedTurn,
)
from gateway.wire.lane import Unservable, UnusableRequest
from gateway.wire.tools import ToolBox, text_arguments

_encoder = msgspec.json.Encoder()
_read_prompt = msgspec.json.Decoder(AskedPrompt)
_PLACED = frozenset(AskedPrompt.__struct_fields__)
_ROLES: dict[str, Role] = {"system": "system", "developer": "developer", "user": "user"}
_CHOICES: dict[str, ToolChoice] = {"auto": "auto", "none": "none", "required": "required"}


def to_prompt(request: ChatRequest) -> Prompt:
    """Raises `UnusableRequest`, and `Unservable` for what only a chat target may take."""
    try:
        asked = _read_prompt.decode(_encoder.encode(request.forwarded))
    except msgspec.ValidationError as exc:
        raise fault(str(exc)) from None
    tools = tuple(_tool(tool, f"tools[{place}]") for place, tool in enumerate(asked.tools or ()))
    choice = asked.tool_choice
    if isinstance(choice, AskedToolChoice) and choice.type == "allowed_tools":
        tools, choice = _allowed(tools, choice)
    box = ToolBox.of(tools)
    messages = (_Message(turn, f"messages[{place}]", box) for place, turn in enumerate(asked.messages))
    return Prompt(
        items=tuple(item for message in messages for item in message.items()),
        tools=tools,
        tool_choice=_tool_choice(choice, box) if choice is not None else None,
        has_parallel_calls=asked.parallel_tool_calls,
        max_output_tokens=request.max_output_tokens,
        sampling=_sampling(asked),
        output=_output(asked.response_format),
        verbosity=asked.verbosity,
        reasoning_effort=asked.reasoning_effort,
    )


def without_place(request: ChatRequest) -> tuple[str, ...]:
    """The fields that only a chat target would act on."""
    return tuple(name for name in request.forwarded if name not in _PLACED)


def _invalid(param: str, wanted: str) -> UnusableRequest:
    return UnusableRequest(f"`{param}` must be {wanted}.", code="invalid_value", param=param)


def _required(param: str) -> UnusableRequest:
    return UnusableRequest(f"`{param}` is required.", code="missing_required_parameter", param=param)


@dataclass(frozen=True, slots=True)
class _Message:
    """One message; `at` is where it is, for faults."""

    turn: AskedTurn
    at: str
    box: ToolBox

    def items(self) -> Iterator[Item]:
        turn = self.turn
        if turn.function_call is not None:
            message = f"`{self.at}.function_call` is not supported. Use `tool_calls` instead."
            raise UnusableRequest(message, code="unsupported_parameter", param=f"{self.at}.function_call")
        if turn.audio is not None:
            raise Unservable("messages")
        if turn.role == "assistant":
            yield from self._said()
        elif turn.role == "tool":
            if not turn.tool_call_id:
                raise _required(f"{self.at}.tool_call_id")
            yield ToolResult(turn.tool_call_id, self._parts())
        else:
            if turn.content is None:
                raise _required(f"{self.at}.content")
            yield Message(_ROLES[turn.role], self._parts())

    def _said(self) -> Iterator[Item]:
        turn = self.turn
        thoughts = turn.reasoning_content or turn.reasoning
        if thoughts:
            yield Reasoning(thoughts)
        parts = tuple(part for part in self._parts() if part != Text(""))
        if parts:
            yield Message("assistant", parts)
        refusals = [part.refusal or "" for part in turn.content or () if isinstance(part, AskedPart)]
        refusal = "".join((turn.refusal or "", *refusals))
        if refusal:
            yield Message("assistant", (Text(refusal),), is_refusal=True)
        for place, call in enumerate(turn.tool_calls or ()):
            yield self._call(call, f"{self.at}.tool_calls[{place}]")

    def _call(self, call: AskedToolCall, at: str) -> ToolCall:
        if not call.id:
            raise _required(f"{at}.id")
        if call.custom is not None:
            return ToolCall(call.id, self.box.name_of(call.custom.name), text_arguments(call.custom.input or ""))
        if call.function is None:
            raise _required(f"{at}.function")
        return ToolCall(call.id, self.box.name_of(call.function.name), call.function.arguments or "")

    def _parts(self) -> tuple[Part, ...]:
        content = self.turn.content
        if isinstance(content, str):
            return (Text(content),)
        parts = (_part(part, f"{self.at}.content[{place}]") for place, part in enumerate(content or ()))
        return tuple(part for part in parts if part is not None)


def _part(part: AskedPart, at: str) -> Part | None:
    """None for a refusal, which is an item of its own."""
    match part.type:
        case "text":
            return Text(part.text or "")
        case "refusal":
            return None
        case "image_url":
            if part.image_url is None:
                raise _required(f"{at}.image_url")
            image = part.image_url
            return Image(image) if isinstance(image, str) else Image(image.url, image.detail)
        case "file":
            if part.file is None:
                raise _required(f"{at}.file")
            return _file(part.file, f"{at}.file")
        case _:
            raise Unservable("messages")


def _file(file: AskedFile, at: str) -> File:
    if file.file_id is not None:
        message = f"`{at}.file_id` is not supported: no files are kept here. Use `file_data` instead."
        raise UnusableRequest(message, code="unsupported_parameter", param=f"{at}.file_id")
    if file.file_data is None or not file.file_data.startswith("data:"):
        raise _invalid(f"{at}.file_data", "a `data:` URL")
    return File(file.file_data, file.filename)


def _tool(tool: AskedTool, at: str) -> Tool:
    if tool.type == "function":
        if tool.function is None:
            raise _required(f"{at}.function")
        function = tool.function
        return Tool(
            function.name,
            description=function.description,
            parameters=function.parameters,
            is_strict=function.strict,
        )
    if tool.type != "custom":
        raise Unservable("tools")
    if tool.custom is None:
        raise _required(f"{at}.custom")
    custom = tool.custom
    grammar = custom.format.grammar if custom.format is not None else None
    # Flat, as the Responses API has it: that is what the rest of the wire reads.
    written = {"type": "grammar", "syntax": grammar.syntax, "definition": grammar.definition} if grammar else None
    return Tool(custom.name, kind="custom", description=custom.description, grammar=written)


def _allowed(tools: Sequence[Tool], choice: AskedToolChoice) -> tuple[tuple[Tool, ...], str]:
    allowed = choice.allowed_tools
    if allowed is None:
        raise _required("tool_choice.allowed_tools")
    names = {_named(reference, "tool_choice.allowed_tools.tools") for reference in allowed.tools}
    return tuple(tool for tool in tools if tool.name in names), allowed.mode


def _tool_choice(choice: str | AskedToolChoice, box: ToolBox) -> ToolChoice:
    if isinstance(choice, AskedToolChoice):
        return OneTool(box.name_of(_named(choice, "tool_choice")))
    if choice not in _CHOICES:
        raise _invalid("tool_choice", "`none`, `auto`, `required` or a tool")
    return _CHOICES[choice]


def _named(reference: AskedToolReference, at: str) -> str:
    named = reference.custom if reference.type == "custom" else reference.function
    if named is None:
        raise _invalid(at, "`none`, `auto`, `required` or a tool")
    return named.name


def _output(response_format: AskedFormat | None) -> OutputFormat:
    if response_format is None or response_format.type == "text":
        return "text"
    if response_format.type == "json_object":
        return "json_object"
    if response_format.type != "json_schema":
        raise _invalid("response_format.type", "`text`, `json_object` or `json_schema`")
    schema = response_format.json_schema
    if schema is None:
        raise _required("response_format.json_schema")
    return JsonSchema(schema.name, schema.schema or {}, schema.description, schema.strict)


def _sampling(asked: AskedPrompt) -> Sampling:
    stop = (asked.stop,) if isinstance(asked.stop, str) else tuple(asked.stop or ())
    return Sampling(
        temperature=asked.temperature,
        top_p=asked.top_p,
        presence_penalty=asked.presence_penalty,
        frequency_penalty=asked.frequency_penalty,
        seed=asked.seed,
        stop=stop,
    )
