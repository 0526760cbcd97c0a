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


_CHARGED = frozenset({Outcome.COMPLETED, Outcome.CLIENT_GONE_LATE})
