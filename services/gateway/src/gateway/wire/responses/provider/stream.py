"""A Responses answer read: a stream's events, or the whole object, in; deltas out.

| event | what it says |
|---|---|
| `output_text`, `refusal`, `reasoning_text`, `reasoning_summary_text`, each `.delta` and `.done` | more of it |
| `output_item.added`, `.done` | calls with their names; the state of thoughts; whatever no delta has said |
| `function_call_arguments`, `custom_tool_call_input`, each `.delta` and `.done` | more of a call's arguments |
| `response.completed`, `.incomplete` | figures, why the model stopped, and again whatever nothing has said before |
| `response.failed`, `error` | a failure, a context that is too long by a word of its own |
| anything else, items of other kinds included | nothing that another format could say |

A `.done` says again what the deltas have said: only what is new in it counts. Summaries and thoughts of one item say
the same twice: the kind that speaks first counts.
"""

import json
from collections.abc import Sequence

import msgspec

from gateway.wire.canonical import (
    CallBegun,
    CallDelta,
    Counted,
    Delta,
    Finished,
    FinishReason,
    ReasoningDelta,
    ReasoningState,
    RefusalDelta,
    TextDelta,
)
from gateway.wire.chat.toolcalls import MAX_TOOL_CALLS, TooManyToolCalls
from gateway.wire.lane import UnusableAnswer
from gateway.wire.responses.provider.failure import check_good, failed_finish_word, failure_word
from gateway.wire.responses.provider.models import (
    Kind,
    ProviderEvent,
    ProviderItem,
    ProviderResponse,
    from_response_usage,
)
from gateway.wire.responses.provider.places import OutputPlaces
from gateway.wire.tools import flat_name, text_arguments

_read_kind = msgspec.json.Decoder(Kind)
_read_event = msgspec.json.Decoder(ProviderEvent)
_read_item = msgspec.json.Decoder(ProviderItem)
_read_response = msgspec.json.Decoder(ProviderResponse)

_DELTAS = {
    "response.output_text.delta": "text",
    "response.refusal.delta": "refusal",
    "response.reasoning_text.delta": "thought",
    "response.reasoning_summary_text.delta": "summary",
    "response.function_call_arguments.delta": "arguments",
    "response.custom_tool_call_input.delta": "input",
}
_WHOLES = {name.removesuffix("delta") + "done": part for name, part in _DELTAS.items()}
_ITEM_EVENTS = frozenset({"response.output_item.added", "response.output_item.done"})
_ENDS = frozenset({"response.completed", "response.incomplete", "response.failed"})
_KINDS = frozenset({"message", "reasoning", "function_call", "custom_tool_call"})


class _Heard:
    """What one item has said so far. `parts` are pieces by name and index."""

    __slots__ = ("has_input", "has_state", "kind", "name", "parts", "place", "thinks_in")

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.name: str | None = None
        self.place: int | None = None
        self.parts: dict[tuple[str, int], list[str]] = {}
        self.thinks_in: str | None = None
        self.has_input = False
        self.has_state = False


