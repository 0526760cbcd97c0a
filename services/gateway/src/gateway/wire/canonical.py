"""The one model in which all wire formats meet (hub and spokes).

A client's request is read into a `Prompt`; a `Prompt` is written in a provider's format. What a provider answers is
read into deltas, one list for a whole answer and one per event for a stream; deltas are written in the client's format.
A request whose client and provider speak the same format does not come here: it is passed through.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from gateway.wire.usage import Usage

Role: TypeAlias = Literal["system", "developer", "user", "assistant"]
FinishReason: TypeAlias = Literal["stop", "length", "tool_calls", "content_filter"]


# --- what is asked


@dataclass(frozen=True, slots=True)
class Text:
    """Words."""

    text: str


@dataclass(frozen=True, slots=True)
class Image:
    """A picture, by a `data:` or an `https:` URL, which is not resolved by us. `detail`: auto, low, high, original."""

    url: str
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class File:
    """A document, by a `data:` URL."""

    data: str
    name: str | None = None


Part: TypeAlias = Text | Image | File


@dataclass(frozen=True, slots=True)
class Message:
    """What somebody said. `refusal`: the parts are an assistant's refusal."""

    role: Role
    parts: tuple[Part, ...]
    is_refusal: bool = False


@dataclass(frozen=True, slots=True)
class Reasoning:
    """What the assistant thought before what follows.

    `text` is readable (a summary, or the thoughts themselves), `sealed` is ours, opaque: the provider's own state, for
    the target that it came from and nobody else.
    """

    text: str = ""
    sealed: str | None = None


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the assistant made. `name` is the flat name of its tool (see `tools.ToolBox`).

    `arguments` is a JSON text for the flat function, whatever the client's kind of tool is.
    """

    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool answered to a call."""

    call_id: str
    parts: tuple[Part, ...]


Item: TypeAlias = Message | Reasoning | ToolCall | ToolResult

ToolKind: TypeAlias = Literal["function", "custom", "local_shell", "shell", "apply_patch", "tool_search"]


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool as the client declares it. `parameters` is a JSON Schema; None: no parameters.

    `grammar` is the format of a custom tool's input, as the client wrote it.
    """

    name: str
    kind: ToolKind = "function"
    namespace: str | None = None
    description: str | None = None
    parameters: Mapping[str, Any] | None = None
    is_strict: bool | None = None
    grammar: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class OneTool:
    """`tool_choice`: this tool, by its flat name."""

    name: str


ToolChoice: TypeAlias = Literal["auto", "none", "required"] | OneTool


@dataclass(frozen=True, slots=True)
class JsonSchema:
    """Structured output."""

    name: str
    schema: Mapping[str, Any]
    description: str | None = None
    is_strict: bool | None = None


OutputFormat: TypeAlias = Literal["text", "json_object"] | JsonSchema


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to choose words; None is the provider's default."""

    temperature: float | None = None
    top_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Prompt:
    """A request in no format. `items` are in the order in which they were said, instructions first."""

    items: tuple[Item, ...]
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    has_parallel_calls: bool | None = None
    max_output_tokens: int | None = None
    sampling: Sampling = field(default_factory=Sampling)
    output: OutputFormat = "text"
    verbosity: str | None = None
    reasoning_effort: str | None = None


# --- what is answered


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More of the answer's text."""

    text: str


@dataclass(frozen=True, slots=True)
class RefusalDelta:
    """More of a refusal."""

    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """More readable thoughts, or more of their summary."""

    text: str


@dataclass(frozen=True, slots=True)
class ReasoningState:
    """The provider's own state of the thoughts before: what it needs again with the next request. Not sealed yet."""

    state: str


@dataclass(frozen=True, slots=True)
class CallBegun:
    """The `place`-th tool call of the answer (from 0), of the tool with this flat name."""

    place: int
    name: str


@dataclass(frozen=True, slots=True)
class CallDelta:
    """More of the arguments of the `place`-th call. Calls may be interleaved."""

    place: int
    arguments: str


@dataclass(frozen=True, slots=True)
class Counted:
    """What the provider counted so far; the last one holds."""

    usage: Usage


@dataclass(frozen=True, slots=True)
class Finished:
    """The model has said why it stopped. Only `Counted` may follow."""

    reason: FinishReason


Delta: TypeAlias = (
    TextDelta | RefusalDelta | ReasoningDelta | ReasoningState | CallBegun | CallDelta | Counted | Finished
)
