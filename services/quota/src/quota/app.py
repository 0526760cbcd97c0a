"""Quota as one process: everything that it is made of, built here in order and taken down in reverse."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chassis import bus, faststream, process
from chassis.bus import Bus
from chassis.database import create_engine
from chassis.health import health_server
from chassis.watched import Watched
from contracts.billing import SUBSCRIPTION_CHANGED
from contracts.gateway import REQUEST_SETTLED
from contracts.plans import PlanCatalogue
from contracts.quota import BLOCK_TOKEN, READ_USAGE, RESERVE
from contracts.streams import QUOTA_REQUESTS, QUOTA_SUBSCRIPTIONS
from quota.handlers import Handlers
from quota.settings import Settings
from quota.store import Reservations, Store

SERVICE = "quota"


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[None]:
    """Quota answers while the block runs. Raises `ConfigInvalid` or `BusError` when it cannot start."""
    with process.observed(SERVICE, instance=settings.instance, log_level=settings.log_level):
        async with answering(settings):
            yield


@asynccontextmanager
async def answering(settings: Settings) -> AsyncIterator[None]:
    """The same without the process's logs and telemetry, which exist once per process."""
    plans = Watched(settings.plans_file, PlanCatalogue)
    url = settings.database_url.get_secret_value()
    engine = create_engine(url)
    store, reservations = Store(engine), Reservations(url)
    handlers = Handlers(
        plans,
        store,
        reservations,
        batch_limit=settings.batch_limit,
        deadline_seconds=settings.reserve_deadline_seconds,
    )
    try:
        # The bus is left before the stores: what was asked is still answered.
        async with (
            plans.watching(),
            bus.connect(settings.nats_url.get_secret_value(), name=SERVICE, instance=settings.instance) as connection,
        ):
            await bus.serve(connection, RESERVE, handlers.reserve, queue=SERVICE)
            async with _consuming(connection, handlers), _health(settings, connection, store, reservations):
                yield
    finally:
        await handlers.lane.close()
        await reservations.close()
        await engine.dispose()


@asynccontextmanager
async def _consuming(connection: Bus, handlers: Handlers) -> AsyncIterator[None]:
    async with (
        bus.consume(connection, REQUEST_SETTLED, QUOTA_REQUESTS, handlers.settle),
        faststream.serving(
            connection,
            faststream.answer(READ_USAGE, handlers.read_usage, queue=SERVICE),
            faststream.answer(BLOCK_TOKEN, handlers.block_token, queue=SERVICE),
            faststream.follow(connection, SUBSCRIPTION_CHANGED, QUOTA_SUBSCRIPTIONS, handlers.change_plan),
            durables=(QUOTA_SUBSCRIPTIONS,),
        ),
    ):
        yield


@asynccontextmanager
async def _health(settings: Settings, connection: Bus, store: Store, reservations: Reservations) -> AsyncIterator[None]:
    async def nats() -> bool:
        return connection.is_connected

    checks = {"nats": nats, "database": reservations.is_there, "schema": store.is_current}
    async with health_server(settings.health_host, settings.health_port, checks):
        yield
