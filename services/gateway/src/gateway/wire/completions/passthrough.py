"""Completions for a provider that speaks the same format: the client's fields in, the provider's words out.

What leaves is built from an allow-list. The chunk that finishes a stream is held back until `finish`: the request is
settled before the client sees its end.
"""

import msgspec

from gateway.wire.chat.encode import word_of_error
from gateway.wire.completions.decode import CompletionsRequest
from gateway.wire.completions.encode import KEEP_ALIVE, Chunks, to_completion, to_error_event
from gateway.wire.completions.models import (
    FAILED_FINISHES,
    ChoiceOut,
    Logprobs,
    ProviderAnswer,
    ProviderChoice,
    known_finish_reason,
)
from gateway.wire.crossing import Written
from gateway.wire.evidence import Evidence
from gateway.wire.lane import Identity, Target, UnusableAnswer
from gateway.wire.reading import Reading
from gateway.wire.usage import Usage, from_wire_usage

_read_answer = msgspec.json.Decoder(ProviderAnswer)
_encoder = msgspec.json.Encoder()
_STREAM = {"stream": True, "stream_options": {"include_usage": True}}


def to_provider_request(request: CompletionsRequest, target: Target) -> Written:
    """The body for one target. The cap is applied first, then fields are left out, then renamed."""
    fields: dict[str, object] = {"model": target.model, "prompt": request.prompt, **request.forwarded}
    if request.is_stream:
        fields |= _STREAM
    cap = target.max_output_tokens
    if cap is not None and (request.max_output_tokens is None or request.max_output_tokens > cap):
        fields["max_tokens"] = cap
    ignored = [name for name in target.drop if name in request.forwarded]
    for name in target.drop:
        fields.pop(name, None)
    for name, other in target.rename.items():
        if name in fields:
            fields[other] = fields.pop(name)
    return Written(_encoder.encode(fields), tuple(ignored))


class CompletionsPassage:
    """One answer on its way through; a `lane.Answer`. An echoed prompt alone is no content."""

    def __init__(self, identity: Identity, *, wants_usage: bool, echo: str) -> None:
        self.failure: str | None = None
        self.is_done = False
        self.has_content = False
        self.finish_reason: str | None = None
        self.usage: Usage | None = None
        self.events = 0
        self.evidence: Evidence | None = None  # no tools, no schemas
        self._identity = identity
        self._chunks = Chunks(identity, wants_usage=wants_usage)
        self._reading = Reading()
        self._echo = echo
        self._whole: bytes | None = None

    @property
    def has_finished(self) -> bool:
        return self.finish_reason is not None

    def feed(self, read: bytes) -> bytes:
        return self._reading.feed(self, read)

    def end(self) -> bytes:
        return self._reading.end(self)

    def take(self, body: bytes) -> None:
        try:
            answer = _read_answer.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise UnusableAnswer("malformed") from None
        if answer.error is not None:
            raise UnusableAnswer(word_of_error(answer.error, otherwise="error_body"))
        choice = _first(answer)
        if choice is None:
            raise UnusableAnswer("no_choice")
        if choice.finish_reason in FAILED_FINISHES:
            raise UnusableAnswer("failed_finish")
        self._note(choice, answer)
        self.finish_reason = known_finish_reason(choice.finish_reason)
        out = ChoiceOut(choice.text or "", logprobs=_known(choice.logprobs), finish_reason=self.finish_reason)
        self._whole = to_completion(out, self._identity, usage=self.usage)

    def finish(self) -> bytes:
        return self._whole if self._whole is not None else self._chunks.end(self.finish_reason, self.usage)

    def fail(self, code: str, message: str) -> bytes:
        return to_error_event(code, message)

    def heartbeat(self) -> bytes:
        return KEEP_ALIVE

    def take_event(self, payload: bytes) -> bytes:
        chunk = _read_answer.decode(payload)
        if chunk.error is not None:
            self.failure = word_of_error(chunk.error, otherwise="error_event")
            return b""
        self.events += 1
        choice = _first(chunk)
        if choice is not None and choice.finish_reason in FAILED_FINISHES:
            self.failure = "failed_finish"
            return b""
        self._note(choice, chunk)
        if choice is None:
            return b""
        logprobs = _known(choice.logprobs)
        return self._chunks.chunk(ChoiceOut(choice.text or "", logprobs=logprobs)) if choice.text or logprobs else b""

    def _note(self, choice: ProviderChoice | None, answer: ProviderAnswer) -> None:
        if answer.usage is not None:
            self.usage = from_wire_usage(answer.usage)
        if choice is not None:
            self.has_content = self._is_answered(choice.text or "") or self.has_content
            if choice.finish_reason:
                self.finish_reason = known_finish_reason(choice.finish_reason)

    def _is_answered(self, text: str) -> bool:
        """Whether there is more than the prompt in it, which some providers do not echo."""
        echo = self._echo
        if echo.startswith(text):
            self._echo = echo[len(text) :]
            return False
        self._echo = ""
        return True


def _first(answer: ProviderAnswer) -> ProviderChoice | None:
    return next((choice for choice in answer.choices or () if choice.index == 0), None)


def _known(logprobs: Logprobs | None) -> Logprobs | None:
    """In OpenAI's shape for completions, or not at all."""
    return logprobs if logprobs is not None and logprobs.tokens is not None else None
