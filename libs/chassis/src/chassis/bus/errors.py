"""What can go wrong on the bus.

BusError
├── PeerUnavailable   nobody answered an ask: no responders, no connection, or the deadline passed
├── EventNotStored    an event has no acknowledgement from its stream
└── TryLater          raised by a handler: what it needs is away, the message is not to blame
"""


class BusError(Exception):
    """Something did not get through."""


class PeerUnavailable(BusError):
    """An ask has no answer. It may have been carried out all the same: repeat it only if it is idempotent.

    `is_undelivered`: it was not, because it has reached nobody.
    """

    def __init__(self, subject: str, reason: str, *, is_undelivered: bool = False) -> None:
        super().__init__(f"{subject}: {reason}")
        self.subject = subject
        self.reason = reason
        self.is_undelivered = is_undelivered


class EventNotStored(BusError):
    """No acknowledgement came in time. The event may be stored all the same: repeat it with the same id."""

    def __init__(self, subject: str, reason: str) -> None:
        super().__init__(f"{subject}: {reason}")
        self.subject = subject
        self.reason = reason


class TryLater(BusError):
    """The store is away. A consumer keeps its batch and tries again; an ask is answered with `Failure`."""
