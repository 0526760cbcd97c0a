"""Billing as one process: everything that it is made of, built here in order and taken down in reverse."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from billing import handlers
from billing.closing import Closer
from billing.errors import PricesUnfit
from billing.payments import PaymentPort, opened_payments
from billing.reconcile import Minutely, known_keys
from billing.relay import Relay
from billing.settings import Settings
from billing.store import Store
from chassis import bus, faststream, process, schema
from chassis.connections import require_connections
from chassis.database import create_engine
from chassis.health import Check, health_server
from chassis.watched import Watched
from contracts.billing import (
    READ_ACTIVITY,
    READ_RECEIPT,
    READ_SUBSCRIPTION,
    REQUEST_UPGRADE,
    TAKE_PAYMENT_NOTICE,
    WITHDRAW_UPGRADE,
)
from contracts.gateway import ACCOUNT_OPENED, REQUEST_SETTLED
from contracts.plans import PlanCatalogue
from contracts.streams import BILLING_ACCOUNTS, BILLING_REQUESTS

SERVICE = "billing"
# Of one process, at most: the pool, those of ledger, activity and closes, the one that listens, and the one that
# compares the books.
CONNECTIONS = 4 + 3 + 1 + 1


@asynccontextmanager
async def build_app(settings: Settings) -> AsyncIterator[None]:
    """The service runs while the block does. Raises `ConfigInvalid` or `BusError` when it cannot start."""
    with process.observed(SERVICE, instance=settings.instance, log_level=settings.log_level):
        catalogue = Watched(settings.plans_file, PlanCatalogue)
        check_prices(settings, catalogue.value)
        url = settings.database_url.get_secret_value()
        await require_connections(url, each=CONNECTIONS, processes=settings.most_processes)
        async with (
            opened_store(settings) as store,
            opened_payments(settings) as port,
            connected(settings) as connection,
        ):
            relay = Relay(
                store.subscriptions,
                store.commits,
                connection,
                publish_timeout_seconds=settings.publish_timeout_seconds,
            )
            closer = Closer(store.closes, settings.close_key_file, every_seconds=settings.close_seconds)
            minutely = _minutely(settings, store, connection)
            accounts = faststream.follow(
                connection,
                ACCOUNT_OPENED,
                BILLING_ACCOUNTS,
                handlers.open_account(store.subscriptions, catalogue, opened=relay.wake),
            )

            await _answer(connection, store, catalogue, port)
            async with (
                catalogue.watching(),
                relay.running(),
                closer.running(),
                bus.consume(connection, REQUEST_SETTLED, BILLING_REQUESTS, handlers.record_settlements(store.ledger)),
                faststream.serving(connection, accounts, durables=(BILLING_ACCOUNTS,)),
                minutely.running(),
                health_server(settings.health_host, settings.health_port, _checks(store, connection)),
            ):
                yield


def _minutely(settings: Settings, store: Store, connection: bus.Bus) -> Minutely:
    return Minutely(
        store.url,
        store.reconciliations,
        connection,
        lambda: known_keys(settings.close_key_file),
        every_seconds=settings.reconcile_seconds,
    )


async def _answer(connection: bus.Bus, store: Store, catalogue: Watched[PlanCatalogue], port: PaymentPort) -> None:
    """Everything that billing is asked, until the bus is drained."""
    upgrades = store.upgrades
    standing = handlers.read_subscription(store.subscriptions, upgrades, decides=port.decides)
    notices = handlers.take_payment_notice(store.payments, catalogue, port)
    await bus.serve(connection, READ_RECEIPT, handlers.read_receipt(store.ledger), queue=SERVICE)
    await bus.serve(connection, READ_ACTIVITY, handlers.read_activity(store.activity), queue=SERVICE)
    await bus.serve(connection, READ_SUBSCRIPTION, standing, queue=SERVICE)
    await bus.serve(connection, REQUEST_UPGRADE, handlers.request_upgrade(upgrades, catalogue, port), queue=SERVICE)
    await bus.serve(connection, WITHDRAW_UPGRADE, handlers.withdraw_upgrade(upgrades, port), queue=SERVICE)
    await bus.serve(connection, TAKE_PAYMENT_NOTICE, notices, queue=SERVICE)


def check_prices(settings: Settings, catalogue: PlanCatalogue) -> None:
    """Raises `PricesUnfit` when something is for sale that is no plan."""
    unknown = sorted((settings.stripe_prices or {}).keys() - set(catalogue.names))
    if unknown:
        raise PricesUnfit(unknown, catalogue.names)


def _checks(store: Store, connection: bus.Bus) -> Mapping[str, Check]:
    """What has to hold for this replica to be ready."""

    async def nats() -> bool:
        return connection.is_connected

    async def current() -> bool:
        return await schema.is_current(store.engine, SERVICE)

    return {"nats": nats, "database": store.is_there, "schema": current}


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
async def connected(settings: Settings, *, wait_seconds: float = 30.0) -> AsyncIterator[bus.Bus]:
    """A connection to the bus of these settings. Raises `BusError` when nobody answers for so long."""
    url = settings.nats_url.get_secret_value()
    async with bus.connect(
        url, name=SERVICE, instance=settings.instance, ca_file=settings.nats_ca_file, wait_seconds=wait_seconds
    ) as connection:
        yield connection


@asynccontextmanager
async def receiving(settings: Settings) -> AsyncIterator[tuple[bus.Bus, Sequence[bus.Receiver]]]:
    """The bus, and what handles messages that were given up: the handlers of the service, in this process."""
    catalogue = Watched(settings.plans_file, PlanCatalogue)
    async with opened_store(settings) as store, connected(settings) as connection:
        record = handlers.record_settlements(store.ledger)
        # A running replica looks into the outbox every second.
        open_account = handlers.open_account(store.subscriptions, catalogue, opened=lambda: None)
        yield (
            connection,
            (
                bus.receiver(REQUEST_SETTLED, BILLING_REQUESTS, lambda delivery: record([delivery])),
                bus.receiver(ACCOUNT_OPENED, BILLING_ACCOUNTS, lambda delivery: open_account(delivery.payload)),
            ),
        )
