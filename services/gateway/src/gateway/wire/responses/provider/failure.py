"""How a Responses provider says that it failed, in words of ours."""

import msgspec

from gateway.wire.chat.encode import word_of_error
from gateway.wire.lane import UnusableAnswer

_UNFINISHED = ("in_progress", "queued", "cancelled")

_read_fields = msgspec.json.Decoder(dict[str, object])


def failure_word(payload: bytes) -> str:
    """The word for an `error` event, or for a body that is an error. Raises msgspec's errors."""
    fields = _read_fields.decode(payload)
    error = fields.get("error")
    return word_of_error(error if error is not None else fields, otherwise="error_event")


def failed_finish_word(error: object) -> str:
    """The word for a response that failed with this `error`."""
    return word_of_error(error, otherwise="failed_finish")


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
