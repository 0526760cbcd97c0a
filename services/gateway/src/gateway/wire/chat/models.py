"""The wire of chat completions, field for field as OpenAI documents it, as far as we act on it or let it pass.

Two families: `Asked…` is what a client sends, checked; the others are what a provider answers, lenient in what they
leave out and an allow-list in what they name. What is not named here does not get through. The whole of a request
(`AskedPrompt`) is read only for targets of another format.
"""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from gateway.wire.canonical import FinishReason
from gateway.wire.usage import WireUsage

Penalty = Annotated[float, Meta(ge=-2, le=2)]
Tokens = Annotated[int, Meta(ge=1, le=100_000_000)]


class AskedMessage(Struct):
    """One message of a request. Its content is passed on as bytes, and read as far as routing needs it (`briefing`)."""

    role: str
    tool_call_id: str | None = None
    content: msgspec.Raw = msgspec.Raw()


class AskedStreamOptions(Struct):
    """`include_usage` is the client's wish; the provider is always asked for usage."""

    include_usage: bool | None = None


class AskedChat(Struct):
    """The fields of a request that are checked or acted on; for the others see the tables in `decode`."""

    model: Annotated[str, Meta(min_length=1)]
    messages: list[AskedMessage]
    stream: bool | None = None
    stream_options: AskedStreamOptions | None = None
    n: int | None = None
    tools: list[msgspec.Raw] | None = None
    modalities: list[str] | None = None
    max_tokens: Tokens | None = None
    max_completion_tokens: Tokens | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    parallel_tool_calls: bool | None = None
    prompt_cache_key: str | None = None


class AskedImage(Struct):
    """A picture in a message."""

    url: str
    detail: str | None = None


class AskedFile(Struct):
    """A document in a message."""

    file_data: str | None = None
    file_id: str | None = None
    filename: str | None = None


class AskedPart(Struct):
    """A part of a message; which field counts depends on the type."""

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: AskedImage | str | None = None
    file: AskedFile | None = None


class AskedFunctionCall(Struct):
    """The function that the assistant called, with the JSON text of its arguments."""

    name: str
    arguments: str | None = None


class AskedCustomCall(Struct):
    """The custom tool that the assistant called, with its free text."""

    name: str
    input: str | None = None


class AskedToolCall(Struct):
    """A call that the assistant made in an earlier answer."""

    id: str
    function: AskedFunctionCall | None = None
    custom: AskedCustomCall | None = None


class AskedTurn(Struct):
    """One message with all that it says. `reasoning` is another name of `reasoning_content`."""

    role: str
    content: str | list[AskedPart] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[AskedToolCall] | None = None
    tool_call_id: str | None = None
    function_call: Any = None
    audio: Any = None


class AskedFunction(Struct):
    """A function as it is declared."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class AskedGrammar(Struct):
    """What the input of a custom tool must look like."""

    definition: str
    syntax: str


class AskedInputFormat(Struct):
    """The input of a custom tool: `text`, or a grammar."""

    type: str
    grammar: AskedGrammar | None = None


class AskedCustom(Struct):
    """A custom (free text) tool as it is declared."""

    name: str
    description: str | None = None
    format: AskedInputFormat | None = None


class AskedTool(Struct):
    """A tool that the model may call."""

    type: str
    function: AskedFunction | None = None
    custom: AskedCustom | None = None


class AskedToolName(Struct):
    """A tool by its name."""

    name: str


class AskedToolReference(Struct):
    """A tool in `tool_choice`."""

    type: str
    function: AskedToolName | None = None
    custom: AskedToolName | None = None


class AskedAllowedTools(Struct):
    """The tools that may be called now, and whether one must be."""

    mode: str
    tools: list[AskedToolReference]


class AskedToolChoice(AskedToolReference):
    """`tool_choice` in its long form."""

    allowed_tools: AskedAllowedTools | None = None


class AskedSchema(Struct):
    """Structured output."""

    name: str
    schema: dict[str, Any] | None = None
    description: str | None = None
    strict: bool | None = None


class AskedFormat(Struct):
    """`response_format`."""

    type: str
    json_schema: AskedSchema | None = None


class AskedPrompt(Struct):
    """All that has a place in the canonical model; the other fields have no effect with targets of other formats."""

    messages: list[AskedTurn]
    tools: list[AskedTool] | None = None
    tool_choice: str | AskedToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: AskedFormat | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    reasoning_effort: str | None = None
    verbosity: str | None = None


class FunctionPart(Struct, omit_defaults=True):
    """A function call, or a piece of one."""

    name: str | None = None
    arguments: str | None = None


class CustomPart(Struct, omit_defaults=True):
    """The call of a custom (free text) tool, or a piece of one."""

    name: str | None = None
    input: str | None = None


class ToolCallPart(Struct):
    """A tool call, or a piece of one. Some providers leave out the index, some the type."""

    index: int | None = None
    id: str | None = None
    function: FunctionPart | None = None
    custom: CustomPart | None = None


class TopLogprob(Struct):
    """One alternative for a token."""

    token: str
    logprob: float
    bytes: list[int] | None = None


class TokenLogprob(Struct):
    """The probability of one token."""

    token: str
    logprob: float
    bytes: list[int] | None = None
    top_logprobs: list[TopLogprob] = []


class Logprobs(Struct):
    """Probabilities of the tokens of an answer."""

    content: list[TokenLogprob] | None = None
    refusal: list[TokenLogprob] | None = None


class Said(Struct):
    """What a model says: a whole message or a delta of one. `reasoning` is another name of `reasoning_content`."""

    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[ToolCallPart] | None = None


class ProviderChoice(Struct):
    """One choice of an answer: `delta` in a stream, `message` otherwise."""

    index: int = 0
    delta: Said | None = None
    message: Said | None = None
    finish_reason: str | None = None
    logprobs: Logprobs | None = None


class ProviderAnswer(Struct):
    """A chunk of a stream, or a whole completion. An `error` in either is a failure, whatever the status was."""

    choices: list[ProviderChoice] | None = None
    usage: WireUsage | None = None
    error: Any = None


class ToolCallOut(Struct, omit_defaults=True):
    """A tool call as we pass it on; in a stream with its index, and with id and type in its first piece only."""

    index: int | None = None
    id: str | None = None
    type: str | None = None
    function: FunctionPart | None = None
    custom: CustomPart | None = None


class DeltaOut(Struct, omit_defaults=True):
    """A delta as we pass it on."""

    role: str | None = None
    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[ToolCallOut] | None = None


class ChoiceOut(Struct):
    """The only choice of a chunk as we pass it on."""

    index: int
    delta: DeltaOut
    logprobs: Logprobs | None = None
    finish_reason: str | None = None


class ProviderError(Struct):
    """The error object of a provider: read to know the fault, never passed on."""

    message: str | None = None
    type: str | None = None
    code: str | int | None = None
    param: str | None = None


class ProviderErrorBody(Struct):
    """The body of a provider's error response, in its usual forms."""

    error: ProviderError | str | None = None
    message: str | None = None


FINISH_REASONS: Mapping[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
}
# Some gateways in front of models say this way that they failed.
FAILED_FINISHES = frozenset({"error", "abort"})


def known_finish_reason(reason: str) -> FinishReason:
    """OpenAI's word for why an answer ended; a word of the provider's own is read as `stop`."""
    return FINISH_REASONS.get(reason, "stop")
