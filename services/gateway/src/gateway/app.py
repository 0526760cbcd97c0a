"""The gateway as a running process: everything is made here, in order, and unmade in the opposite order."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.types import ASGIApp

from chassis import bus
from chassis.bus import Bus
from chassis.connections import require_connections
from chassis.database import create_engine
from chassis.health import Check, health_server
from chassis.schema import is_current
from chassis.serving import serving
from chassis.watched import Watched
from contracts.gateway import TOKEN_REVOKED, TokenRevoked
from contracts.plans import PlanCatalogue
from gateway import accounts
from gateway.admission import Desk
from gateway.api import build_api
from gateway.auth import Authenticator
from gateway.budget import Budget
from gateway.cards import Cards
from gateway.claims import ClaimLimits, Claims
from gateway.edge import Limits
from gateway.exchange import AnswerLimits, Exchange
from gateway.features import reader
from gateway.handlers.answers import Answers, Endpoint
from gateway.handlers.caller import build_caller
from gateway.handlers.models import ReadCards
from gateway.handlers.receipts import ReadReceipt, build_read_receipt
from gateway.handlers.usage import ReadUsage, build_read_usage
from gateway.idempotency import Idempotency
from gateway.journal import Journal, journal
from gateway.keys import ProviderKeys
from gateway.leases import Leases
from gateway.peers import Peers
from gateway.portal.app import Surroundings, portal
from gateway.portal.documentation.figures import figures_of
from gateway.protocol import HeaderLimits, guarded
from gateway.relay import Calls
from gateway.reports import Reports
from gateway.responses import ResponseLimits, Responses
from gateway.sealing import Sealing
from gateway.settings import PortalSettings, Settings
from gateway.settlement import Settler
from gateway.store import ClaimStore, ResponseStore, Store
from gateway.turns import ToolCallIds
from gateway.upstream import Upstream, upstream
from gateway.wire.chat.decode import from_chat_request
from gateway.wire.completions.decode import from_completions_request
from gateway.wire.responses.decode import from_responses_request

# Of one process, at most: the pool for requests, and the one for pages.
CONNECTIONS = 4 + 4
# Retries that were not needed are saved up for so long (Finagle's budget).
RETRIES_SAVED_SECONDS = 10.0


@asynccontextmanager
async def running(settings: Settings, of_portal: PortalSettings) -> AsyncIterator[None]:
    """Serve while the block runs. Leaving it first takes nothing new, then lets open responses end."""
    plans = Watched(settings.plans_file, PlanCatalogue)
    url = settings.database_url.get_secret_value()
    await require_connections(url, each=CONNECTIONS, processes=settings.most_processes)
    engine = create_engine(url)
    store = Store(engine)
    authenticator = build_authenticator(settings, store)
    is_accepting = False

    async with AsyncExitStack() as stack:
        stack.push_async_callback(engine.dispose)
        await stack.enter_async_context(plans.watching())
        connection = await stack.enter_async_context(_connected(settings))
        await forget_revoked(connection, authenticator)
        await stack.enter_async_context(_paying_debts(settings, connection, store, authenticator))

        async def accepts() -> bool:
            return is_accepting

        checks = {"accepting": accepts, **_checks(engine, connection, store)}
        await stack.enter_async_context(health_server(settings.health_host, settings.health_port, checks))
        keys = ClaimStore(engine)
        key, previous_key = _signing_keys(settings)
        sealing = Sealing(key, previous_key=previous_key)
        stored = Responses(ResponseStore(engine), sealing, _response_limits(settings))
        hot = await stack.enter_async_context(
            answering(settings, connection, authenticator, plans=plans, keys=keys, stored=stored)
        )
        asked = _asked(settings, connection, keys)
        pages = await stack.enter_async_context(_paged(settings, of_portal, connection, plans, asked))
        api = build_public(settings, authenticator, asked, plans=plans, stored=stored, hot=hot, portal=pages)
        await stack.enter_async_context(_serving_customers(settings, api))
        is_accepting = True  # only now: whoever is told "ready" may connect at once
        try:
            yield
        finally:
            is_accepting = False


def _connected(settings: Settings) -> AbstractAsyncContextManager[Bus]:
    url = settings.nats_url.get_secret_value()
    return bus.connect(url, name="gateway", instance=settings.instance, ca_file=settings.nats_ca_file)


def build_authenticator(settings: Settings, store: Store) -> Authenticator:
    return Authenticator(
        store,
        cache_seconds=settings.token_cache_seconds,
        refusal_cache_seconds=settings.token_refusal_cache_seconds,
        cache_entries=settings.token_cache_entries,
        lookup_timeout_seconds=settings.token_lookup_timeout_seconds,
    )


@asynccontextmanager
async def answering(
    settings: Settings,
    connection: Bus,
    authenticator: Authenticator,
    *,
    plans: Watched[PlanCatalogue],
    keys: ClaimStore,
    stored: Responses,
) -> AsyncIterator[Mapping[str, ASGIApp]]:
    """The hot endpoints by their path, and what they need while they run. Leaving it settles what was cut off."""
    claims = Claims(keys, _claim_limits(settings))
    async with (
        upstream(ProviderKeys()) as providers,
        journal(settings.data_dir, instance=settings.instance) as records,
    ):
        exchange = build_exchange(
            settings, connection, authenticator, plans=plans, providers=providers, records=records
        )
        async with claims.running(), stored.purging(), exchange.running():
            answers = Answers(
                exchange,
                Idempotency(claims, exchange.answer),
                authenticator,
                plans,
                body_limit_bytes=settings.body_limit_bytes,
                body_timeout_seconds=settings.body_timeout_seconds,
            )
            yield {f"/{endpoint.path}": answers.endpoint(endpoint) for endpoint in _endpoints(stored)}


def _endpoints(stored: Responses) -> tuple[Endpoint, ...]:
    return (
        Endpoint("chat/completions", from_chat_request),
        Endpoint("completions", from_completions_request),
        Endpoint("responses", from_responses_request, stored.prepare),
    )


def build_exchange(
    settings: Settings,
    connection: Bus,
    authenticator: Authenticator,
    *,
    plans: Watched[PlanCatalogue],
    providers: Upstream,
    records: Journal,
) -> Exchange:
    key, previous_key = _signing_keys(settings)
    peers = Peers(
        connection,
        reserve_timeout_seconds=settings.reserve_timeout_seconds,
        choose_timeout_seconds=settings.choose_timeout_seconds,
    )
    leases = Leases(peers, instance=settings.instance)
    sealing = Sealing(key, previous_key=previous_key)
    return Exchange(
        Desk(
            peers,
            plans,
            leases,
            instance=settings.instance,
            last_plan_after_seconds=settings.last_plan_after_seconds,
        ),
        _calls(settings, providers, Reports(connection)),
        Settler(connection, records, timeout_seconds=settings.settle_timeout_seconds, acknowledged=leases.release),
        leases,
        reader(sealing),
        instance=settings.instance,
        authenticator=authenticator,
        tool_call_ids=ToolCallIds(key, previous_key=previous_key),
        sealing=sealing,
        limits=AnswerLimits(
            answer_seconds=settings.answer_limit_seconds,
            stall_seconds=settings.client_stall_seconds,
            open_requests=settings.open_requests_limit,
        ),
    )


def _calls(settings: Settings, providers: Upstream, reports: Reports) -> Calls:
    """How providers are called, with the budgets of this process."""
    return Calls(
        providers,
        reports,
        retries=Budget(
            ratio=settings.retries_per_request,
            per_second=settings.retries_per_second,
            burst=settings.retries_per_second * RETRIES_SAVED_SECONDS,
        ),
        hedges=Budget(ratio=settings.hedges_per_request, per_second=0, burst=settings.hedges_saved),
    )


def _signing_keys(settings: Settings) -> tuple[bytes, bytes | None]:
    """The key in force, and the one before it."""
    previous = settings.previous_signing_key
    key = settings.signing_key.get_secret_value().encode()
    return key, previous.get_secret_value().encode() if previous is not None else None


async def forget_revoked(connection: Bus, authenticator: Authenticator) -> None:
    """Drop a token from the cache the moment that any replica or command says it is revoked."""

    def on_revoked(revoked: TokenRevoked) -> None:
        authenticator.forget(revoked.token_id)

    await bus.hear(connection, TOKEN_REVOKED, on_revoked)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What endpoints and pages ask the other services: the same questions, the same figures."""

    read_cards: ReadCards
    read_usage: ReadUsage
    read_receipt: ReadReceipt


