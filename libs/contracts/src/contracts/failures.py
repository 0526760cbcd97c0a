"""The reply of a peer that broke. Without it a crash would cost the caller its whole deadline."""

from typing import Literal

from contracts.endpoint import Message


class Failure(Message):
    """The peer received the request and could not answer it. `code` is the interface, `message` is for people."""

    outcome: Literal["failure"] = "failure"
    code: Literal["malformed", "crashed", "overloaded", "unavailable"]
    message: str
