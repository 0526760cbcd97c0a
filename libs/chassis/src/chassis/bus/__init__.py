"""The bus: ask and answer, tell and keep, tell and forget. The only package that knows NATS and its errors."""

from chassis.bus.connection import Bus, connect
from chassis.bus.errors import BusError, EventNotStored, PeerUnavailable, TryLater
from chassis.bus.events import Delivery, consume, publish
from chassis.bus.provisioning import provision
from chassis.bus.rpc import ask, serve
from chassis.bus.signals import hear, tell

__all__ = [
    "Bus",
    "BusError",
    "Delivery",
    "EventNotStored",
    "PeerUnavailable",
    "TryLater",
    "ask",
    "connect",
    "consume",
    "hear",
    "provision",
    "publish",
    "serve",
    "tell",
]
