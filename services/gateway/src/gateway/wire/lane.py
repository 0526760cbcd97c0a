"""What every way from a client's format to a provider's and back has in common: the lane of one attempt.

A lane is made per attempt. It gives the body for the provider, takes what the provider answers, and says what leaves
for the client, as bytes. Same-format lanes rewrite what is ours (ids, model, usage) and let through what an allow-list
names; crossings go through the canonical model.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias
from uuid import UUID

from gateway.wire.evidence import Evidence
from gateway.wire.usage import Usage

ProviderFormat: TypeAlias = Literal["chat", "responses", "completions", "anthropic"]
Need: TypeAlias = Literal["tools", "parallel_calls", "images", "schema"]


class UnusableRequest(Exception):
    """The request cannot be served. `message` is for the client and quotes nothing but field names and types."""

    def __init__(self, message: str, *, code: str, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.param = param


class UnusableAnswer(Exception):
    """What the provider sent is not an answer. `reason` is a word of ours, for operators."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Unservable(Exception):
    """This target cannot take the request; another one may. `param` is the field that needs more than it has."""

    def __init__(self, param: str) -> None:
        super().__init__(param)
        self.param = param


Mint = Callable[[int], str]
"""The id of the tool call at a place of the answer: ours, at most 40 characters, verified without a look-up."""


class Sealer(Protocol):
    """Makes a provider's state opaque for the client, and reads it again, for the same target and account only."""

    def seal(self, state: str) -> str: ...

    def unseal(self, sealed: str) -> str | None:
        """None for what was not sealed for this target and account."""


@dataclass(frozen=True, slots=True)
class Quirks:
    """What a target's dialect lacks or wants.

    `system_role`: what instructions are called: `developer`, `system`, or `user` where a template has neither.
    `merges_system`: only one system message, and that first. `takes_parallel_calls`: `parallel_tool_calls` and several
    calls in one message. `output_cap_field`: the name of the cap in chat requests. `replays_reasoning`: thoughts have
    to be sent back with the tool calls they led to, as `reasoning_content`. `takes_images`, `takes_schema`: whether
    there is image input, and `response_format: json_schema`. `thinks_adaptively`: in Anthropic's format, thoughts are
    asked for by effort; by a budget of tokens otherwise. Its newer models take the one, its older ones the other.
    `takes_cache_key`: it is told by `prompt_cache_key` which requests begin alike; the key is ours.
    """

    system_role: Literal["developer", "system", "user"] = "system"
    merges_system: bool = True
    takes_tools: bool = True
    takes_parallel_calls: bool = True
    output_cap_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    replays_reasoning: bool = False
    takes_images: bool = True
    takes_schema: bool = True
    thinks_adaptively: bool = False
    takes_cache_key: bool = False


@dataclass(frozen=True, slots=True)
class Target:
    """The upstream of one attempt as the wire sees it. `drop`, `rename` are top-level fields of its own format.

    `context_window`: tokens; `max_output_tokens`: its cap on an answer. None: not known, no cap. `cache_key`: that of
    the request's session at this target, if the target takes one; no customer's own.
    """

    model: str
    format: ProviderFormat = "chat"
    quirks: Quirks = field(default_factory=Quirks)
    drop: tuple[str, ...] = ()
    rename: Mapping[str, str] = field(default_factory=dict)
    max_output_tokens: int | None = None
    context_window: int | None = None
    cache_key: str | None = None

    @property
    def cache_fields(self) -> Mapping[str, str]:
        """What tells the target which requests begin alike, in chat and in Responses; nothing if it takes no key."""
        if self.cache_key is None or not self.quirks.takes_cache_key:
            return {}
        return {"prompt_cache_key": self.cache_key}


@dataclass(frozen=True, slots=True)
class Identity:
    """What we put in place of the provider's: ids, the alias, and when (seconds since 1970).

    Every id of one answer is made from `request_id`: `chatcmpl-…`, `cmpl-…`, `resp_…`, `msg_…`, `fc_…`, `rs_…`.
    """

    request_id: UUID
    model: str
    created: int


