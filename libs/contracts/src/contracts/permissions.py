"""Who may say and hear what on NATS: one user per service, with exactly the subjects of the contracts.

Everything is derived from the registry and the streams, so a new ask or durable brings its rights with it. Every user
has inboxes of its own, and an asker's inbox names who answers: quota can answer what quota was asked, and nothing else.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from contracts.asyncapi import SERVICES, owner
from contracts.decisions import TAKE_OVER
from contracts.inboxes import inbox_prefix
from contracts.registry import EVENTS, RPCS, SIGNALS
from contracts.streams import BUCKETS, DEAD_LETTERS, DURABLES, STREAMS, Bucket, Durable, dead_letter_subject

PROVISION = "provision"
STAFF = "staff"
# What commands of staff ask; the commands that belong to a service run with the user of that service.
_STAFF_ASKS = (TAKE_OVER,)


@dataclass(frozen=True, slots=True)
class User:
    """A NATS user. What it may not do is everything else."""

    name: str
    may: str
    publish: tuple[str, ...]
    subscribe: tuple[str, ...]


def users() -> tuple[User, ...]:
    """All of them, services first."""
    return (*(_service(name) for name in SERVICES), _provision(), _staff())


def _service(name: str) -> User:
    heard = [rpc.subject for rpc in RPCS if owner(rpc.subject) == name]
    heard += [signal.subject for signal in SIGNALS if name in signal.heard_by]
    return User(
        name,
        "what its contracts say",
        publish=_sorted([*_asks(name), *_answers(name), *_tells(name), *_consumes(name), *_reads(name)]),
        subscribe=_sorted([f"{inbox_prefix(name)}.>", *heard]),
    )


def _asks(name: str) -> Iterator[str]:
    yield from (rpc.subject for rpc in RPCS if name in rpc.asked_by)


def _answers(name: str) -> Iterator[str]:
    for rpc in RPCS:
        if owner(rpc.subject) == name:
            askers = (*rpc.asked_by, STAFF) if rpc in _STAFF_ASKS else rpc.asked_by
            yield from (f"{inbox_prefix(asker)}.{name}.>" for asker in askers)


def _tells(name: str) -> Iterator[str]:
    yield from (event.subject for event in EVENTS if name == owner(event.subject) or name in event.also_told_by)
    yield from (signal.subject for signal in SIGNALS if name == owner(signal.subject))


def _consumes(name: str) -> Iterator[str]:
    for durable in DURABLES:
        if durable.service == name:
            yield f"$JS.API.CONSUMER.MSG.NEXT.{durable.stream}.{durable.name}"
            yield f"$JS.ACK.{durable.stream}.{durable.name}.>"
            yield _consumer_info(durable)
            # How far the stream goes, and how much was given up.
            yield f"$JS.API.STREAM.INFO.{durable.stream}"
            yield f"$JS.API.STREAM.INFO.{DEAD_LETTERS.name}"
            yield dead_letter_subject(durable)


def _reads(name: str) -> Iterator[str]:
    for stream in STREAMS:
        if name in stream.read_by:
            yield from _reading(stream.name)
            yield from (_consumer_info(durable) for durable in DURABLES if durable.stream == stream.name)
    for bucket in BUCKETS:
        if bucket.service == name:
            yield from _reading(_stored_as(bucket))
            yield f"$JS.API.DIRECT.GET.{_stored_as(bucket)}.>"
            yield f"$KV.{bucket.name}.>"


def _provision() -> User:
    """Makes and updates, and can delete nothing."""
    stored = [*(stream.name for stream in STREAMS), *map(_stored_as, BUCKETS)]
    publish = [f"$JS.API.STREAM.{verb}.{name}" for verb in ("INFO", "CREATE", "UPDATE") for name in stored]
    for durable in DURABLES:
        publish.append(_consumer_info(durable))
        publish.append(f"$JS.API.CONSUMER.CREATE.{durable.stream}.{durable.name}.{durable.subject}")
    return User(
        PROVISION,
        "make and update streams, durables and buckets, and delete none",
        publish=_sorted(publish),
        subscribe=(f"{inbox_prefix(PROVISION)}.>",),
    )


def _staff() -> User:
    publish = [rpc.subject for rpc in _STAFF_ASKS]
    for stream in STREAMS:
        publish += _reading(stream.name)
    publish += map(_consumer_info, DURABLES)
    publish += [f"$JS.API.STREAM.MSG.DELETE.{DEAD_LETTERS.name}", "dead_letter.v1.discarded.>"]
    return User(
        STAFF,
        "read every stream, and settle dead letters",
        publish=_sorted(publish),
        subscribe=(f"{inbox_prefix(STAFF)}.>",),
    )


def _reading(stream: str) -> tuple[str, ...]:
    return (f"$JS.API.STREAM.INFO.{stream}", f"$JS.API.STREAM.MSG.GET.{stream}", f"$JS.API.DIRECT.GET.{stream}")


def _consumer_info(durable: Durable) -> str:
    return f"$JS.API.CONSUMER.INFO.{durable.stream}.{durable.name}"


def _stored_as(bucket: Bucket) -> str:
    return f"KV_{bucket.name}"


def _sorted(subjects: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(subjects)))
