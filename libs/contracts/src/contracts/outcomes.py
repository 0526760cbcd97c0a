"""How a request can end, and whether that costs a prompt: the table that docs, receipts and tests share."""

from enum import StrEnum


class Outcome(StrEnum):
    """The end of one request. Published in the documentation and printed on every receipt."""

    REJECTED_AUTH = "rejected_auth"
    REJECTED_REQUEST = "rejected_request"
    REJECTED_QUOTA = "rejected_quota"
    REJECTED_SPEED = "rejected_speed"
    COMPLETED = "completed"
    CONTINUATION = "continuation"
    EMPTY = "empty"
    UPSTREAM_UNAVAILABLE = "upstream_unavailable"
    UPSTREAM_BROKEN = "upstream_broken"
    CLIENT_GONE_EARLY = "client_gone_early"
    CLIENT_GONE_LATE = "client_gone_late"
    GATEWAY_SHUTDOWN = "gateway_shutdown"
    EXPIRED = "expired"
    REPLAY = "replay"

    @property
    def is_charged(self) -> bool:
        """Whether a request that ends so costs one prompt."""
        return self in _CHARGED

    @property
    def reason(self) -> str:
        """Why it is charged or not, in a sentence for the customer."""
        return _REASONS[self]


_CHARGED = frozenset({Outcome.COMPLETED, Outcome.CLIENT_GONE_LATE})

_REASONS = {
    Outcome.REJECTED_AUTH: "The token is not valid.",
    Outcome.REJECTED_REQUEST: "The request was not accepted, so it costs nothing.",
    Outcome.REJECTED_QUOTA: "The allowance of the day or the month was spent.",
    Outcome.REJECTED_SPEED: "There were more requests at once or a minute than the plan allows.",
    Outcome.COMPLETED: "The answer was finished: one prompt.",
    Outcome.CONTINUATION: "It continued an open turn, whose first call paid for it.",
    Outcome.EMPTY: "The model finished without an answer, so it costs nothing.",
    Outcome.UPSTREAM_UNAVAILABLE: "No model could be reached before the answer began, so it costs nothing.",
    Outcome.UPSTREAM_BROKEN: "The answer broke off on our side, so it costs nothing.",
    Outcome.CLIENT_GONE_EARLY: "The client left before the answer began, so it costs nothing.",
    Outcome.CLIENT_GONE_LATE: "The client left after the answer had begun: one prompt.",
    Outcome.GATEWAY_SHUTDOWN: "We stopped before the answer was finished, so it costs nothing.",
    Outcome.EXPIRED: "We lost the request before it was finished, so it costs nothing.",
    Outcome.REPLAY: "The stored answer of the same Idempotency-Key was sent again, which costs nothing.",
}
