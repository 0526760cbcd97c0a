"""What is objectively wrong with answers: what outcomes are learnt from. No opinions, no text leaves."""

from collections import OrderedDict
from dataclasses import dataclass
from hashlib import blake2b
from uuid import UUID

import msgspec

from contracts.gateway import QualityFault
from contracts.router import RequestClass
from gateway.wire.chat.models import known_finish_reason
from gateway.wire.evidence import Evidence
from gateway.wire.lane import Answer, Brief, ClientRequest

RESUBMITTED_SECONDS = 60.0
MAX_QUESTIONS = 20_000

_read_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_read_value = msgspec.json.Decoder(msgspec.Raw)
# What a JSON value of a type begins with.
_BEGINNINGS = {
    "object": b"{",
    "array": b"[",
    "string": b'"',
    "number": b"-0123456789",
    "integer": b"-0123456789",
    "boolean": b"tf",
    "null": b"n",
}
_UNREADABLE = (msgspec.MsgspecError, UnicodeError, RecursionError)


def fault_of(request: ClientRequest, answer: Answer) -> QualityFault | None:
    """What is wrong with an answer that is over; None for a good one, and for one of which nobody said how it ended.

    An answer that the client itself wanted no longer than it is has no fault, nor has the end of a tool loop at which
    there is nothing left to say.
    """
    if not (answer.has_finished or answer.is_done):
        return None
    match known_finish_reason(answer.finish_reason or "stop"):
        case "content_filter":
            return "filtered"
        case "length":
            return None if _is_as_long_as_asked(request.brief, answer) else "truncated"
    if not answer.has_content:
        return None if request.brief.is_tool_loop else "empty"
    return _fault_in(answer.evidence, request.brief) if answer.evidence is not None else None


def _is_as_long_as_asked(brief: Brief, answer: Answer) -> bool:
    cap = brief.output_tokens
    return cap is not None and (answer.usage is None or answer.usage.output >= cap)


def _fault_in(evidence: Evidence, brief: Brief) -> QualityFault | None:
    if not all(map(_is_object, evidence.arguments)):
        return "invalid_arguments"
    if brief.json_types is not None and (text := evidence.text) and not _is_of(text, brief.json_types):
        return "invalid_schema"
    return None


def _is_object(arguments: str) -> bool:
    """Many providers write no arguments as no text at all."""
    try:
        _read_object.decode(arguments or "{}")
    except _UNREADABLE:
        return False
    return True


def _is_of(text: str, types: tuple[str, ...]) -> bool:
    """Whether a text is one JSON value, of one of these types if any is named. What is inside is not checked."""
    try:
        value = bytes(_read_value.decode(text)).strip()
    except _UNREADABLE:
        return False
    return not types or any(value[:1] in _BEGINNINGS.get(name, b"") for name in types)


@dataclass(slots=True)
class Asking:
    """A question at one moment (a clock of the caller's, in seconds), and who answered it, as far as it is over."""

    at: float
    target: str | None = None
    request_class: RequestClass | None = None


class Resubmissions:
    """The questions of the last minute: who asks the same thing again was not content with the answer."""

    def __init__(self, *, within_seconds: float = RESUBMITTED_SECONDS, capacity: int = MAX_QUESTIONS) -> None:
        self._within = within_seconds
        self._capacity = capacity
        self._asked: OrderedDict[bytes, Asking] = OrderedDict()

    def __len__(self) -> int:
        return len(self._asked)

    def note(self, key: bytes, now: float) -> Asking | None:
        """A question is asked: the earlier time that it was, if that is a minute ago at most."""
        earlier = self._asked.pop(key, None)
        self._asked[key] = Asking(now)
        if len(self._asked) > self._capacity:
            self._asked.popitem(last=False)
        return earlier if earlier is not None and now - earlier.at <= self._within else None

    def answered(self, key: bytes, target: str, request_class: RequestClass) -> None:
        """Who answered a question when it was asked last."""
        asking = self._asked.get(key)
        if asking is not None:
            asking.target, asking.request_class = target, request_class


def question_of(account_id: UUID, brief: Brief) -> bytes | None:
    """What makes two requests the same question: whose, in which conversation, how far into it, with which last words.

    None where a repetition says nothing: inside of tool loops, and without words. Neither do those with an
    Idempotency-Key, which are one request.
    """
    if brief.is_tool_loop or not brief.user_text:
        return None
    asked = b"".join((brief.opening, brief.input_bytes.to_bytes(8, "big"), brief.user_text.encode(errors="replace")))
    return blake2b(asked, digest_size=16, key=account_id.bytes).digest()
