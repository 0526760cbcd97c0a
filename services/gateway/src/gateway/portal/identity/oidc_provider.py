"""The OpenID provider as we ask it: what it says of itself, its keys, and tokens for a code. Knows aiohttp's errors.

Asked with the gateway's own HTTP client: bounded in time and size, no redirects, no cookies, no proxy of the
environment, and nowhere but https (or loopback).
"""

import asyncio
import json
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from urllib.parse import quote_plus

import aiohttp
from joserfc.jwk import Key

from gateway.portal.identity.id_token import TokenRefused, read_keys
from gateway.portal.identity.urls import is_safe_url

ANSWER_LIMIT_BYTES = 256 * 1024
TIMEOUT = aiohttp.ClientTimeout(total=10, connect=3, sock_read=5)
# What the provider says of itself, and its keys, are asked for again after so long; older ones do while it is away.
FRESH_SECONDS = 3600.0
STALE_SECONDS = 86_400.0
# Who comes while it is away does not wait for another time-out.
TRIED_SECONDS = 2.0
# Between two looks for newer keys because a signature fits none.
KEYS_PAUSE_SECONDS = 30.0
AT_ONCE = 16

ToldT = TypeVar("ToldT")


class ProviderAway(Exception):
    """The provider does not answer, or nothing that we understand. `reason` is ours, for the log."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Client:
    """Who we are to the provider."""

    issuer: str
    client_id: str
    secret: str = field(repr=False)
    callback: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What the provider says of itself (OpenID Connect Discovery 1.0, 3)."""

    authorization: str
    token: str
    keys: str
    userinfo: str | None
    posts_secret: bool
    names_issuer: bool


@dataclass(frozen=True, slots=True)
class Tokens:
    id_token: str = field(repr=False)
    access_token: str = field(repr=False)


class _Told(Generic[ToldT]):
    """Something that the provider tells, asked for by one at a time and remembered."""

    def __init__(self, ask: Callable[[], Awaitable[ToldT]], clock: Callable[[], float]) -> None:
        self._ask = ask
        self._clock = clock
        self._lock = asyncio.Lock()
        self._value: ToldT | None = None
        self._told_at = self._tried_at = self._renewed_at = -math.inf

    async def value(self) -> ToldT:
        """Raises `ProviderAway`."""
        async with self._lock:
            age = self._clock() - self._told_at
            is_tried = self._clock() - self._tried_at < TRIED_SECONDS
            if self._value is not None and (age < FRESH_SECONDS or (age < STALE_SECONDS and is_tried)):
                return self._value
            if is_tried:
                raise ProviderAway("was asked a moment ago")
            try:
                return await self._asked()
            except ProviderAway:
                if self._value is None or age >= STALE_SECONDS:
                    raise
                return self._value

    async def anew(self, *, pause_seconds: float) -> ToldT | None:
        """As it is now; None when that was asked for a moment ago. Raises `ProviderAway`."""
        async with self._lock:
            if self._clock() - self._renewed_at < pause_seconds:
                return None
            self._renewed_at = self._clock()
            return await self._asked()

    async def _asked(self) -> ToldT:
        try:
            self._value = await self._ask()
            self._told_at = self._clock()
            return self._value
        finally:
            self._tried_at = self._clock()


