"""How a Responses provider says that it failed, in words of ours."""

import msgspec

from gateway.wire.chat.encode import from_provider_error
from gateway.wire.lane import UnusableAnswer

TOO_LONG = "context_length_exceeded"

_UNFINISHED = ("in_progress", "queued", "cancelled")

_read_fields = msgspec.json.Decoder(dict[str, object])
_encoder = msgspec.json.Encoder()


def failure_word(payload: bytes) -> str:
    """The word for an `error` event, or for a body that is an error. Raises msgspec's errors."""
    fields = _read_fields.decode(payload)
    error = fields.get("error")
    return TOO_LONG if _is_too_long(error if error is not None else fields) else "error_event"


def failed_finish_word(error: object) -> str:
    """The word for a response that failed with this `error`."""
    return TOO_LONG if _is_too_long(error) else "failed_finish"


def _is_too_long(error: object) -> bool:
    return from_provider_error(_encoder.encode({"error": error}), fields=()).is_context_too_long


def check_good(body: bytes, *, status: object, error: object, output: object) -> None:
    """Whether a whole response is an answer, from its fields. Raises `UnusableAnswer` if not, and msgspec's errors."""
    if status == "failed":
        raise UnusableAnswer(failed_finish_word(error))
    if error is not None:
        word = failure_word(body)
        raise UnusableAnswer("error_body" if word == "error_event" else word)
    if status in _UNFINISHED:
        raise UnusableAnswer("not_finished")
    if not isinstance(output, list):
        raise UnusableAnswer("no_output")
