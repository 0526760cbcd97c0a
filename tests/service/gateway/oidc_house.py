"""A portal whose users may sign in at a real OpenID provider, which does as a test tells it."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx

from devstack.children import Child, Program
from devstack.ports import free_port
from devstack.probes import http_ready
from devstack.programs import environment
from devstack.pytest_plugin import Databases, short_folder
from devstack.repository import ROOT
from tests.service.gateway.portal_house import PUBLIC_URL, Browser, PortalHouse, portal_house

NAME = "Example identity"
CALLBACK = "/sign-in/oidc/callback"
CLIENT_ID = "smart-route"
CLIENT_SECRET = "s3cret: with +, % and / in it"

_SCRIPT = Path(__file__).with_name("oidc_provider.mjs")
_NODE = ROOT / ".venv/bin/node"
_MODULES = ROOT / ".venv/npm-browser/node_modules"
_MOST_STEPS = 5


@dataclass(slots=True)
class ProviderProcess:
    """What a test tells the provider, and a browser's way through it."""

    issuer: str
    child: Child
    # The provider knows browsers by cookies, too.
    _clients: dict[str, httpx.AsyncClient] = field(default_factory=dict)

    @property
    def settings(self) -> Mapping[str, str]:
        """What the gateway is given to use it."""
        return {
            "GATEWAY_OIDC_ISSUER": self.issuer,
            "GATEWAY_OIDC_CLIENT_ID": CLIENT_ID,
            "GATEWAY_OIDC_CLIENT_SECRET": CLIENT_SECRET,
            "GATEWAY_OIDC_NAME": NAME,
        }

    async def will(self, fault: str = "none", **user: object) -> list[str]:
        """Sign this user in from now on (`sub`, `email`, `email_verified`), with this fault; what was asked so far."""
        told = {"fault": fault, **({"user": user} if user else {})}
        async with httpx.AsyncClient() as client:
            return list((await client.post(f"{self.issuer}/control", json=told)).json()["asked"])

    async def signs_in(self, browser: Browser, url: str) -> str:
        """Path and query that the provider sends the browser back to."""
        client = self._clients.setdefault(browser.address, httpx.AsyncClient(timeout=10))
        for _ in range(_MOST_STEPS):
            response = await client.get(url)
            assert response.status_code == 303, response.text
            url = str(response.next_request.url if response.next_request else "")
            if url.startswith(f"{PUBLIC_URL}/"):
                return url.removeprefix(PUBLIC_URL)
        raise AssertionError("the provider sends the browser in circles")

    async def signs_out(self, browser: Browser) -> None:
        """The browser forgets who it is at the provider."""
        await self._clients.pop(browser.address).aclose()

    async def closed(self) -> None:
        for client in self._clients.values():
            await client.aclose()


@dataclass(frozen=True, slots=True)
class OidcHouse:
    portal: PortalHouse
    provider: ProviderProcess

    async def asked(self, browser: Browser, *, to: str = "") -> str:
        """The address at the provider that the browser is sent to."""
        begun = await browser.get(f"/sign-in/oidc?{urlencode({'next': to})}" if to else "/sign-in/oidc")
        assert begun.status_code == 303, begun.text
        return begun.headers["location"]

    async def way_back(self, browser: Browser, *, to: str = "") -> str:
        """The callback, as the browser would ask for it now."""
        return await self.provider.signs_in(browser, await self.asked(browser, to=to))

    async def visit(self, browser: Browser, *, to: str = "") -> httpx.Response:
        """All the way to the provider and back."""
        return await browser.get(await self.way_back(browser, to=to))


def query_of(path: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(path).query, keep_blank_values=True))


def with_query(path: str, **changed: str | None) -> str:
    """The same address with other parameters; None leaves one out."""
    query = {name: value for name, value in {**query_of(path), **changed}.items() if value is not None}
    return f"{urlsplit(path).path}?{urlencode(query)}"


@asynccontextmanager
async def provider_process(public_url: str = PUBLIC_URL) -> AsyncIterator[ProviderProcess]:
    """`public_url` is where the portal is that it sends people back to."""
    port = free_port()
    issuer = f"http://127.0.0.1:{port}"
    with short_folder() as folder:
        program = Program(
            name="oidc provider",
            command=(str(_NODE), str(_SCRIPT), str(port), f"{public_url}{CALLBACK}"),
            log=folder / "provider.log",
            ready=http_ready(f"{issuer}/.well-known/openid-configuration"),
            environment=environment({"NODE_MODULES": str(_MODULES)}),
        )
        child = await Child.begin(program)
        provider = ProviderProcess(issuer, child)
        try:
            await child.until_ready()
            yield provider
        finally:
            await provider.closed()
            child.kill()
            await child.ended()


@asynccontextmanager
async def oidc_house(databases: Databases, **extra: str) -> AsyncIterator[OidcHouse]:
    async with (
        provider_process() as provider,
        portal_house(databases, environment=provider.settings, **extra) as portal,
    ):
        yield OidcHouse(portal, provider)
