"""Processes that die, stand still, or are told to stop."""

import asyncio
import signal
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from devstack.supervisor import Supervised
from tests.faults.books import Allowed
from tests.faults.clients import Ending, Seen
from tests.faults.fault import Act, Fault, NotInjected, Scene
from tests.faults.plays import Play
from tests.faults.truth import Truth
from tests.faults.world import eventually

DIES = Allowed(expiry=True)
# A gateway that stands still cannot renew; one whose quota does waits for an answer longer than these short leases run.
STANDS_STILL = Allowed(expiry=True, gift=True)
REACHED_WITHIN_SECONDS = 30.0
STREAMS = 100

PLACES = {
    "gateway.reserved": ("gateway-killed-reserved", "a gateway dies with the granted reply in its hand"),
    "gateway.streaming": ("gateway-killed-streaming", "a gateway dies in the middle of a stream"),
    "gateway.upstream_ended": (
        "gateway-killed-unsettled",
        "a gateway dies between the provider's end and the settlement",
    ),
    "gateway.settled": (
        "gateway-killed-settled",
        "a gateway dies after its settlement is stored, before the last bytes",
    ),
    "quota.reserved": ("quota-killed-reserved", "quota dies after the commit, before the replies"),
    "quota.folded": ("quota-killed-folded", "quota dies after it folded settlements, before it acknowledges them"),
    "billing.recorded": ("billing-killed-recorded", "billing dies after it wrote lines, before it acknowledges them"),
}


def _dies_at(place: str) -> Act:
    async def inject(scene: Scene) -> None:
        file = scene.world.failpoints / place
        file.write_text("KILL")

        async def reached() -> bool:
            return not file.exists()

        try:
            await eventually(reached, within_seconds=REACHED_WITHIN_SECONDS, what=f"a process comes by {place}")
        except TimeoutError as error:
            file.unlink(missing_ok=True)
            raise NotInjected(str(error)) from None

    return inject


def _stands_still(service: str, *, leases: float = 1.0) -> Fault:
    async def inject(scene: Scene) -> None:
        children = scene.world.children(service)
        scene.notes["stopped"] = chosen = scene.rng.choice(children)
        chosen.send(signal.SIGSTOP)
        shape = scene.world.shape
        await asyncio.sleep(shape.lease_seconds * leases + shape.sweep_seconds + 1.5)

    return Fault(
        f"{service}-stands-still",
        f"a {service} is stopped for longer than a lease, then goes on",
        inject,
        _goes_on,
        allowed=STANDS_STILL if service in ("gateway", "quota") else DIES,
    )


async def _goes_on(scene: Scene) -> None:
    child: Supervised = scene.notes["stopped"]
    child.send(signal.SIGCONT)


def _all_die(service: str) -> Fault:
    async def inject(scene: Scene) -> None:
        for child in scene.world.children(service):
            child.send(signal.SIGKILL)

    return Fault(f"every-{service}-killed", f"all replicas of {service} die at once", inject, allowed=DIES)


async def _terminate_under_streams(scene: Scene) -> None:
    """60 streams that end within the gateway's grace, 40 that do not."""
    gateway, child = scene.world.stack.gateways[0], scene.world.children("gateway")[0]
    client, customer = scene.load.client, scene.boundless
    words = [18] * 60 + [75] * 40
    streams = [
        asyncio.create_task(client.ask(customer, gateway, Play(words=count, interval_seconds=0.1), is_stream=True))
        for count in words[:STREAMS]
    ]

    async def all_speak() -> bool:
        mine = [seen for seen in client.log if seen.customer is customer and seen.play.words in (18, 75)]
        return len(mine) >= STREAMS and all(seen.has_content or seen.ended_at for seen in mine)

    await eventually(all_speak, within_seconds=10.0, what="100 streams have begun")
    child.send(signal.SIGTERM)
    scene.notes["streams"] = [await stream for stream in streams]


def _all_said_goodbye(scene: Scene, truth: Truth) -> Iterable[str]:
    streams: Sequence[Seen] = scene.notes["streams"]
    endings = Counter(seen.ending for seen in streams)
    if set(endings) - {Ending.COMPLETE, Ending.ERROR_EVENT}:
        yield f"not every stream ended in a whole answer or a typed error: {dict(endings)}"
    if not endings[Ending.COMPLETE] or not endings[Ending.ERROR_EVENT]:
        yield f"the streams were to end in both ways: {dict(endings)}"
    outcomes = Counter(truth.winners[seen.request_id].outcome for seen in streams if seen.request_id in truth.winners)
    if set(outcomes) - {"completed", "gateway_shutdown"} or outcomes.total() != len(streams):
        yield f"{len(streams)} streams were settled as {dict(outcomes)}"


async def _rolling_stop(scene: Scene) -> None:
    """Every replica of every service, one after the other, politely: what a rollout does."""
    for service in ("quota", "router", "billing", "gateway"):
        for child in scene.world.children(service):
            await child.halt()
            await child.start()


async def _collector_leaves(scene: Scene) -> None:
    await scene.world.collector.stop()


async def _collector_returns(scene: Scene) -> None:
    await scene.world.collector.start()


FAULTS = (
    *(Fault(name, what, _dies_at(place), allowed=DIES) for place, (name, what) in PLACES.items()),
    *(_stands_still(service) for service in ("gateway", "quota", "router", "billing")),
    *(_all_die(service) for service in ("gateway", "quota", "router", "billing")),
    Fault(
        "gateway-terminated",
        "SIGTERM for a gateway under 100 open streams, 40 of them longer than its grace",
        _terminate_under_streams,
        expect=_all_said_goodbye,
    ),
    Fault("rolling-stop", "every replica is stopped politely and started again", _rolling_stop),
    Fault(
        "collector-away",
        "the collector of telemetry is away",
        _collector_leaves,
        _collector_returns,
        hold_seconds=3.0,
    ),
)

REAL_LEASE = replace(
    next(fault for fault in FAULTS if fault.name == "gateway-killed-streaming"),
    name="gateway-killed-real-lease",
    what="a gateway dies in the middle of a stream; leases, sweeps and all else have the values of production",
    world="real lease",
)
