"""What surrounds every page: who visits, from where a change may come, and the headers that browsers go by.

Pure ASGI, outside of all routes, so that no page can be without it.
"""

import secrets
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis.database import StoreAway
from gateway.http import header
from gateway.portal.sessions import Sessions
from gateway.portal.site import Site
from gateway.portal.visit import SESSION_COOKIE, VISIT_KEY, VISITOR_COOKIE, Visit, is_secret

# Signed by who sends them, and sent without a browser.
WEBHOOKS = "/webhooks/"

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_YEAR_SECONDS = 31_536_000
_HEADERS = (
    (b"x-frame-options", b"DENY"),
    # Not `no-referrer`: browsers would send `Origin: null` with our own forms.
    (b"referrer-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


class Guard:
    """Wraps the portal. `refuse` answers a change that does not come from a page of ours."""

    def __init__(self, app: ASGIApp, *, refuse: ASGIApp, sessions: Sessions, site: Site, key: bytes) -> None:
        self._app = app
        self._refuse = refuse
        self._sessions = sessions
        self._site = site
        self._key = key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        visit = Visit(nonce=secrets.token_urlsafe(16), key=self._key)
        if scope["method"] == "HEAD":
            # The server leaves the body out, by the method of its own scope.
            scope = {**scope, "method": "GET"}
        scope[VISIT_KEY] = visit
        await self._recognise(visit, scope)

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *self._headers(visit, message)]
            await send(message)

        may_change = scope["method"] in _SAFE_METHODS or scope["path"].startswith(WEBHOOKS)
        app = self._app if may_change or self._is_ours(scope) else self._refuse
        await app(scope, receive, guarded)

    async def _recognise(self, visit: Visit, scope: Scope) -> None:
        cookies = _cookies(scope)
        secret = cookies.get(SESSION_COOKIE)
        if secret is not None and is_secret(secret):
            try:
                visit.visitor = await self._sessions.find(secret)
            except StoreAway:
                visit.is_store_away = True
        theirs = secret if visit.visitor is not None else cookies.get(VISITOR_COOKIE)
        visit.secret = theirs if is_secret(theirs) else None

    def _is_ours(self, scope: Scope) -> bool:
        """Whether a browser says that a page of ours sent this (OWASP CSRF Prevention, "Verifying Origin")."""
        origin = header(scope, b"origin")
        if origin is None:
            return header(scope, b"sec-fetch-site") == b"same-origin"
        theirs = origin.decode("latin-1")
        # A page of another site cannot choose the `Host` that its visitor's browser sends.
        host = (header(scope, b"host") or b"").decode("latin-1")
        return theirs == self._site.origin or (bool(host) and urlsplit(theirs).netloc == host)

    def _headers(self, visit: Visit, message: Message) -> list[tuple[bytes, bytes]]:
        given = {name for name, _ in message.get("headers", ())}
        headers = [*_HEADERS, (b"content-security-policy", _policy(visit.nonce))]
        if b"cache-control" not in given:
            headers.append((b"cache-control", b"no-store"))
        if self._site.is_secure:
            headers.append((b"strict-transport-security", f"max-age={_YEAR_SECONDS}; includeSubDomains".encode()))
        headers += [(b"set-cookie", value.encode()) for value in visit.set_cookies]
        return headers


def _cookies(scope: Scope) -> dict[str, str]:
    """Of cookies with the same name the first: browsers send the longer path first, and `__Host-` ones have one."""
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        if name == b"cookie":
            jar: SimpleCookie = SimpleCookie()
            try:
                jar.load(value.decode("latin-1"))
            except CookieError:
                continue
            for morsel in jar.values():
                found.setdefault(morsel.key, morsel.value)
    return found


def _policy(nonce: str) -> bytes:
    """Content Security Policy Level 3: nothing but what is ours; scripts and styles only as this page names them."""
    return (
        "default-src 'none'; "
        f"script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; "
        "img-src 'self' data:; font-src 'self'; connect-src 'self'; manifest-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ).encode()
