"""Three NATS nodes: the product's streams have a copy on each, and the death of one is nobody's end."""

import signal
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from uuid import uuid4

import pytest_asyncio

from chassis import bus
from chassis.bus import provision, publish
from contracts.gateway import ACCOUNT_OPENED, AccountOpened
from contracts.streams import ACCOUNTS, STREAMS
from devstack import nats
from devstack.nats import NatsCluster
from devstack.pytest_plugin import short_folder
from devstack.supervisor import Supervised, Supervisor

Running = tuple[NatsCluster, Sequence[Supervised]]


@pytest_asyncio.fixture
async def cluster() -> AsyncIterator[Running]:
    with short_folder() as folder:
        made = nats.prepare_cluster(folder / "nats", logs=folder)
        async with Supervisor() as supervisor:
            nodes = await supervisor.start(*(node.program for node in made.nodes))
            yield made, nodes


async def test_every_stream_has_a_copy_on_every_node(cluster: Running) -> None:
    made, nodes = cluster
    await provision(made.url, replicas=3)
    async with bus.connect(made.url, name="test", instance="test") as connection:
        for stream in STREAMS:
            info = await connection.client.jsm().stream_info(stream.name)
            assert info.config.num_replicas == 3
            assert info.cluster is not None
            names = {info.cluster.leader, *(peer.name for peer in info.cluster.replicas or ())}
            assert names == {node.name for node in nodes}


async def test_events_are_stored_although_the_leader_dies(cluster: Running) -> None:
    made, nodes = cluster
    await provision(made.url, replicas=3)
    opened = AccountOpened(account_id=uuid4(), name="acme", opened_at=datetime.now(UTC))
    async with bus.connect(made.url, name="test", instance="test") as connection:
        assert await publish(connection, ACCOUNT_OPENED, opened, event_id="one", timeout_seconds=10) == 1
        info = await connection.client.jsm().stream_info(ACCOUNTS.name)
        assert info.cluster is not None
        next(node for node in nodes if node.name == info.cluster.leader).send(signal.SIGKILL)
        assert await publish(connection, ACCOUNT_OPENED, opened, event_id="two", timeout_seconds=30) == 2
