"""A request through the wires and back in memory: a client's bytes in, a strict provider, its bytes cut anywhere.

The provider is `devstack.provider` without its socket: it checks the body that a lane gives and writes the stream. What
leaves for the client must be the same wherever the stream was cut, and must not name the provider.
"""

import base64
import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from devstack.provider import Answer, Identity
from devstack.provider.http import Request
from devstack.provider.strictness import Rules, complaints
from devstack.provider.writing import body_of, events_of
from gateway.turns import ToolCall, ToolCallIds
from gateway.wire import lane as wire
from gateway.wire.chat.decode import from_chat_request
from gateway.wire.lane import Lane, ProviderFormat, Quirks, Target
from gateway.wire.lanes import open_lane
from gateway.wire.responses.decode import from_responses_request
from tests.unit.gateway.wire import responses_rules as rules

FORMATS: tuple[ProviderFormat, ...] = ("chat", "responses", "completions", "anthropic")
# Those that know tools: agents need one of them.
AGENT_FORMATS: tuple[ProviderFormat, ...] = ("chat", "responses", "anthropic")
CROSSINGS: tuple[ProviderFormat, ...] = ("chat", "anthropic")

Json = dict[str, Any]
Spoil = Callable[[list[bytes]], list[bytes]]

BRAND = "Zephyr"
ACCOUNT = UUID(int=7)
_QUIRKS: dict[ProviderFormat, Quirks] = {
    "chat": Quirks(replays_reasoning=True),
    "responses": Quirks(system_role="developer", merges_system=False, replays_reasoning=True),
    "completions": Quirks(),
    "anthropic": Quirks(replays_reasoning=True),
}
_IDS = ToolCallIds(b"a-signing-key-that-is-long-enough-for-a-test")


@dataclass(frozen=True, slots=True)
class Seal:
    """Opaque and readable for one target only; always the same, so that answers can be compared byte by byte."""

    target: str

    def seal(self, state: str) -> str:
        return base64.b64encode(f"{self.target}|{state}".encode()).decode()

    def unseal(self, sealed: str) -> str | None:
        target, _, state = base64.b64decode(sealed).decode().partition("|")
        return state if target == self.target else None


@dataclass(frozen=True, slots=True)
class Told:
    """What came of one request: what the provider was asked, and what the client got."""

    asked: Json
    raw: bytes
    lane: Lane

    @property
    def events(self) -> list[Json]:
        """Of a response stream that keeps every published rule."""
        assert rules.frame_violations(self.raw) == []
        events = rules.read_events(self.raw)
        assert rules.event_violations(events) == []
        return events

    @property
    def response(self) -> Json:
        """The object that the stream ends with."""
        found: Json = self.events[-1]["response"]
        return found

    @property
    def output(self) -> list[Json]:
        found: list[Json] = self.response["output"]
        return found

    @property
    def payloads(self) -> list[Any]:
        """The data of a chat stream's events: objects, and `[DONE]` as text."""
        data = [event.removeprefix("data: ") for event in self.raw.decode().split("\n\n") if event]
        return [one if one == "[DONE]" else json.loads(one) for one in data]

    @property
    def deltas(self) -> list[Json]:
        """What the chunks of a chat stream say."""
        chunks = [one for one in self.payloads if one != "[DONE]"]
        return [choice["delta"] for chunk in chunks for choice in chunk.get("choices", ())]


