"""Small shared values that replicas agree on: read, and changed only by whoever knows the newest (compare and set).

A bucket is laid out as NATS ADR-8 says (stream `KV_<name>`, subject `$KV.<name>.<key>`), so the server's own tools can
show it. It is read by direct get and written by publishing, which needs no right to create a consumer.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from chassis.bus.connection import Bus
from chassis.bus.errors import BusError
from chassis.bus.jetstream import ANSWER_SECONDS
from chassis.bus.replay import NOT_FOUND, replay, stream_ends
from contracts.streams import Bucket

# Server error codes of an expected sequence that is not the last one.
_SOMEBODY_ELSE = (10071, 10164)


@dataclass(frozen=True, slots=True)
class Entry:
    """A value and its revision."""

    value: bytes
    revision: int


async def read_entry(bus: Bus, bucket: Bucket, key: str) -> Entry | None:
    """The value of a key. A replica may be behind: a change made of what it said is refused then. Raises `BusError`."""
    subject = f"$JS.API.DIRECT.GET.KV_{bucket.name}.{_subject(bucket, key)}"
    message = await bus.request(subject, b"", headers=None, timeout_seconds=ANSWER_SECONDS)
    headers = message.headers or {}
    status = headers.get("Status")
    if status == NOT_FOUND:
        return None
    if status is not None:
        raise BusError(f"bucket {bucket.name}: {headers.get('Description', status)}")
    return Entry(message.data, int(headers["Nats-Sequence"]))


async def read_entries(bus: Bus, bucket: Bucket) -> Mapping[str, Entry]:
    """All keys of a bucket. Raises `BusError`."""
    ends = await stream_ends(bus, f"KV_{bucket.name}")
    start = len(_subject(bucket, ""))
    found: dict[str, Entry] = {}
    async for messages in replay(bus, f"KV_{bucket.name}", first=ends.first, through=ends.last):
        found.update({one.subject[start:]: Entry(one.data, one.sequence) for one in messages})
    return found


async def write_entry(bus: Bus, bucket: Bucket, key: str, value: bytes, *, over: Entry | None) -> int | None:
    """Put a value in the place of the one that was read; None: of none. The new revision.

    Returns None when somebody else was quicker. Raises `BusError`.
    """
    expected = str(over.revision if over is not None else 0)
    headers = {"Nats-Expected-Last-Subject-Sequence": expected}
    reply = await bus.request(_subject(bucket, key), value, headers=headers, timeout_seconds=ANSWER_SECONDS)
    answer = json.loads(reply.data)
    error = answer.get("error")
    if error is None:
        return int(answer["seq"])
    if error.get("err_code") in _SOMEBODY_ELSE:
        return None
    raise BusError(f"bucket {bucket.name}: {error.get('description', 'refused')}")


def _subject(bucket: Bucket, key: str) -> str:
    return f"$KV.{bucket.name}.{key}"
