"""The router as one context manager: everything is built here, and taken down in reverse."""

import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chassis import bus, process, telemetry
from chassis.bus import Bus, PeerUnavailable
from chassis.health import health_server
from contracts.decisions import TAKE_OVER, Knowledge, TakeOver
from contracts.gateway import ATTEMPTS_FINISHED
from contracts.router import CHOOSE, DESCRIBE
from router.handlers import Handlers
from router.learning import Learner
from router.probing import Permits
from router.recording import Recorder
from router.settings import Settings
from router.store import Store
from router.switchboard import Switchboard

log = logging.getLogger(__name__)

SERVICE = "router"
TAKE_OVER_SECONDS = 1.0


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[None]:
    """A router that answers while the block runs. Raises `ConfigurationRefused` or `BusError` when it cannot start."""
    with process.observed(SERVICE, instance=settings.instance, log_level=settings.log_level):
        async with answering(settings):
            yield


@asynccontextmanager
async def answering(settings: Settings) -> AsyncIterator[None]:
    """The same without the process's logs and telemetry, which exist once per process."""
    store = Store(plans_file=settings.plans_file, profiles_file=settings.profiles_file)
    async with bus.connect(
        settings.nats_url, name=SERVICE, instance=settings.instance, ca_file=settings.nats_ca_file
    ) as connection:
        recorder = Recorder(connection, share=settings.recorded_share)
        switchboard = Switchboard(store.current, instance=settings.instance, on_decision=recorder.add)
        async with (
            recorder.recording(),
            store.watching(switchboard.configure),
            Permits(connection, switchboard).asking(),
            _serving(settings, connection, store, switchboard),
        ):
            yield


@asynccontextmanager
async def _serving(settings: Settings, connection: Bus, store: Store, switchboard: Switchboard) -> AsyncIterator[None]:
    """Learn, then answer; ready last: whoever is told so may ask at once."""
    handlers = Handlers(switchboard)
    learner = Learner(connection, switchboard)
    telemetry.meter.create_observable_gauge(
        "smartroute.router.target.set_aside",
        callbacks=[handlers.observe_targets],
        description="1 while a target is set aside for its failures",
    )

    async def is_connected() -> bool:
        return connection.is_connected

    async def is_configured() -> bool:
        return bool(store.current.candidates)

    checks = {"nats": is_connected, "configuration": is_configured}
    await bus.hear(connection, ATTEMPTS_FINISHED, handlers.attempts_finished)
    await learner.listen()
    await _take_over(connection, switchboard)
    await bus.serve(connection, CHOOSE, handlers.choose, queue=SERVICE)
    await bus.serve(connection, DESCRIBE, handlers.describe, queue=SERVICE)
    await bus.serve(connection, TAKE_OVER, handlers.take_over, queue=SERVICE)
    async with learner.learning(), health_server(settings.health_host, settings.health_port, checks):
        yield


async def _take_over(connection: Bus, switchboard: Switchboard) -> None:
    """What another replica has learnt. Without one, or without its answer, everything is learnt anew."""
    ask = TakeOver(instance=connection.instance)
    try:
        known = await bus.ask(connection, TAKE_OVER, ask, timeout_seconds=TAKE_OVER_SECONDS)
    except PeerUnavailable as exc:
        log.info("nothing taken over", extra={"reason": exc.reason})
        return
    if isinstance(known, Knowledge):
        switchboard.take_over(known, now=time.monotonic())
        log.info("taken over", extra={"targets": len(known.targets), "pins": len(known.pins)})
