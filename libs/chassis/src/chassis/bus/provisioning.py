"""Streams, durable consumers and buckets, made or brought up to date from `contracts.streams`.

Called by the development stack and by a Job on Kubernetes (`python -m chassis provision`), never by a service: services
need no right to create anything, and none depends on which one starts first.
"""

import asyncio
import time
from pathlib import Path

import nats
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DiscardPolicy, StorageType, StreamConfig
from nats.js.errors import APIError, NotFoundError

from chassis.bus.connection import Bus, inbox_of, servers_of, trust_in
from chassis.bus.errors import BusError
from contracts import streams

# Server error codes: no nodes to place a stream on, and no leader that could.
_NOT_YET = (10005, 10008)
PATIENCE_SECONDS = 30.0
PAUSE_SECONDS = 0.2


async def provision(url: str, *, replicas: int = 1, ca_file: Path | None = None) -> None:
    """Create or update everything that is declared. Safe to repeat; data stays. Raises `BusError`."""
    trust = trust_in(ca_file)
    try:
        client = await nats.connect(
            servers_of(url),
            name="smartroute provisioning",
            connect_timeout=5,
            inbox_prefix=inbox_of(url),
            tls=trust,
            tls_handshake_first=trust is not None,
        )
        try:
            await _provision_patiently(client, replicas)
        finally:
            await client.close()
    except NatsError as exc:
        raise BusError(f"NATS: {exc}") from exc


async def _provision_patiently(client: Client, replicas: int) -> None:
    """A cluster that has just started does not know all its nodes yet, and says so."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return await _provision_all(client, replicas)
        except APIError as exc:
            if exc.err_code not in _NOT_YET or time.monotonic() > deadline:
                raise
        await asyncio.sleep(PAUSE_SECONDS)


async def _provision_all(client: Client, replicas: int) -> None:
    for stream in streams.STREAMS:
        await _provision_stream(client, stream, replicas)
    for durable in streams.DURABLES:
        await _provision_durable(client, durable)
    for bucket in streams.BUCKETS:
        await _provision_bucket(client, bucket, replicas)


async def _provision_stream(client: Client, stream: streams.Stream, replicas: int) -> None:
    config = StreamConfig(
        name=stream.name,
        subjects=list(stream.subjects),
        storage=StorageType.FILE,
        discard=DiscardPolicy(stream.discard),
        max_bytes=stream.max_bytes,
        max_age=stream.max_age_seconds,
        duplicate_window=stream.duplicate_window_seconds,
        num_replicas=replicas,
        allow_direct=True,
    )
    await _make(client, config)


async def _make(client: Client, config: StreamConfig) -> None:
    manager = client.jsm()
    try:
        await manager.stream_info(config.name or "")
    except NotFoundError:
        await manager.add_stream(config)
    else:
        await manager.update_stream(config)


async def _provision_bucket(client: Client, bucket: streams.Bucket, replicas: int) -> None:
    # As NATS ADR-8 lays out a key-value bucket: a stream with one message per key, that takes roll-ups.
    config = StreamConfig(
        name=f"KV_{bucket.name}",
        subjects=[f"$KV.{bucket.name}.>"],
        storage=StorageType.FILE,
        discard=DiscardPolicy.NEW,
        max_msgs_per_subject=1,
        max_bytes=bucket.max_bytes,
        max_age=bucket.max_age_seconds,
        # The server wants the window within the age.
        duplicate_window=min(bucket.max_age_seconds or 120.0, 120.0),
        num_replicas=replicas,
        allow_rollup_hdrs=True,
        deny_delete=True,
        allow_direct=True,
    )
    await _make(client, config)


async def _provision_durable(client: Client, durable: streams.Durable) -> None:
    # Deliveries are counted and ended by `chassis.bus.events`, which moves the message to DEAD_LETTERS. The server's
    # own `max_deliver` would leave it behind unprocessed, with every lag metric at zero.
    await client.jsm().add_consumer(
        durable.stream,
        ConsumerConfig(
            # Named twice: so the request's subject says stream, name and filter, and permissions hold for all three.
            name=durable.name,
            durable_name=durable.name,
            filter_subject=durable.subject,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=durable.ack_wait_seconds,
            max_deliver=-1,
            max_ack_pending=durable.max_ack_pending,
        ),
    )


async def require(bus: Bus, durable: streams.Durable) -> None:
    """Raise `BusError` unless the durable was provisioned."""
    try:
        await bus.client.jsm().consumer_info(durable.stream, durable.name)
    except NotFoundError as exc:
        raise BusError(f"durable {durable.name} of stream {durable.stream} is missing: provision first") from exc
