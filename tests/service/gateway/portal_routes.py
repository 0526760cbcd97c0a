"""Every route of the portal, read off the application itself, so that a new one is in every matrix the day it comes."""

import dataclasses
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock
from urllib.parse import quote

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

from chassis.database import create_engine
from gateway.portal import app as portal_app
from gateway.portal.documentation.figures import figures_of
from gateway.portal.guard import WEBHOOKS
from gateway.portal.pages.failures import Failures
from gateway.settings import PortalSettings, Settings

# Nobody listens there; the portal's own pages of that sign-in are there all the same.
OIDC = {
    "oidc_issuer": "http://127.0.0.1:9",
    "oidc_client_id": "smartroute",
    "oidc_client_secret": "a secret of the provider's",
}
OIDC_ENVIRONMENT = {f"GATEWAY_{name.upper()}": value for name, value in OIDC.items()}

_SETTINGS = {
    "database_url": "postgresql://nobody@127.0.0.1:9/nothing",
    "data_dir": "/nonexistent",
    "signing_key": "a key that is long enough for a test",
}


@dataclass(frozen=True, slots=True)
class Route:
    method: str
    path: str

    @property
    def is_change(self) -> bool:
        return self.method not in ("GET", "HEAD")

    def filled(self, values: Mapping[str, str]) -> str:
        """With something in the place of each parameter: what `values` has for it, or a name that nothing has."""
        given = {name: quote(value, safe="") for name, value in values.items()}
        return self.path.format_map(defaultdict(lambda: "something", given))


async def routes() -> list[Route]:
    """All of them but those that are signed by who sends them."""
    included: list[APIRouter] = []
    original = portal_app.build_pages

    def kept(routers: tuple[APIRouter, ...], failures: Failures) -> FastAPI:
        included.extend(routers)
        return original(routers, failures)

    with mock.patch.object(portal_app, "build_pages", kept):
        async with _portal():
            pass
    every = [route for router in included for route in router.routes]
    assert all(isinstance(route, APIRoute) for route in every), "a router inside of a router is not walked through"
    found = [
        Route(method, route.path)
        for route in every
        if isinstance(route, APIRoute) and not route.path.startswith(WEBHOOKS)
        for method in sorted((route.methods or set()) - {"HEAD"})
    ]
    assert len(found) > 20, "the walk finds them"
    return sorted(found, key=lambda each: (each.path, each.method))


@asynccontextmanager
async def _portal() -> AsyncIterator[None]:
    engine = create_engine(_SETTINGS["database_url"])
    known: dict[str, Any] = {
        "engine": engine,
        "signing_key": _SETTINGS["signing_key"].encode(),
        "figures": figures_of(Settings.model_validate(_SETTINGS)),
        "endpoint_url": "http://127.0.0.1:9",
    }
    # What pages ask others is not needed to know which pages there are.
    unknown: dict[str, Any] = {field.name: None for field in dataclasses.fields(portal_app.Surroundings)}
    given = portal_app.Surroundings(**{**unknown, **known})
    async with portal_app.portal(PortalSettings.model_validate(OIDC), given):
        yield
    await engine.dispose()
