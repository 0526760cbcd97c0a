"""Quota as one process: everything that it is made of, built here in order and taken down in reverse."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncEngine

from chassis import bus, faststream, process
from chassis.bus import Bus, Receiver
from chassis.connections import require_connections
from chassis.database import create_engine
from chassis.health import health_server
from chassis.watched import Watched
from contracts.billing import PROMPTS_GRANTED, SUBSCRIPTION_CHANGED
from contracts.gateway import REQUEST_SETTLED
from contracts.plans import PlanCatalogue
from contracts.quota import BLOCK_TOKEN, READ_BOOKS, READ_USAGE, RENEW, RESERVE, SUSPEND_ACCOUNT
from contracts.streams import QUOTA_GRANTS, QUOTA_REQUESTS, QUOTA_SUBSCRIPTIONS
from quota.handlers import (
    AccountHandlers,
    AdmissionHandlers,
    BookHandlers,
    Catalogue,
    LeaseHandlers,
    SettlementHandlers,
)
from quota.settings import Settings
from quota.store import Accounts, BookKeeping, Leases, Reservations, Store, Turns
from quota.sweeper import Sweeper

SERVICE = "quota"
# Of one process, at most: the engine's pool, and the one for reservations.
CONNECTIONS = 4 + 1


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
    await require_connections(url, each=CONNECTIONS, processes=settings.most_processes)
    engine = create_engine(url)
    store, reservations = Store(engine), Reservations(url, lease_seconds=settings.lease_seconds)
    catalogue = Catalogue(plans)
    admission = AdmissionHandlers(
        catalogue,
        reservations,
        batch_limit=settings.batch_limit,
        deadline_seconds=settings.reserve_deadline_seconds,
        lease_seconds=settings.lease_seconds,
    )
    accounts = AccountHandlers(catalogue, Accounts(engine))
    try:
        # The bus is left before the stores: what was asked is still answered.
        async with (
            plans.watching(),
            connected(settings, name=SERVICE) as connection,
        ):
            await bus.serve(connection, RESERVE, admission.reserve, queue=SERVICE)
            async with (
                _upkeep(settings, connection, engine, plans) as sweeper,
                _consuming(connection, accounts, SettlementHandlers(store, waiting=sweeper.wake)),
                _health(settings, connection, store, reservations),
            ):
                yield
    finally:
        await admission.lane.close()
        await reservations.close()
        await engine.dispose()


@asynccontextmanager
async def _upkeep(
    settings: Settings, connection: Bus, engine: AsyncEngine, plans: Watched[PlanCatalogue]
) -> AsyncIterator[Sweeper]:
    """Leases are renewed and swept, and the books can be read."""
    leases = Leases(engine)
    sweeper = Sweeper(
        connection,
        leases,
        Store(engine),
        Turns(engine),
        plans,
        lease_seconds=settings.lease_seconds,
        sweep_seconds=settings.sweep_seconds,
    )
    renewals = LeaseHandlers(leases, lease_seconds=settings.lease_seconds, abandoned=sweeper.wake)
    await bus.serve(connection, RENEW, renewals.renew, queue=SERVICE)
    await bus.serve(connection, READ_BOOKS, BookHandlers(BookKeeping(engine)).read, queue=SERVICE)
    async with sweeper.sweeping():
        yield sweeper


@asynccontextmanager
async def _consuming(
    connection: Bus, accounts: AccountHandlers, settlements: SettlementHandlers
) -> AsyncIterator[None]:
    async with (
        bus.consume(connection, REQUEST_SETTLED, QUOTA_REQUESTS, settlements.settle),
        faststream.serving(
            connection,
            faststream.answer(READ_USAGE, accounts.read_usage, queue=SERVICE),
            faststream.answer(BLOCK_TOKEN, accounts.block_token, queue=SERVICE),
            faststream.answer(SUSPEND_ACCOUNT, accounts.suspend_account, queue=SERVICE),
            faststream.follow(connection, SUBSCRIPTION_CHANGED, QUOTA_SUBSCRIPTIONS, accounts.change_plan),
            faststream.follow(connection, PROMPTS_GRANTED, QUOTA_GRANTS, accounts.grant_prompts),
            durables=(QUOTA_SUBSCRIPTIONS, QUOTA_GRANTS),
        ),
    ):
        yield


@asynccontextmanager
async def receiving(settings: Settings) -> AsyncIterator[tuple[Bus, Sequence[Receiver]]]:
    """The bus, and what handles messages that were given up: the handlers of the service, in this process."""
    plans = Watched(settings.plans_file, PlanCatalogue)
    engine = create_engine(settings.database_url.get_secret_value())
    settlements = SettlementHandlers(Store(engine), waiting=lambda: None)  # a running replica sweeps
    accounts = AccountHandlers(Catalogue(plans), Accounts(engine))
    receivers = (
        bus.receiver(REQUEST_SETTLED, QUOTA_REQUESTS, lambda delivery: settlements.settle([delivery])),
        bus.receiver(
            SUBSCRIPTION_CHANGED, QUOTA_SUBSCRIPTIONS, lambda delivery: accounts.change_plan(delivery.payload)
        ),
        bus.receiver(PROMPTS_GRANTED, QUOTA_GRANTS, lambda delivery: accounts.grant_prompts(delivery.payload)),
    )
    try:
        async with connected(settings, name=f"{SERVICE} dead letters") as connection:
            yield connection, receivers
    finally:
        await engine.dispose()


def connected(settings: Settings, *, name: str) -> AbstractAsyncContextManager[Bus]:
    """A connection to the bus of these settings."""
    url = settings.nats_url.get_secret_value()
    return bus.connect(url, name=name, instance=settings.instance, ca_file=settings.nats_ca_file)


@asynccontextmanager
async def _health(settings: Settings, connection: Bus, store: Store, reservations: Reservations) -> AsyncIterator[None]:
    async def nats() -> bool:
        return connection.is_connected

    checks = {"nats": nats, "database": reservations.is_there, "schema": store.is_current}
    async with health_server(settings.health_host, settings.health_port, checks):
        yield
