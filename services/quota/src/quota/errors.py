"""What can go wrong in quota, besides a refusal, which is an answer.

QuotaError
└── Undecided   undecided   a reservation found no decision in time; it may have been made all the same
"""

from typing import ClassVar

from chassis.bus import TryLater


class QuotaError(Exception):
    """Something that quota could not do. `code` is the interface, the text is for people."""

    code: ClassVar[str] = "quota_error"


class Undecided(QuotaError, TryLater):
    """Postgres did not answer within the deadline of an ask. Asked again with the same id, it is decided once."""

    code = "undecided"

    def __init__(self, deadline_seconds: float) -> None:
        super().__init__(f"no decision within {deadline_seconds:g} s")
