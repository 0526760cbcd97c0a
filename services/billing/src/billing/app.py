"""Billing as one process: everything that it is made of, built here in order and taken down in reverse."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from billing import handlers
from billing.relay import Relay
from billing.settings import Settings
from billing.store import Store
from chassis import bus, faststream, migrations, process
from chassis.database import create_engine
from chassis.health import health_server
from chassis.watched import Watched
from contracts.gateway import ACCOUNT_OPENED, REQUEST_SETTLED
from contracts.plans import PlanCatalogue
from contracts.streams import BILLING_ACCOUNTS, BILLING_REQUESTS


@asynccontextmanager
async def build_app(settings: Settings) -> AsyncIterator[None]:
    """The service runs while the block does. Raises `ConfigInvalid` or `BusError` when it cannot start."""
    with process.observed("billing", instance=settings.instance, log_level=settings.log_level):
        catalogue = Watched(settings.plans_file, PlanCatalogue)
        async with opened_store(settings) as store, _connected(settings) as connection:
            relay = Relay(store, connection, publish_timeout_seconds=settings.publish_timeout_seconds)
            accounts = faststream.follow(
                connection,
                ACCOUNT_OPENED,
                BILLING_ACCOUNTS,
                handlers.open_account(store, catalogue, opened=relay.wake),
            )

            async def nats() -> bool:
                return connection.is_connected

            async def schema() -> bool:
                return await migrations.is_current(store.engine, "billing")

            checks = {"nats": nats, "database": store.is_there, "schema": schema}
            async with (
                catalogue.watching(),
                relay.running(),
                bus.consume(connection, REQUEST_SETTLED, BILLING_REQUESTS, handlers.record_settlements(store)),
                faststream.serving(connection, accounts, durables=(BILLING_ACCOUNTS,)),
                health_server(settings.health_host, settings.health_port, checks),
            ):
                yield


@asynccontextmanager
async def opened_store(settings: Settings) -> AsyncIterator[Store]:
    """The store of these settings; its connections are closed on the way out."""
    url = settings.database_url.get_secret_value()
    store = Store(create_engine(url), url)
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def _connected(settings: Settings) -> AsyncIterator[bus.Bus]:
    url = settings.nats_url.get_secret_value()
    async with bus.connect(url, name="billing", instance=settings.instance) as connection:
        yield connection
