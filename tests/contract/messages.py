"""Every message of the registry by its name, with the way it is read off the bus."""

from collections.abc import Callable, Mapping
from typing import Any

from contracts import cloudevents, registry
from contracts.asyncapi import reply_names
from contracts.endpoint import Event

Reader = Callable[[bytes], dict[str, Any]]


def readers() -> Mapping[str, Reader]:
    """By message name: read the bytes as a receiver does, and say as JSON values what was understood."""
    found: dict[str, Reader] = {}
    for event in registry.EVENTS:
        found[event.payload.__name__] = _event_reader(event)
    for signal in registry.SIGNALS:
        found[signal.payload.__name__] = _reader(signal.payload.model_validate_json)
    for rpc in registry.RPCS:
        found[rpc.request.__name__] = _reader(rpc.request.model_validate_json)
        for name in reply_names(rpc):
            found[name] = _reader(rpc.reply.validate_json)
    return found


def _reader(read: Callable[[bytes], Any]) -> Reader:
    def understood(raw: bytes) -> dict[str, Any]:
        values: dict[str, Any] = read(raw).model_dump(mode="json")
        return values

    return understood


def _event_reader(event: Event[Any]) -> Reader:
    def understood(raw: bytes) -> dict[str, Any]:
        envelope, payload = cloudevents.unwrap(event, raw)
        return envelope.model_dump(mode="json") | {"data": payload.model_dump(mode="json")}

    return understood
