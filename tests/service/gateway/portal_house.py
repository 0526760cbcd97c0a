"""A gateway with its portal, a server that takes its mails, and visitors with browsers of their own."""

import itertools
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from html import unescape
from http.cookies import SimpleCookie
from urllib.parse import urlsplit

import httpx
import psycopg

from chassis.bus import provision
from chassis.database import create_engine
from devstack.mail import MailServer, mail_server
from devstack.nats import nats_server as run_nats
from devstack.pytest_plugin import Databases, short_folder
from gateway.portal.visit import SESSION_COOKIE, VISITOR_COOKIE
from gateway.store.users import UserStore
from tests.service.gateway.gateway_process import Gateway, Process

SENDER = "no-reply@smartroute.example"
PASSWORD = "four words nobody guesses"
PUBLIC_URL = "http://portal.example"

_CSRF = re.compile(r'name="csrf" value="([^"]+)"')
_NONCE = re.compile(r'nonce="[^"]*"')
# Every browser comes from an address of its own, so that no test waits for what another one did.
_ADDRESSES = (f"198.18.{number // 250}.{number % 250 + 1}" for number in itertools.count())


@dataclass(slots=True)
class Browser:
    """Sends what a browser sends. Its cookies are kept here, because they are `Secure` and the connection is not."""

    origin: str
    client: httpx.AsyncClient = field(repr=False)
    cookies: dict[str, str] = field(default_factory=dict)
    address: str = field(default_factory=lambda: next(_ADDRESSES))
    csrf: str = ""

    async def get(self, path: str, headers: Mapping[str, str] | None = None) -> httpx.Response:
        return await self.send("GET", path, headers=headers or {})

    async def post(
        self,
        path: str,
        fields: Mapping[str, str] | None = None,
        *,
        csrf: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """A form of the page that was loaded last, from that page; `csrf=""` leaves the token out."""
        token = self.csrf if csrf is None else csrf
        data = {**(fields or {}), **({"csrf": token} if token else {})}
        sent = headers or {"origin": self.origin, "sec-fetch-site": "same-origin"}
        return await self.send("POST", path, headers=sent, data=data)

    async def submit(self, path: str, fields: Mapping[str, str] | None = None, *, page: str = "") -> httpx.Response:
        """Load the page of a form, and send the form."""
        await self.get(page or path)
        return await self.post(urlsplit(path).path, fields)

    async def send(
        self, method: str, path: str, *, headers: Mapping[str, str], data: Mapping[str, str] | None = None
    ) -> httpx.Response:
        every = {"accept": "text/html", "x-forwarded-for": self.address, **headers}
        if self.cookies:
            every["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        response = await self.client.request(method, f"{self.origin}{path}", headers=every, data=data)
        self.client.cookies.clear()
        self._keep(response)
        return response

    def _keep(self, response: httpx.Response) -> None:
        for line in response.headers.get_list("set-cookie"):
            for morsel in SimpleCookie(line).values():
                if morsel["max-age"] == "0":
                    self.cookies.pop(morsel.key, None)
                else:
                    self.cookies[morsel.key] = morsel.value
        found = _CSRF.search(response.text)
        if found is not None:
            self.csrf = unescape(found.group(1))

    @property
    def session(self) -> str | None:
        return self.cookies.get(SESSION_COOKIE)

    @property
    def visitor(self) -> str | None:
        return self.cookies.get(VISITOR_COOKIE)

    async def is_signed_in(self) -> bool:
        return (await self.get("/account")).status_code == 200


@dataclass(frozen=True, slots=True)
class PortalHouse:
    gateway: Gateway
    process: Process
    mails: MailServer
    client: httpx.AsyncClient

    def browser(self) -> Browser:
        return Browser(self.process.origin, self.client)

    async def link_to(self, email: str, *, after: int = 0) -> str:
        """Path and query of the link in a mail, which is on the public address whatever the browser's is."""
        link = (await self.mails.next_to(email, after=after)).link
        assert link is not None
        assert link.startswith(f"{PUBLIC_URL}/")
        return link.removeprefix(PUBLIC_URL)

    async def signed_up(self, email: str, password: str = PASSWORD) -> Browser:
        """A browser whose user has just opened an account."""
        browser = self.browser()
        asked = await browser.submit("/sign-up", {"email": email, "password": password})
        assert asked.status_code == 200, asked.text
        link = await self.link_to(email)
        opened = await browser.submit(link, secret_of(link))
        assert (opened.status_code, opened.headers.get("location")) == (303, "/overview"), opened.text
        return browser

    async def signed_in(self, email: str, password: str = PASSWORD) -> Browser:
        browser = self.browser()
        done = await browser.submit("/sign-in", {"email": email, "password": password})
        assert done.status_code == 303, done.text
        return browser

    async def execute(self, statement: str, *values: object) -> None:
        """Straight to the database, as nobody of ours may."""
        url = self.gateway.database.admin_url
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            await connection.execute(statement.encode(), values)

    async def rows(self, query: str, *values: object) -> list[tuple[object, ...]]:
        """What is really there, read with every right."""
        url = self.gateway.database.admin_url
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            return list(await (await connection.execute(query.encode(), values)).fetchall())

    async def hold_waits(self, *, more: int = 0) -> None:
        """All that was counted until now happened in an hour, and `more` times more often: no wait ends meanwhile,
        however slow the machine is."""
        await self.execute(
            "UPDATE gateway.sign_in_failures SET last_at = now() + interval '1 hour', failures = failures + %s", more
        )

    @asynccontextmanager
    async def users(self) -> AsyncIterator[UserStore]:
        engine = create_engine(self.gateway.database.url("gateway"))
        try:
            yield UserStore(engine)
        finally:
            await engine.dispose()


def secret_of(link: str) -> dict[str, str]:
    """The field that the form behind a mail link sends."""
    return {"link": urlsplit(link).query.removeprefix("link=")}


def without_secrets(page: str) -> str:
    """A page without what is another one each time."""
    return _CSRF.sub("", _NONCE.sub("", page))


@asynccontextmanager
async def portal_house(
    databases: Databases, *services: str, environment: Mapping[str, str] | None = None, **extra: str
) -> AsyncIterator[PortalHouse]:
    """The whole of it, for as many tests as like to visit. `extra` are more settings of the gateway, in lower case."""
    with short_folder() as folder:
        async with run_nats(folder / "nats") as nats, mail_server(folder / "mail") as mails:
            await provision(nats.url)
            settings = {
                "GATEWAY_SMTP_URL": mails.url,
                "GATEWAY_MAIL_FROM": SENDER,
                "GATEWAY_PUBLIC_URL": PUBLIC_URL,
                "GATEWAY_TRUSTED_PROXIES": "127.0.0.0/8",
                "GATEWAY_DATA_DIR": str(folder / "data"),
                **{f"GATEWAY_{name.upper()}": value for name, value in extra.items()},
                **(environment or {}),
            }
            gateway = Gateway(await databases.fresh("gateway", *services), nats.url, settings)
            async with gateway.running() as process, httpx.AsyncClient(timeout=20) as client:
                yield PortalHouse(gateway, process, mails, client)