def _asked(settings: Settings, connection: Bus, keys: ClaimStore) -> _Asked:
    return _Asked(
        read_cards=Cards(connection, timeout_seconds=settings.choose_timeout_seconds).read,
        read_usage=build_read_usage(connection, timeout_seconds=settings.usage_timeout_seconds),
        read_receipt=build_read_receipt(
            connection,
            keys,
            timeout_seconds=settings.receipt_timeout_seconds,
            wait_seconds=settings.receipt_wait_seconds,
            longest_seconds=settings.answer_limit_seconds,
        ),
    )


@asynccontextmanager
async def _paged(
    settings: Settings, of_portal: PortalSettings, connection: Bus, plans: Watched[PlanCatalogue], asked: _Asked
) -> AsyncIterator[ASGIApp]:
    """The portal, with connections of its own: pages never wait behind requests, nor these behind pages."""
    engine = create_engine(settings.database_url.get_secret_value())
    key, _ = _signing_keys(settings)
    given = Surroundings(
        bus=connection,
        engine=engine,
        plans=lambda: plans.value,
        read_cards=asked.read_cards,
        read_usage=asked.read_usage,
        read_receipt=asked.read_receipt,
        endpoint_url=of_portal.portal_endpoint_url or own_url(settings),
        signing_key=key,
        figures=figures_of(settings),
    )
    try:
        async with portal(of_portal, given) as pages:
            yield pages
    finally:
        await engine.dispose()