class Provider:
    """Asks the provider while `running`."""

    def __init__(self, client: Client, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.client = client
        self._session: aiohttp.ClientSession
        self._facts = _Told(self._ask_facts, clock)
        self._keys = _Told(self._ask_keys, clock)
        self._at_once = asyncio.Semaphore(AT_ONCE)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Provider"]:
        async with aiohttp.ClientSession(
            timeout=TIMEOUT, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
        ) as self._session:
            yield self

    async def facts(self) -> Facts:
        """Raises `ProviderAway`."""
        return await self._facts.value()

    async def keys(self) -> Sequence[Key]:
        """The keys that sign its tokens. Raises `ProviderAway`."""
        return await self._keys.value()

    async def newer_keys(self) -> Sequence[Key] | None:
        """The keys as they are now; None when they were looked for a moment ago. Raises `ProviderAway`."""
        return await self._keys.anew(pause_seconds=KEYS_PAUSE_SECONDS)

    async def tokens(self, code: str, *, verifier: str) -> Tokens:
        """Give the code back for tokens. Raises `TokenRefused`, `ProviderAway`."""
        facts = await self.facts()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.client.callback,
            "code_verifier": verifier,
        }
        auth: aiohttp.BasicAuth | None = None
        if facts.posts_secret:
            form |= {"client_id": self.client.client_id, "client_secret": self.client.secret}
        else:
            # RFC 6749, 2.3.1: both parts are encoded as in a form.
            auth = aiohttp.BasicAuth(quote_plus(self.client.client_id), quote_plus(self.client.secret), "utf-8")
        told = await self._asked("POST", facts.token, form=form, auth=auth)
        id_token, access_token = told.get("id_token"), told.get("access_token")
        if not isinstance(id_token, str) or not isinstance(access_token, str):
            raise TokenRefused("no tokens for the code")
        return Tokens(id_token, access_token)

    async def userinfo(self, access_token: str) -> Mapping[str, object] | None:
        """What the provider says of the user besides, if it has an endpoint for that. Raises `ProviderAway`."""
        facts = await self.facts()
        if facts.userinfo is None:
            return None
        return await self._asked("GET", facts.userinfo, headers={"Authorization": f"Bearer {access_token}"})

    async def _ask_facts(self) -> Facts:
        where = f"{self.client.issuer.rstrip('/')}/.well-known/openid-configuration"
        return _read_facts(await self._asked("GET", where), self.client.issuer)

    async def _ask_keys(self) -> Sequence[Key]:
        found = read_keys(await self._asked("GET", (await self.facts()).keys))
        if not found:
            raise ProviderAway("no usable keys")
        return found

    async def _asked(
        self,
        method: str,
        url: str,
        *,
        form: Mapping[str, str] | None = None,
        auth: aiohttp.BasicAuth | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Mapping[str, object]:
        """A JSON object. A 4xx in answer to a form is the provider's refusal of it."""
        accepting = {"Accept": "application/json", **(headers or {})}
        try:
            async with (
                self._at_once,
                self._session.request(
                    method, url, data=form, auth=auth, headers=accepting, allow_redirects=False
                ) as response,
            ):
                if form is not None and 400 <= response.status < 500:
                    raise TokenRefused(f"provider answered {response.status}")
                if response.status != 200:
                    raise ProviderAway(f"provider answered {response.status}")
                return _object(await _limited(response))
        except (aiohttp.ClientError, TimeoutError, OSError) as exc:
            raise ProviderAway(type(exc).__name__) from exc


async def _limited(response: aiohttp.ClientResponse) -> bytes:
    read = bytearray()
    async for part in response.content.iter_chunked(16 * 1024):
        read += part
        if len(read) > ANSWER_LIMIT_BYTES:
            raise ProviderAway("answer too large")
    return bytes(read)


def _object(raw: bytes) -> Mapping[str, object]:
    try:
        document = json.loads(raw)
    except ValueError as exc:
        raise ProviderAway("answer is not JSON") from exc
    if not isinstance(document, dict):
        raise ProviderAway("answer is not an object")
    return document


def _read_facts(document: Mapping[str, object], issuer: str) -> Facts:
    """Raises `ProviderAway` for those of another issuer, and for addresses that nothing may be sent to."""
    if document.get("issuer") != issuer:
        raise ProviderAway("discovery names another issuer")

    def address(name: str) -> str:
        url = document.get(name)
        if not isinstance(url, str) or not is_safe_url(url, may_have_query=True):
            raise ProviderAway(f"{name} cannot be used")
        return url

    methods = document.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
    return Facts(
        authorization=address("authorization_endpoint"),
        token=address("token_endpoint"),
        keys=address("jwks_uri"),
        userinfo=address("userinfo_endpoint") if "userinfo_endpoint" in document else None,
        posts_secret=isinstance(methods, list) and "client_secret_basic" not in methods,
        names_issuer=document.get("authorization_response_iss_parameter_supported") is True,
    )
