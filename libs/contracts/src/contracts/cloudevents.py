"""The envelope of every kept event: CloudEvents 1.0, structured JSON mode (spec §3.1, JSON format §2 and §3).

`traceparent` is the distributed tracing extension. The bus header carries the same value.
"""

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import ConfigDict

from contracts.endpoint import Event, Message, PayloadT

CONTENT_TYPE = "application/cloudevents+json"


class CloudEvent(Message):
    """The context attributes; `data` is validated by the event's own payload model."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    specversion: Literal["1.0"] = "1.0"
    id: str
    source: str
    type: str
    time: datetime
    subject: str | None = None
    datacontenttype: Literal["application/json"] = "application/json"
    traceparent: str | None = None
    data: dict[str, Any]


# `data` is the last member of the envelope.
_EMPTY = "{}}"


def wrap(
    event: Event[PayloadT],
    payload: PayloadT,
    *,
    event_id: str,
    source: str,
    subject: str | None = None,
    traceparent: str | None = None,
) -> bytes:
    """The event as bytes for the bus. `source` names the sender (`/smartroute/gateway/<instance>`)."""
    envelope = CloudEvent(
        id=event_id,
        source=source,
        type=event.subject,
        time=datetime.now(UTC),
        subject=subject,
        traceparent=traceparent,
        data={},
    ).model_dump_json(exclude_none=True)
    # The payload is written once, into the place of the empty object at the end: every settlement goes this way.
    return f"{envelope.removesuffix(_EMPTY)}{payload.model_dump_json()}}}".encode()


def unwrap(event: Event[PayloadT], raw: bytes) -> tuple[CloudEvent, PayloadT]:
    """Envelope and payload. Raises `ValueError` when either is not what the contract says."""
    envelope = CloudEvent.model_validate_json(raw)
    if envelope.type != event.subject:
        raise ValueError(f"expected an event of type {event.subject}, got {envelope.type}")
    return envelope, event.payload.model_validate(envelope.data)