def own_url(settings: Settings) -> str:
    """Where this process reaches itself: a wildcard address listens on the loopback too."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def build_public(
    settings: Settings,
    authenticator: Authenticator,
    asked: _Asked,
    *,
    plans: Watched[PlanCatalogue],
    stored: Responses,
    hot: Mapping[str, ASGIApp],
    portal: ASGIApp,
) -> ASGIApp:
    """What customers reach. `hot` are the raw endpoints by their path."""
    return build_api(
        build_caller(authenticator),
        plans=lambda: plans.value,
        read_cards=asked.read_cards,
        read_usage=asked.read_usage,
        read_receipt=asked.read_receipt,
        read_response=stored.read,
        delete_response=stored.delete,
        hot=hot,
        portal=portal,
        limits=Limits(
            header_bytes=settings.header_limit_bytes,
            header_count=settings.header_limit_count,
            body_bytes=settings.body_limit_bytes,
        ),
    )


def _serving_customers(settings: Settings, api: ASGIApp) -> AbstractAsyncContextManager[None]:
    return serving(
        api,
        host=settings.host,
        port=settings.port,
        reuse_port=settings.reuse_port,
        grace_seconds=settings.grace_seconds,
        http=guarded(_header_limits(settings)),
    )


def _claim_limits(settings: Settings) -> ClaimLimits:
    return ClaimLimits(
        hold_seconds=settings.idempotency_hold_seconds,
        keep_seconds=settings.idempotency_keep_seconds,
        body_bytes=settings.idempotency_body_limit_bytes,
        timeout_seconds=settings.idempotency_timeout_seconds,
    )


def _response_limits(settings: Settings) -> ResponseLimits:
    return ResponseLimits(
        keep_seconds=settings.responses_keep_seconds,
        size_bytes=settings.responses_size_limit_bytes,
        timeout_seconds=settings.responses_timeout_seconds,
    )


def _header_limits(settings: Settings) -> HeaderLimits:
    return HeaderLimits(
        size_bytes=settings.header_limit_bytes,
        count=settings.header_limit_count,
        timeout_seconds=settings.header_timeout_seconds,
    )


def _checks(engine: AsyncEngine, connection: Bus, store: Store) -> dict[str, Check]:
    """What readiness asks. The plans are not in it: without good ones we do not start, and later the last good stay."""

    async def nats() -> bool:
        return connection.is_connected

    async def schema() -> bool:
        return await is_current(engine, "gateway")

    return {"nats": nats, "database": store.answers, "schema": schema}


@asynccontextmanager
async def _paying_debts(
    settings: Settings, connection: Bus, store: Store, authenticator: Authenticator
) -> AsyncIterator[None]:
    """The work beside requests: announce accounts, block revoked tokens, note the use of tokens."""
    async with (
        accounts.relaying(
            connection,
            store,
            interval_seconds=settings.announce_interval_seconds,
            timeout_seconds=settings.publish_timeout_seconds,
        ),
        accounts.noting_use(store, authenticator, interval_seconds=settings.token_use_interval_seconds),
    ):
        yield
