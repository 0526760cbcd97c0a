"""What really happened, read past the product: the stream itself, the tables as superuser, the providers' log."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from nats.aio.client import Client as NatsClient
from nats.js.api import ConsumerConfig, DeliverPolicy

from contracts.gateway import REQUEST_SETTLED
from contracts.streams import BILLING_REQUESTS, QUOTA_REQUESTS, REQUESTS
from tests.faults.clients import Customer
from tests.faults.plays import Served, log_of
from tests.faults.world import World


@dataclass(frozen=True, slots=True)
class Told:
    """One settlement in the stream."""

    sequence: int
    request_id: UUID
    account_id: UUID
    outcome: str


@dataclass(frozen=True, slots=True)
class Reservation:
    account_id: UUID
    request_id: UUID
    token_id: UUID
    day: date
    month: date
    outcome: str | None
    charged: bool | None
    sequence: int | None
    reserved_at: Any
    turn_id: UUID
    call: int


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the ledger."""

    account_id: UUID
    request_id: UUID
    kind: str
    revision: int
    prompts: int
    outcome: str
    sequence: int
    day: date
    month: date
    attempts: int
    input_tokens: int
    output_tokens: int
    tokens_source: str
    total_ms: float


@dataclass(frozen=True, slots=True)
class Window:
    account_id: UUID
    kind: str
    starts_on: date
    used: int
    reserved: int
    drawn: int


@dataclass(frozen=True, slots=True)
class Truth:
    """Everything about some accounts."""

    told: Sequence[Told]
    reservations: Sequence[Reservation]
    lines: Sequence[Line]
    windows: Sequence[Window]
    highest: dict[tuple[UUID, str], int]
    in_flight: dict[UUID, int]
    served: Sequence[Served]

    @property
    def winners(self) -> dict[UUID, Told]:
        """The first settlement of each request in stream order: the arbiter that everybody has to agree with."""
        found: dict[UUID, Told] = {}
        for told in sorted(self.told, key=lambda told: told.sequence):
            found.setdefault(told.request_id, told)
        return found

    @property
    def lines_of(self) -> dict[UUID, list[Line]]:
        """The settlement and reversal lines of each request."""
        found: dict[UUID, list[Line]] = defaultdict(list)
        for line in self.lines:
            if line.kind in ("settlement", "reversal"):
                found[line.request_id].append(line)
        return found


async def read(world: World, customers: Sequence[Customer], *, since: int) -> Truth:
    """The truth on these customers' accounts. `since` is the stream's last sequence before they existed."""
    accounts = [customer.account_id for customer in customers]
    return Truth(
        told=[told for told in await _stream(world.nats, since=since) if told.account_id in set(accounts)],
        reservations=[Reservation(*row) for row in await world.rows(_RESERVATIONS, accounts)],
        lines=[Line(*row) for row in await world.rows(_LINES, accounts)],
        windows=[Window(*row) for row in await world.rows(_WINDOWS, accounts)],
        highest={(account, kind): taken for account, kind, taken in await world.rows(_HIGHEST, accounts)},
        in_flight=dict(await world.rows(_IN_FLIGHT, accounts)),
        served=log_of(*world.providers),
    )


async def last_sequence(world: World) -> int:
    """How many messages REQUESTS ever took."""
    return (await world.nats.jsm().stream_info(REQUESTS.name)).state.last_seq


async def open_reservations(world: World, customers: Sequence[Customer]) -> int:
    """How many prompts are held at this moment."""
    accounts = [customer.account_id for customer in customers]
    query = "SELECT count(*) FROM quota.reservations WHERE outcome IS NULL AND account_id = ANY(%s)"
    return int((await world.rows(query, accounts))[0][0])


async def backlog(world: World) -> int:
    """Settlements that quota or billing has not acknowledged yet."""
    behind = 0
    for durable in (QUOTA_REQUESTS, BILLING_REQUESTS):
        info = await world.nats.jsm().consumer_info(durable.stream, durable.name)
        behind += (info.num_pending or 0) + (info.num_ack_pending or 0)
    return behind


async def requests_in(client: NatsClient) -> set[UUID]:
    """The requests that have a settlement in REQUESTS."""
    return {told.request_id for told in await _stream(client, since=0)}


async def _stream(client: NatsClient, *, since: int) -> list[Told]:
    found: list[Told] = []
    last = (await client.jsm().stream_info(REQUESTS.name)).state.last_seq
    if last <= since:
        return found
    config = ConsumerConfig(deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=since + 1)
    stream = client.jetstream()
    subscription = await stream.subscribe(REQUEST_SETTLED.subject, ordered_consumer=True, config=config)
    try:
        while True:
            message = await subscription.next_msg(timeout=10)
            sequence = message.metadata.sequence.stream
            if (told := _told(sequence, message.data)) is not None:
                found.append(told)
            if sequence >= last:
                return found
    finally:
        await subscription.unsubscribe()


def _told(sequence: int, data: bytes) -> Told | None:
    """None for a message that is no settlement: somebody has to be able to put poison into the stream."""
    try:
        settled = json.loads(data)["data"]
        return Told(sequence, UUID(settled["request_id"]), UUID(settled["account_id"]), settled["outcome"])
    except (ValueError, KeyError, TypeError):
        return None


_RESERVATIONS = """
SELECT account_id, request_id, token_id, day, month, outcome, charged, settled_sequence, reserved_at, turn_id,
       call
FROM quota.reservations WHERE account_id = ANY(%s)
"""
_LINES = """
SELECT account_id, request_id, kind, revision, prompts, outcome, stream_sequence, day, month, attempts, input_tokens,
       output_tokens, tokens_source, coalesce(total_ms, 0)
FROM billing.ledger WHERE account_id = ANY(%s) ORDER BY account_id, sequence
"""
_WINDOWS = "SELECT account_id, kind, starts_on, used, reserved, drawn FROM quota.windows WHERE account_id = ANY(%s)"
_HIGHEST = "SELECT account_id, kind, max(taken) FROM observer.highest WHERE account_id = ANY(%s) GROUP BY 1, 2"
_IN_FLIGHT = "SELECT account_id, in_flight FROM quota.accounts WHERE account_id = ANY(%s)"