class Answer(Protocol):
    """One provider's answer on its way to the client.

    Streamed: `feed` every read in order; look at `failure`, `is_done` and `has_finished` after each; `end` when the
    provider has closed; then `finish` once, after the settlement is stored: it gives the end that was held back.
    Otherwise: `take` the whole body once, and `finish` gives what is sent. `fail` ends a stream that has begun.

    `failure` is a word of ours for operators; what came before it still leaves. `has_content`: the model said anything
    (text, refusal, tool call; reasoning alone is no answer). `events` counts those of the provider that are understood.
    `evidence` is complete when the answer is over; None: nothing was asked for that could be checked.
    """

    failure: str | None
    is_done: bool
    has_content: bool
    finish_reason: str | None
    usage: Usage | None
    events: int

    @property
    def has_finished(self) -> bool: ...

    @property
    def evidence(self) -> Evidence | None: ...

    def feed(self, read: bytes) -> bytes: ...

    def end(self) -> bytes: ...

    def take(self, body: bytes) -> None:
        """Raises `UnusableAnswer`."""

    def finish(self) -> bytes: ...

    def fail(self, code: str, message: str) -> bytes: ...

    def heartbeat(self) -> bytes:
        """Something that keeps the connection alive and that the client's idle timer counts, between two events."""


@dataclass(frozen=True, slots=True)
class Lane:
    """One attempt: what is posted to `path` below the target's base URL, and who takes the answer.

    `ignored` are fields of the client's request that have no effect with this target. `headers` are what the provider's
    format needs beside content type and key. `completed` gives the object that `answer` ends with, in formats whose
    answers can be stored: the same that `finish` writes then, so that a change to it is one to the answer.
    """

    path: str
    body: bytes
    answer: Answer
    ignored: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    completed: Callable[[], dict[str, Any]] | None = None


@dataclass(frozen=True, slots=True)
class Brief:
    """What is read of a request to decide where it goes. Its one text never leaves the gateway.

    `user_text` is the last that a user wrote: no instructions, no results of tools; of a long one, both ends.
    `input_bytes` is what the model has to read, as it was sent; a picture or a document has `briefing.MEDIA_BYTES`.
    `needs` is what a target must have, `may_call` whether the model may call tools. `is_reasoning`: it is asked to
    think. `is_tool_loop`: the last that was said are results of tools. `sealed` are the states of thoughts in the
    conversation, in its order. `opening` is a digest of all that comes before the first answer: it stays the same as
    long as the conversation goes on. `json_types` are the JSON types that the answer's text may have, any if none is
    named; None: it need not be JSON.
    """

    user_text: str
    input_bytes: int
    opening: bytes
    output_tokens: int | None = None
    needs: tuple[Need, ...] = ()
    may_call: bool = False
    is_reasoning: bool = False
    is_tool_loop: bool = False
    sealed: tuple[str, ...] = ()
    json_types: tuple[str, ...] | None = None

    def evidence(self, *, free: Collection[str] = ()) -> Evidence | None:
        """What collects of the answer what can be checked. `free` are the tools whose input may be any text."""
        return Evidence.wanted(calls=self.may_call, text=self.json_types is not None, free=free)


class ClientRequest(Protocol):
    """A client's request, checked, in its own format. What it says of itself is enough to admit and to record it.

    `endpoint` is the path below the base path. `ignored` are fields without effect with any target. `fields` are the
    names of the client's own top-level fields, the only ones that a refusal may name. `answered_calls` are the ids of
    the tool results that follow the last output of the assistant, when nothing else follows it; empty otherwise: they
    decide whether the request continues a turn. `session_key` is the client's own word for requests that share a
    prompt cache. `brief` is read when it is first asked for.
    """

    @property
    def endpoint(self) -> str: ...

    @property
    def model(self) -> str: ...

    @property
    def is_stream(self) -> bool: ...

    @property
    def ignored(self) -> tuple[str, ...]: ...

    @property
    def fields(self) -> Collection[str]: ...

    @property
    def answered_calls(self) -> tuple[str, ...]: ...

    @property
    def session_key(self) -> str | None: ...

    @property
    def brief(self) -> Brief: ...
