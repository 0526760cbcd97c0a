"""Chat requests in: checked, and read as far as they are acted on.

| field | what happens |
|---|---|
| `model` | an alias of ours; the target's model is sent instead |
| `messages`, `tools` | counted, passed on as bytes (`passthrough`); image and file URLs are not resolved by us |
| `stream`, `stream_options` | ours are sent: usage is always asked for, and given to the client if it asked |
| `n` | 1 or absent; more answers to one prompt are refused |
| `modalities` | `["text"]` or absent; `audio` is refused |
| `functions`, `function_call` | refused, deprecated by OpenAI: such calls have no ids to continue a turn |
| `max_tokens`, `max_completion_tokens` | passed on under the target's name for it, lowered to the target's cap |
| those of `_FORWARDED` | passed on |
| `user`, `safety_identifier` | not passed on: they would tell a provider who our customers' customers are |
| `metadata`, `store` | not passed on: nothing is to be kept at a provider |
| `prompt_cache_key` | keeps a session on one target; a key of ours is sent for it, where the target takes one |
| `service_tier` | not passed on: what is bought of a provider is the operator's decision |
| anything else | not passed on: an unknown field may steer a provider past the profile (`models`, `api_base`) |

What has no effect is named in the response header `x-smartroute-ignored`. A refused field is a 400 naming it. Requests
for targets of other formats are read whole in `prompt`, with a table of their own.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import msgspec

from gateway.wire.body import is_null, read_body, shown_in_header
from gateway.wire.chat.briefing import to_brief
from gateway.wire.chat.models import AskedChat, AskedMessage
from gateway.wire.lane import Brief, UnusableRequest

MAX_DEPTH = 64
MAX_MESSAGES = 2000
MAX_TOOLS = 256
ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})

_REFUSED = {
    "functions": "Use `tools` instead.",
    "function_call": "Use `tool_choice` instead.",
    "audio": "Only text can be answered.",
}
_OURS = frozenset({"model", "stream", "stream_options", "n", "modalities", "prompt_cache_key"})
_FORWARDED = frozenset(
    {
        "messages",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "response_format",
        "stop",
        "seed",
        "temperature",
        "top_p",
        "max_tokens",
        "max_completion_tokens",
        "presence_penalty",
        "frequency_penalty",
        "logit_bias",
        "logprobs",
        "top_logprobs",
        "reasoning_effort",
        "verbosity",
        "prediction",
        "top_k",
        "min_p",
        "top_a",
        "repetition_penalty",
        "reasoning",
        "thinking",
        "enable_thinking",
        "include_reasoning",
        "chat_template_kwargs",
    }
)

_read_chat = msgspec.json.Decoder(AskedChat)


@dataclass(frozen=True)
class ChatRequest:
    """A checked request (a `lane.ClientRequest`): what we act on, and the fields that go to a provider, as they came.

    `roles` are those of the messages, in order. Without slots, for the brief is kept when it has been read.
    """

    model: str
    is_stream: bool
    wants_usage: bool
    forwarded: Mapping[str, msgspec.Raw]
    ignored: tuple[str, ...]
    max_output_tokens: int | None
    messages: Sequence[AskedMessage]
    roles: tuple[str, ...]
    has_tools: bool
    answered_calls: tuple[str, ...]
    session_key: str | None

    @property
    def endpoint(self) -> str:
        return "chat/completions"

    @property
    def fields(self) -> Collection[str]:
        return self.forwarded.keys()

    @cached_property
    def brief(self) -> Brief:
        return to_brief(self.messages, self.forwarded, has_tools=self.has_tools, output_tokens=self.max_output_tokens)


def from_chat_request(body: bytes) -> ChatRequest:
    """Raises `UnusableRequest`."""
    chat, fields = read_body(body, _read_chat, max_depth=MAX_DEPTH)
    for name, advice in _REFUSED.items():
        if name in fields and not is_null(fields[name]):
            raise UnusableRequest(f"`{name}` is not supported. {advice}", code="unsupported_parameter", param=name)
    roles = tuple([message.role for message in chat.messages])
    _check_roles(roles)
    _check_counts(chat)
    forwarded = {name: raw for name, raw in fields.items() if name in _FORWARDED and not is_null(raw)}
    return ChatRequest(
        model=chat.model,
        is_stream=bool(chat.stream),
        wants_usage=chat.stream_options is not None and bool(chat.stream_options.include_usage),
        forwarded=forwarded,
        ignored=_ignored(fields),
        max_output_tokens=chat.max_completion_tokens or chat.max_tokens,
        messages=chat.messages,
        roles=roles,
        has_tools=bool(chat.tools),
        answered_calls=_answered_calls(chat.messages),
        session_key=chat.prompt_cache_key or None,
    )


def _check_roles(roles: Sequence[str]) -> None:
    if not 1 <= len(roles) <= MAX_MESSAGES:
        raise UnusableRequest(
            f"`messages` must hold 1 to {MAX_MESSAGES} messages.", code="invalid_value", param="messages"
        )
    if not ROLES.issuperset(roles):
        place = next(place for place, role in enumerate(roles) if role not in ROLES)
        known = ", ".join(f"`{role}`" for role in sorted(ROLES))
        param = f"messages[{place}].role"
        raise UnusableRequest(f"`{param}` must be one of {known}.", code="invalid_value", param=param)


def _check_counts(chat: AskedChat) -> None:
    if chat.tools is not None and len(chat.tools) > MAX_TOOLS:
        raise UnusableRequest(f"`tools` must hold at most {MAX_TOOLS} tools.", code="invalid_value", param="tools")
    if chat.n is not None and chat.n != 1:
        raise UnusableRequest("`n` must be 1: one prompt has one answer.", code="unsupported_value", param="n")
    if chat.modalities is not None and chat.modalities != ["text"]:
        raise UnusableRequest('`modalities` must be ["text"].', code="unsupported_value", param="modalities")


def _ignored(fields: Mapping[str, msgspec.Raw]) -> tuple[str, ...]:
    names = (name for name in fields if name not in _FORWARDED and name not in _OURS and name not in _REFUSED)
    return shown_in_header(names)


def _answered_calls(messages: Sequence[AskedMessage]) -> tuple[str, ...]:
    """The calls that the last messages answer: tool messages and nothing else since the assistant spoke."""
    answered: list[str] = []
    for message in reversed(messages):
        if message.role == "assistant":
            return tuple(reversed(answered))
        if message.role != "tool" or not message.tool_call_id:
            return ()
        answered.append(message.tool_call_id)
    return ()
