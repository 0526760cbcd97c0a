"""The router as one context manager: everything is built here, and taken down in reverse."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chassis import bus, process, telemetry
from chassis.health import health_server
from contracts.gateway import ATTEMPTS_FINISHED
from contracts.router import CHOOSE, DESCRIBE
from router.handlers import Handlers
from router.settings import Settings
from router.store import Store
from router.switchboard import Switchboard

SERVICE = "router"


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
    switchboard = Switchboard(store.current)
    handlers = Handlers(switchboard)
    telemetry.meter.create_observable_gauge(
        "smartroute.router.target.set_aside",
        callbacks=[handlers.observe_targets],
        description="1 while a target is set aside for its failures",
    )
    async with bus.connect(settings.nats_url, name=SERVICE, instance=settings.instance) as connection:

        async def is_connected() -> bool:
            return connection.is_connected

        async def is_configured() -> bool:
            return bool(store.current.candidates)

        checks = {"nats": is_connected, "configuration": is_configured}
        await bus.hear(connection, ATTEMPTS_FINISHED, handlers.attempts_finished)
        await bus.serve(connection, CHOOSE, handlers.choose, queue=SERVICE)
        await bus.serve(connection, DESCRIBE, handlers.describe, queue=SERVICE)
        # Last: whoever is told "ready" may ask at once.
        async with (
            store.watching(switchboard.configure),
            health_server(settings.health_host, settings.health_port, checks),
        ):
            yield