@dataclass(slots=True)
class Wires:
    """One provider that speaks `format`, strict and loud, behind lanes. It remembers what it has handed out.

    A chat provider that `wants_reasoning` refuses calls that come back without their thoughts.
    """

    format: ProviderFormat
    quirks: Quirks | None = None
    name: str = "target"
    is_strict: bool = True
    wants_reasoning: bool = False
    issued: set[str] = field(default_factory=set)
    requests: int = 0

    @property
    def target(self) -> Target:
        quirks = self.quirks if self.quirks is not None else _QUIRKS[self.format]
        return Target(f"{BRAND}-large", format=self.format, quirks=quirks)

    def stream(self, body: Json, answer: Answer | None = None, *, chat: bool = False, spoil: Spoil = list) -> Told:
        """A streamed answer, its events spoilt on the way; `chat` is the client's format if it is not Responses."""
        self.requests += 1
        told = [
            self._streamed({**body, "stream": True}, answer or Answer(), chat=chat, spoil=spoil, cut=cut)
            for cut in (_whole, _bytewise, _at_random)
        ]
        assert [other.raw for other in told[1:]] == [told[0].raw] * 2
        return told[0]

    def whole(self, body: Json, answer: Answer | None = None, *, chat: bool = False) -> Json:
        """The body of an answer that is not streamed."""
        self.requests += 1
        lane, request = self._opened(body, chat=chat)
        lane.answer.take(body_of((answer or Answer()), request, self._identity))
        raw = lane.answer.finish()
        assert BRAND.lower() not in raw.decode().lower()
        found: Json = json.loads(raw)
        return found

    def lane(self, body: Json, *, chat: bool = False) -> Lane:
        """The way of a request, which the provider has nothing to say against."""
        return self._opened(body, chat=chat)[0]

    def _streamed(
        self, body: Json, answer: Answer, *, chat: bool, spoil: Spoil, cut: Callable[[bytes], Iterator[bytes]]
    ) -> Told:
        lane, request = self._opened(body, chat=chat)
        raw = b"".join(spoil(events_of(answer, request, self._identity)))
        sent = [lane.answer.feed(read) for read in cut(raw)]
        sent.append(lane.answer.end())
        if lane.answer.failure is None:
            sent.append(lane.answer.finish())
        else:
            sent.append(lane.answer.fail("upstream_broken", "The model failed in the middle of its answer."))
        left = b"".join(sent)
        assert BRAND.lower() not in left.decode().lower()
        return Told(request.json, left, lane)

    def _opened(self, body: Json, *, chat: bool) -> tuple[Lane, Request]:
        read = from_chat_request if chat else from_responses_request
        request_id = UUID(int=1000 + self.requests)
        lane = open_lane(
            read(json.dumps({"model": "smart-route", **body}).encode()),
            self.target,
            wire.Identity(request_id, "smart-route", 1_700_000_000),
            lambda place: _IDS.mint(ToolCall(request_id, 1, place), account_id=ACCOUNT),
            sealer=Seal(self.name),
            summaries=Seal("*"),
        )
        request = Request("POST", f"/v1{lane.path}", dict(lane.headers), lane.body)
        if self.is_strict:
            assert complaints(request, Rules(self.issued, wants_reasoning=self.wants_reasoning)) == []
        return lane, request

    @property
    def _identity(self) -> Identity:
        return Identity(BRAND, self.requests, self.issued)


def past_calls(format: ProviderFormat, asked: Json) -> list[tuple[str, str | None, str | Json]]:
    """The calls of the history as a provider gets them: name, namespace, and what was given."""
    if format == "responses":
        items = [item for item in asked["input"] if item["type"] in ("function_call", "custom_tool_call")]
        return [
            (item["name"], item.get("namespace"), item.get("input") or json.loads(item["arguments"])) for item in items
        ]
    if format == "chat":
        calls = [call["function"] for message in asked["messages"] for call in message.get("tool_calls") or ()]
        return [(call["name"], None, json.loads(call["arguments"])) for call in calls]
    blocks = [block for message in asked["messages"] for block in message["content"]]
    return [(block["name"], None, block["input"]) for block in blocks if block["type"] == "tool_use"]


def text_call_arguments(format: ProviderFormat, text: str) -> str:
    """What a model writes to a tool that takes free text: the text itself where the provider knows such tools."""
    return text if format == "responses" else json.dumps({"input": text})


def payload(event: bytes) -> Json:
    """The data of a provider's event; empty for `[DONE]`."""
    data = event.decode().partition("data: ")[2]
    found: Json = {} if data.startswith("[DONE]") else json.loads(data)
    return found


def without(events: Sequence[bytes], *types: str) -> list[bytes]:
    """A provider's events without those of some types."""
    return [event for event in events if payload(event).get("type") not in types]


def strings(value: object) -> Iterator[str]:
    """Every string in a document, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)


def _whole(raw: bytes) -> Iterator[bytes]:
    yield raw


def _bytewise(raw: bytes) -> Iterator[bytes]:
    return (raw[place : place + 1] for place in range(len(raw)))


def _at_random(raw: bytes) -> Iterator[bytes]:
    chance, start = random.Random(len(raw)), 0
    while start < len(raw):
        end = start + chance.randint(1, 200)
        yield raw[start:end]
        start = end
