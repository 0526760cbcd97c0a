"""The content of an answer, in no format."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts as reported; any integer is possible, a lie included. None leaves the field out."""

    prompt_tokens: int | None = 12
    completion_tokens: int | None = 7
    total_tokens: int | None = 19
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call that the model makes. Without an id the provider gives it one.

    For a tool that takes free text `arguments` is that text, for a shell of the Responses API `{"command": "…"}`. The
    `namespace` is that of the offered tool unless it is given.
    """

    name: str
    arguments: str = "{}"
    id: str | None = None
    namespace: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model says.

    `pieces` is the number of deltas that the text is cut into (default: one per word); `interleaved` mixes the argument
    deltas of parallel tool calls (where the format can); `usage_reports` is how often usage is sent (0 = never, 2 =
    duplicated, where it has events of its own). A stream of chat or plain completions has usage only if the caller
    asked for it, as OpenAI's has, unless `is_usage_forced`. `finish_reason` is in the words of chat completions.
    `reasoning_state` is opaque: `encrypted_content` in Responses, the signature of the thoughts in Messages (thoughts
    without one get some). A
    `compaction` is opaque too: in Responses, the only place for it, it is the one item of the answer.
    """

    text: str | None = "Hello from the provider."
    finish_reason: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    reasoning: str | None = None
    refusal: str | None = None
    usage: Usage = Usage()
    usage_reports: int = 1
    is_usage_forced: bool = False
    pieces: int | None = None
    interleaved: bool = False
    reasoning_state: str | None = None
    compaction: str | None = None

    @property
    def ending(self) -> str:
        """The finish reason that is sent."""
        return self.finish_reason or ("tool_calls" if self.tool_calls else "stop")

    @property
    def state(self) -> str | None:
        """The state that goes with the thoughts: a provider that thinks aloud always has one."""
        return self.reasoning_state or (None if self.reasoning is None else "thoughts")
