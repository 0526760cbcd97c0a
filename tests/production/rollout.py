"""A rolling restart as a platform does it: one process at a time, each ready again before the next."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from devstack.probes import http_ready
from devstack.stack import Stack
from devstack.supervisor import Supervised
from tests.production.crowd import Crowd

# What a readiness probe needs to notice, and the balancer with it: `preStop` sleeps for longer in the manifests.
OUT_OF_ROTATION_SECONDS = 0.5
BACK_WITHIN_SECONDS = 90.0


@dataclass(frozen=True, slots=True)
class Restarted:
    """One process: when it was told to go, how long until it was gone, and until it was back."""

    name: str
    began_at: float
    gone_seconds: float
    back_seconds: float

    def __str__(self) -> str:
        return f"{self.name}: gone after {self.gone_seconds:.1f} s, back after {self.back_seconds:.1f} s"


async def restart_service(stack: Stack, service: str, crowd: Crowd) -> list[Restarted]:
    """Its replicas one by one. A gateway leaves the rotation before it is told to stop."""
    done = []
    for number, child in enumerate(stack.children(service)):
        ready = http_ready(f"{stack.health_urls(service)[number]}/readyz")
        if service == "gateway":
            gateway = stack.gateways[number]
            crowd.rotation.remove(gateway)
            await asyncio.sleep(OUT_OF_ROTATION_SECONDS)
            done.append(await _restart(child, signal.SIGTERM, ready))
            crowd.rotation.append(gateway)
        else:
            done.append(await _restart(child, signal.SIGTERM, ready))
    return done


async def restart_nats(stack: Stack) -> list[Restarted]:
    """Node by node: each says that it goes (lame duck), hands over what it leads, and has caught up before the next."""
    done = []
    for child in stack.children("nats"):
        done.append(await _restart(child, signal.SIGUSR2, child.program.ready))
    return done


async def _restart(child: Supervised, stop: signal.Signals, ready: Callable[[], Awaitable[bool]]) -> Restarted:
    pid, began = child.pid, time.monotonic()
    child.send(stop)
    await _until(lambda: _is(child.pid != pid), what=f"{child.name} went")
    gone = time.monotonic()
    await _until(lambda: _is(child.pid not in (None, pid)), what=f"{child.name} came")
    await _until(ready, what=f"{child.name} is ready again")
    return Restarted(child.name, began, gone - began, time.monotonic() - began)


async def _is(value: bool) -> bool:
    return value


async def _until(holds: Callable[[], Awaitable[bool]], *, what: str) -> None:
    deadline = time.monotonic() + BACK_WITHIN_SECONDS
    while not await holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {BACK_WITHIN_SECONDS:g} s: {what}")
        await asyncio.sleep(0.05)