class ResponsesDecoder:
    """One answer; a `crossing.Decoder`."""

    def __init__(self) -> None:
        self.failure: str | None = None
        self.is_done = False
        self.events = 0
        self._items: OutputPlaces[_Heard] = OutputPlaces()
        self._calls = 0

    def feed(self, payload: bytes) -> Sequence[Delta]:
        """What one event's data says. Sets `failure` when the provider failed."""
        if self.is_done or self.failure is not None:
            return []
        try:
            return self._told(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self.failure = "malformed"
        except TooManyToolCalls:
            self.failure = "too_many_tool_calls"
        return []

    def whole(self, response: ProviderResponse) -> Sequence[Delta]:
        """What a whole answer says that no event before has. Raises `TooManyToolCalls` and msgspec's errors."""
        read = [_item(raw) for raw in response.output or ()]
        deltas: list[Delta] = []
        for item, heard in zip(read, self._items.match([(item.id, item.type) for item in read]), strict=True):
            deltas += self._ended(item, heard or self._items.add(_Heard(item.type), item_id=item.id, index=None))
        for heard in self._items.all:
            deltas += self._input(heard)
        if response.usage is not None:
            deltas.append(Counted(from_response_usage(response.usage)))
        return [*deltas, Finished(self._reason(response))]

    def _told(self, payload: bytes) -> Sequence[Delta]:
        kind = _read_kind.decode(payload)
        if kind.error is not None or kind.type == "error":
            self.failure = failure_word(payload)
            return []
        self.events += 1
        if (part := _DELTAS.get(kind.type)) is not None:
            event = _read_event.decode(payload)
            return self._more(self._heard(event, part), part, _place(event), event.delta or "")
        if (part := _WHOLES.get(kind.type)) is not None:
            event = _read_event.decode(payload)
            said = event.text or event.refusal or event.arguments or event.input or ""
            return self._rest(self._heard(event, part), part, _place(event), said)
        if kind.type in _ITEM_EVENTS:
            return self._item_event(kind.type, _read_event.decode(payload))
        return self._end(kind.type, payload) if kind.type in _ENDS else []

    def _end(self, kind: str, payload: bytes) -> Sequence[Delta]:
        response = _read_event.decode(payload).response or ProviderResponse()
        if kind == "response.failed" or response.status == "failed" or response.error is not None:
            self.failure = failed_finish_word(response.error)
            return []
        deltas = self.whole(response if kind == "response.completed" else _incomplete(response))
        self.is_done = True
        return deltas

    def _heard(self, event: ProviderEvent, part: str) -> _Heard:
        """The item of an event; one that was not announced begins here."""
        heard = self._items.find(event.item_id, event.output_index)
        if heard is not None:
            return heard
        kind = {"arguments": "function_call", "input": "custom_tool_call", "text": "message", "refusal": "message"}
        item = _Heard(kind.get(part, "reasoning"))
        return self._items.add(item, item_id=event.item_id, index=event.output_index)

    def _item_event(self, kind: str, event: ProviderEvent) -> Sequence[Delta]:
        if not bytes(event.item):
            return []
        item, index = _item(event.item), event.output_index
        if kind == "response.output_item.done":
            heard = self._items.ended(item.id, index, item.type)
            return self._ended(item, heard or self._items.add(_Heard(item.type), item_id=item.id, index=index))
        heard = self._items.begun(item.id, index)
        if heard is None:
            heard = self._items.add(_Heard(item.type), item_id=item.id, index=index)
        return self._begun(item, heard)

    def _begun(self, item: ProviderItem, heard: _Heard) -> Sequence[Delta]:
        """A call that has a name begins; arguments that came before it follow."""
        if heard.kind not in ("function_call", "custom_tool_call") or heard.place is not None or not item.name:
            return []
        if self._calls >= MAX_TOOL_CALLS:
            raise TooManyToolCalls
        heard.place, self._calls = self._calls, self._calls + 1
        early = "".join(heard.parts.get(("arguments", 0), ()))
        # We declare no namespaces; should a provider make one of a flat name, it is one name again.
        begun = CallBegun(heard.place, flat_name(item.name, item.namespace) if item.namespace else item.name)
        return [begun, CallDelta(heard.place, early)] if early else [begun]

    def _ended(self, item: ProviderItem, heard: _Heard) -> Sequence[Delta]:
        """What an item says at its end that its deltas did not."""
        deltas = list(self._begun(item, heard))
        if item.type == "message":
            for place, part in enumerate(item.content or ()):
                deltas += self._rest(heard, "text", place, part.text or "") if part.type == "output_text" else []
                deltas += self._rest(heard, "refusal", place, part.refusal or "")
        elif item.type == "reasoning":
            for place, part in enumerate(item.content or ()):
                deltas += self._rest(heard, "thought", place, part.text or "")
            for place, part in enumerate(item.summary or ()):
                deltas += self._rest(heard, "summary", place, part.text or "")
            if item.encrypted_content and not heard.has_state:
                heard.has_state = True
                deltas.append(ReasoningState(item.encrypted_content))
        elif item.type == "function_call":
            deltas += self._rest(heard, "arguments", 0, _arguments(item.arguments))
        elif item.type == "custom_tool_call":
            self._rest(heard, "input", 0, item.input or "")
            deltas += self._input(heard)
        return deltas

    def _more(self, heard: _Heard, part: str, place: int, piece: str) -> Sequence[Delta]:
        if not piece:
            return []
        pieces = heard.parts.get((part, place))
        is_first = pieces is None
        if pieces is None:
            pieces = heard.parts[part, place] = []
        pieces.append(piece)
        if part == "text":
            return [TextDelta(piece)]
        if part == "refusal":
            return [RefusalDelta(piece)]
        if part == "arguments":
            return [CallDelta(heard.place, piece)] if heard.place is not None else []
        if part == "input":
            return []  # becomes one JSON text when it is whole
        return self._thought(heard, part, piece, begins_paragraph=is_first)

    def _thought(self, heard: _Heard, part: str, piece: str, *, begins_paragraph: bool) -> Sequence[Delta]:
        if heard.thinks_in is None:
            heard.thinks_in = part
            return [ReasoningDelta(piece)]
        if heard.thinks_in != part:
            return []
        return [ReasoningDelta("\n\n" + piece if begins_paragraph else piece)]

    def _rest(self, heard: _Heard, part: str, place: int, whole: str) -> Sequence[Delta]:
        said = "".join(heard.parts.get((part, place), ()))
        # A text that is not what the deltas said has been tidied up; what was said has left.
        return self._more(heard, part, place, whole[len(said) :]) if whole.startswith(said) else []

    def _input(self, heard: _Heard) -> Sequence[Delta]:
        """The free text of a call as arguments, once."""
        text = "".join(heard.parts.get(("input", 0), ()))
        if heard.place is None or heard.has_input or not text:
            return []
        heard.has_input = True
        return [CallDelta(heard.place, text_arguments(text))]

    def _reason(self, response: ProviderResponse) -> FinishReason:
        if response.status == "incomplete":
            reason = response.incomplete_details.reason if response.incomplete_details else None
            return "content_filter" if reason == "content_filter" else "length"
        return "tool_calls" if self._calls else "stop"


def read_whole(body: bytes) -> Sequence[Delta]:
    """The deltas of a whole answer. Raises `UnusableAnswer`."""
    try:
        response = _read_response.decode(body)
        check_good(body, status=response.status, error=response.error, output=response.output)
        return ResponsesDecoder().whole(response)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise UnusableAnswer("malformed") from None
    except TooManyToolCalls:
        raise UnusableAnswer("too_many_tool_calls") from None


def _place(event: ProviderEvent) -> int:
    return event.summary_index if event.summary_index is not None else event.content_index or 0


def _item(raw: msgspec.Raw) -> ProviderItem:
    kind = _read_kind.decode(raw)
    return _read_item.decode(raw) if kind.type in _KINDS else ProviderItem(kind.type, kind.id)


def _arguments(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _incomplete(response: ProviderResponse) -> ProviderResponse:
    response.status = "incomplete"
    return response
