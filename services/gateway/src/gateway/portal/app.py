"""The portal as one ASGI application: everything it is made of, built here, and every page group included by name."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from fastapi import APIRouter, FastAPI
from fastapi.telemetry import TelemetryConfig
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.types import ASGIApp, Receive, Scope, Send

from chassis.bus import Bus
from contracts.plans import PlanCatalogue
from gateway.handlers.models import ReadCards
from gateway.handlers.receipts import ReadReceipt
from gateway.handlers.usage import ReadUsage
from gateway.portal.activity import Activities
from gateway.portal.allowance import Allowances
from gateway.portal.assets import PREFIX, Assets
from gateway.portal.documentation.shelf import Shelf
from gateway.portal.guard import Guard
from gateway.portal.identity.identity import Given, Identity, build_identity
from gateway.portal.identity.letters import Letters
from gateway.portal.identity.mail import Postman, relay_of
from gateway.portal.identity.oidc import Oidc, oidc_of
from gateway.portal.identity.purging import purging
from gateway.portal.pages.account import build_account
from gateway.portal.pages.doctor import build_doctor
from gateway.portal.pages.documentation import ReadingRoom, build_documentation
from gateway.portal.pages.failures import Failures
from gateway.portal.pages.home import build_home
from gateway.portal.pages.oidc import build_oidc
from gateway.portal.pages.overview import build_overview
from gateway.portal.pages.plans import build_plans
from gateway.portal.pages.setup import build_setup
from gateway.portal.pages.sign_in import build_sign_in
from gateway.portal.pages.sign_up import build_sign_up
from gateway.portal.pages.tester import build_tester
from gateway.portal.pages.tokens import build_tokens
from gateway.portal.pages.webhooks import build_webhooks
from gateway.portal.rendering import Renderer
from gateway.portal.service_tokens import ServiceTokens
from gateway.portal.session_tokens import SessionTokens
from gateway.portal.sessions import Sessions
from gateway.portal.site import Site, site_of
from gateway.portal.subscriptions import Subscriptions
from gateway.settings import PortalSettings
from gateway.store import SessionStore, Store, TokenStore
from gateway.store.users import UserStore

if TYPE_CHECKING:
    from gateway.portal.documentation.library import Library

# As in `api`: the edge makes spans and metrics for all.
_NO_TELEMETRY: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False, "operation_spans": False}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the portal is given by the gateway; `engine` is its own, `figures` are limits in words."""

    bus: Bus
    engine: AsyncEngine
    plans: Callable[[], PlanCatalogue]
    read_cards: ReadCards
    read_usage: ReadUsage
    read_receipt: ReadReceipt
    endpoint_url: str
    signing_key: bytes
    figures: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Parts:
    """What pages are built of."""

    render: Renderer
    site: Site
    store: Store
    sessions: Sessions
    session_tokens: SessionTokens
    service_tokens: ServiceTokens
    allowances: Allowances
    activities: Activities
    subscriptions: Subscriptions
    identity: Identity
    oidc: Oidc | None


@asynccontextmanager
async def portal(settings: PortalSettings, given: Surroundings) -> AsyncIterator[ASGIApp]:
    """The portal, and the work beside its pages, while the block runs."""
    assets, postman = Assets(), Postman(relay_of(settings))
    parts = parts_of(settings, given, assets=assets, postman=postman)
    failures = Failures(parts.render)
    pages = build_pages(routers(given, parts), failures)
    guarded = Guard(pages, refuse=failures.refuse, sessions=parts.sessions, site=parts.site, key=given.signing_key)
    async with (
        postman.running(),
        parts.oidc.running() if parts.oidc is not None else nullcontext(),
        purging(parts.sessions.store, parts.identity.links, parts.identity.counters),
    ):
        yield _with_files(guarded, assets)


def parts_of(settings: PortalSettings, given: Surroundings, *, assets: Assets, postman: Postman) -> Parts:
    site = site_of(settings)
    timeout = settings.portal_ask_timeout_seconds
    sessions = Sessions(
        SessionStore(given.engine, idle=timedelta(seconds=settings.session_idle_seconds)),
        lifetime=timedelta(seconds=settings.session_seconds),
        proof=timedelta(seconds=settings.session_proof_seconds),
    )
    given_identity = Given(given.engine, given.bus, site, sessions, Letters(site), postman, given.signing_key)
    store, tokens = Store(given.engine), TokenStore(given.engine)
    return Parts(
        render=Renderer(site, assets),
        site=site,
        store=store,
        sessions=sessions,
        session_tokens=SessionTokens(tokens, given.signing_key),
        service_tokens=ServiceTokens(tokens, store, given.bus, timeout_seconds=timeout),
        allowances=Allowances(given.read_usage, given.plans),
        activities=Activities(given.bus, timeout_seconds=timeout),
        subscriptions=Subscriptions(
            given.bus,
            timeout_seconds=timeout,
            payment_timeout_seconds=settings.portal_payment_timeout_seconds,
        ),
        identity=build_identity(settings, given_identity),
        oidc=oidc_of(settings, site, key=given.signing_key),
    )


def routers(given: Surroundings, parts: Parts) -> tuple[APIRouter, ...]:
    """Every page group. A new one is added here and nowhere else."""
    return (
        build_home(parts.render, parts.allowances, given.plans, given.read_cards),
        build_documentation(reading_room(given, parts), UserStore(given.engine)),
        build_sign_up(parts.render, parts.identity),
        build_sign_in(parts.render, parts.identity),
        build_account(parts.render, parts.identity, parts.allowances),
        build_setup(parts.render, parts.site, parts.allowances, given.plans, given.read_cards),
        build_doctor(
            parts.render, parts.allowances, parts.session_tokens, given.plans, endpoint_url=given.endpoint_url
        ),
        *((build_oidc(parts.render, parts.identity, parts.oidc),) if parts.oidc is not None else ()),
        build_overview(parts.render, parts.allowances, parts.activities, given.plans, given.read_receipt),
        build_plans(parts.render, parts.allowances, parts.subscriptions, given.plans, origin=parts.site.origin),
        build_webhooks(parts.subscriptions),
        build_tokens(parts.render, parts.service_tokens),
        build_tester(parts.render, parts.site, parts.allowances, given.plans, parts.session_tokens),
    )


def reading_room(given: Surroundings, parts: Parts) -> ReadingRoom:
    def make() -> "Library":
        from gateway.portal.documentation.library import read_library

        return read_library(parts.render.environment, parts.site, given.figures)

    return ReadingRoom(parts.render, Shelf(make), parts.allowances, parts.store, given.plans, given.read_cards)


def build_pages(included: tuple[APIRouter, ...], failures: Failures) -> FastAPI:
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False, telemetry=_NO_TELEMETRY)
    for router in included:
        app.include_router(router)
    failures.register(app)
    return app


def _with_files(pages: ASGIApp, assets: Assets) -> ASGIApp:
    """Static files are the same for everybody: no visitor is looked up for them."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        is_file = scope["path"].startswith(PREFIX) and scope["method"] in ("GET", "HEAD")
        await (assets if is_file else pages)(scope, receive, send)

    return app
