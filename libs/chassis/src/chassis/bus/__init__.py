"""The bus: ask and answer, tell and keep, tell and forget. The only package that knows NATS and its errors."""

from chassis.bus.backlog import Backlog, backlog
from chassis.bus.buckets import Entry, read_entries, read_entry, write_entry
from chassis.bus.connection import Bus, connect
from chassis.bus.dead_letters import (
    DeadLetter,
    Receiver,
    StillPoison,
    dead_letter,
    dead_letters,
    discard,
    handle_again,
    receiver,
)
from chassis.bus.errors import BusError, EventNotStored, PeerUnavailable, TryLater
from chassis.bus.events import Delivery, consume, publish
from chassis.bus.provisioning import provision
from chassis.bus.replay import (
    StoredMessage,
    StreamEnds,
    acknowledged_through,
    first_since,
    replay,
    stored_message,
    stream_ends,
)
from chassis.bus.rpc import ask, serve
from chassis.bus.signals import hear, tell

__all__ = [
    "Backlog",
    "Bus",
    "BusError",
    "DeadLetter",
    "Delivery",
    "Entry",
    "EventNotStored",
    "PeerUnavailable",
    "Receiver",
    "StillPoison",
    "StoredMessage",
    "StreamEnds",
    "TryLater",
    "acknowledged_through",
    "ask",
    "backlog",
    "connect",
    "consume",
    "dead_letter",
    "dead_letters",
    "discard",
    "first_since",
    "handle_again",
    "hear",
    "provision",
    "publish",
    "read_entries",
    "read_entry",
    "receiver",
    "replay",
    "serve",
    "stored_message",
    "stream_ends",
    "tell",
    "write_entry",
]
