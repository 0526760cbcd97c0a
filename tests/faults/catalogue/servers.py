"""NATS and Postgres that restart, die, fill up, lock or refuse."""

import asyncio
import signal
from collections.abc import Iterable
from typing import Any, LiteralString

import psycopg
from nats.js.api import StreamConfig

from contracts.streams import REQUESTS
from tests.faults.books import Allowed
from tests.faults.fault import Act, Fault, NotInjected, Scene
from tests.faults.truth import Truth

# Requests that got no answer from quota are given up. None that was answered may be: while nobody can renew, nobody
# may expire either.
CUT_OFF = Allowed(expiry=True)
_SERVICES = "usename IN ('gateway', 'quota', 'billing') AND application_name <> 'faults'"
_END_SESSIONS: LiteralString = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {_SERVICES}"
_COUNT_SESSIONS: LiteralString = f"SELECT count(*) FROM pg_stat_activity WHERE {_SERVICES}"


def _killed(server: str) -> Act:
    async def inject(scene: Scene) -> None:
        for child in scene.world.children(server):
            child.send(signal.SIGKILL)

    return inject


def _halted(server: str) -> Act:
    async def inject(scene: Scene) -> None:
        for child in scene.world.children(server):
            await child.halt()

    return inject


def _started(server: str) -> Act:
    async def heal(scene: Scene) -> None:
        await asyncio.gather(*(child.start() for child in scene.world.children(server)))

    return heal


async def _fill(scene: Scene) -> None:
    """From now on REQUESTS refuses: it may not hold more than it has."""
    jsm = scene.world.nats.jsm()
    info = await jsm.stream_info(REQUESTS.name)
    scene.notes["config"] = info.config
    await jsm.update_stream(_with_room(info.config, max_bytes=max(info.state.bytes, 1)))


async def _make_room(scene: Scene) -> None:
    config: StreamConfig = scene.notes["config"]
    await scene.world.nats.jsm().update_stream(config)


def _with_room(config: StreamConfig, *, max_bytes: int) -> StreamConfig:
    return config.evolve(max_bytes=max_bytes)


def _refused_meanwhile(scene: Scene, _: Truth) -> Iterable[str]:
    refused = [seen for seen in scene.load.log if seen.status == 503]
    if not refused:
        yield "nobody was refused with 503 while settlements could not be stored"
    for seen in refused:
        if not seen.retry_after:
            yield f"a 503 ({seen.error_code}) without Retry-After"
            return


def _leader(scene_note: str) -> Act:
    async def inject(scene: Scene) -> None:
        info = await scene.world.nats.jsm().stream_info(REQUESTS.name)
        leader = info.cluster.leader if info.cluster else None
        child = next((child for child in scene.world.children("nats") if child.name == leader), None)
        if child is None:
            raise NotInjected(f"no node of the cluster leads {REQUESTS.name}: {leader}")
        scene.notes[scene_note] = leader
        child.send(signal.SIGKILL)

    return inject


async def _lose_quorum(scene: Scene) -> None:
    nodes = scene.world.children("nats")
    scene.notes["lost"] = lost = scene.rng.sample(nodes, k=len(nodes) // 2 + 1)
    for node in lost:
        node.send(signal.SIGKILL)
        await node.halt()


async def _regain_quorum(scene: Scene) -> None:
    await asyncio.gather(*(node.start() for node in scene.notes["lost"]))


async def _lock_tables(scene: Scene) -> None:
    """What a careless migration does: nobody can read or write the tables of the hot path."""
    connection = await psycopg.AsyncConnection.connect(scene.world.stack.database_url)
    scene.notes["locker"] = connection
    await connection.execute("LOCK TABLE quota.windows, quota.reservations, billing.ledger IN ACCESS EXCLUSIVE MODE")


async def _unlock_tables(scene: Scene) -> None:
    connection: psycopg.AsyncConnection[Any] = scene.notes["locker"]
    await connection.close()


async def _eat_connections(scene: Scene) -> None:
    """Take every connection that the server has, until the services have lost theirs and get no new one."""
    eaten: list[psycopg.AsyncConnection[Any]] = []
    scene.notes["eaten"] = eaten
    async with scene.world.superuser() as watcher:
        for _ in range(20):
            await watcher.execute(_END_SESSIONS)
            while connection := await _one_more(scene):
                eaten.append(connection)
            ((left,),) = await (await watcher.execute(_COUNT_SESSIONS)).fetchall()
            if left == 0:
                return
    raise NotInjected(f"the services kept {left} of their connections")


async def _one_more(scene: Scene) -> psycopg.AsyncConnection[Any] | None:
    # Not as superuser: the last few connections are the superuser's, and ours to watch with.
    url = scene.world.stack.service_environment("billing")["BILLING_DATABASE_URL"]
    try:
        return await psycopg.AsyncConnection.connect(url, connect_timeout=5, application_name="faults")
    except psycopg.OperationalError:
        return None


async def _give_connections_back(scene: Scene) -> None:
    eaten: list[psycopg.AsyncConnection[Any]] = scene.notes["eaten"]
    for connection in eaten:
        await connection.close()


FAULTS = (
    Fault(
        "nats-restarted",
        "NATS is stopped and started again",
        _halted("nats"),
        _started("nats"),
        hold_seconds=0.5,
        allowed=CUT_OFF,
    ),
    Fault("nats-killed", "NATS dies", _killed("nats"), allowed=CUT_OFF),
    Fault(
        "nats-away-long",
        "NATS is away for longer than a lease",
        _halted("nats"),
        _started("nats"),
        hold_seconds=7.0,
        allowed=CUT_OFF,
        expect=_refused_meanwhile,
    ),
    Fault(
        "store-full",
        "the stream of settlements is full, then gets room again",
        _fill,
        _make_room,
        hold_seconds=4.5,
        expect=_refused_meanwhile,
    ),
    Fault("postgres-killed", "Postgres dies", _killed("postgres"), allowed=CUT_OFF),
    Fault(
        "postgres-restarted",
        "Postgres is stopped and started again",
        _halted("postgres"),
        _started("postgres"),
        hold_seconds=0.5,
        allowed=CUT_OFF,
    ),
    Fault(
        "tables-locked",
        "the tables of quota and the ledger are locked for ten seconds",
        _lock_tables,
        _unlock_tables,
        hold_seconds=10.0,
        allowed=CUT_OFF,
    ),
    Fault(
        "connections-exhausted",
        "Postgres has no connection left, and the services lose theirs",
        _eat_connections,
        _give_connections_back,
        hold_seconds=2.0,
        allowed=CUT_OFF,
        expect=_refused_meanwhile,
    ),
    Fault(
        "nats-leader-killed",
        "of three NATS nodes the one that leads the stream of settlements dies",
        _leader("leader"),
        allowed=CUT_OFF,
        world="cluster",
    ),
    Fault(
        "nats-quorum-lost",
        "two of three NATS nodes are away, then come back",
        _lose_quorum,
        _regain_quorum,
        hold_seconds=4.0,
        allowed=CUT_OFF,
        expect=_refused_meanwhile,
        world="cluster",
    ),
)
