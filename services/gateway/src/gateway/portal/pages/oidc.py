"""Pages of the sign-in at an OpenID provider: the way there, the way back, and connecting it to an account.

The way back is a GET that signs in, as the protocol has it: it is good once, and only for the browser that began.
"""

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from gateway.portal.forms import PostedForm
from gateway.portal.identity import joining, oidc
from gateway.portal.identity.identity import Identity
from gateway.portal.identity.joining import EmailKnown, EmailUnverified, Joining, SignUpClosed
from gateway.portal.identity.oidc import Arrived, Oidc, SignInCancelled, SignInFailed
from gateway.portal.identity.oidc_provider import ProviderAway
from gateway.portal.identity.returning import own_path
from gateway.portal.rendering import Renderer
from gateway.portal.visit import Visitor, cookie, visit_of
from gateway.portal.visitor import MaybeVisitor, RecentlySignedIn

CONNECT = "/sign-in/oidc/connect"


def build_oidc(render: Renderer, identity: Identity, provider: Oidc) -> APIRouter:
    handlers = OidcPages(render, identity, provider)
    pages = APIRouter()
    pages.add_api_route("/sign-in/oidc", handlers.begin, methods=["GET"])
    pages.add_api_route(oidc.CALLBACK, handlers.callback, methods=["GET"])
    pages.add_api_route(CONNECT, handlers.show_connect, methods=["GET"])
    pages.add_api_route(CONNECT, handlers.connect, methods=["POST"])
    return pages


class OidcPages:
    def __init__(self, render: Renderer, identity: Identity, provider: Oidc) -> None:
        self._render = render
        self._identity = identity
        self._provider = provider
        self._joining = Joining(identity.users, identity.enrolment, identity.is_open, identity.key)

    async def begin(self, request: Request, visitor: MaybeVisitor, next: str = "") -> Response:
        """Of who is signed in the provider is to ask for the proof again."""
        prover = visitor.user_id if visitor is not None else None
        try:
            begun = await self._provider.begin(back=own_path(next), prover=prover)
        except ProviderAway:
            return self._stopped(request, "away", status=503)
        visit_of(request.scope).set_cookies.append(begun.set_cookie)
        return RedirectResponse(begun.url, 303)

    async def callback(self, request: Request, visitor: MaybeVisitor) -> Response:
        answered = {name: request.query_params.getlist(name) for name in request.query_params}
        kept = request.cookies.get(oidc.COOKIE)
        visit_of(request.scope).set_cookies.append(cookie(oidc.COOKIE, "", max_age_seconds=0))
        try:
            arrived = await self._provider.finish(answered, kept)
        except SignInCancelled:
            return self._stopped(request, "cancelled", status=400)
        except SignInFailed:
            return self._stopped(request, "failed", status=400)
        except ProviderAway:
            return self._stopped(request, "away", status=503)
        if arrived.prover is not None:
            return await self._prove(request, arrived, visitor)
        return await self._arrive(request, arrived)

    async def show_connect(self, request: Request, visitor: RecentlySignedIn) -> Response:
        pending = self._joining.pending_of(request.cookies.get(joining.COOKIE))
        if pending is None:
            return self._stopped(request, "failed", status=410)
        if pending.email != visitor.email:
            return self._stopped(request, "other", status=403)
        return self._render.page(request, "oidc/connect.html")

    async def connect(self, request: Request, visitor: RecentlySignedIn, _: PostedForm) -> Response:
        pending = self._joining.pending_of(request.cookies.get(joining.COOKIE))
        visit_of(request.scope).set_cookies.append(cookie(joining.COOKIE, "", max_age_seconds=0))
        if pending is None:
            return self._stopped(request, "failed", status=410)
        if not await self._joining.connect(visitor, pending):
            return self._stopped(request, "other", status=403)
        return RedirectResponse("/account", 303)

    async def _arrive(self, request: Request, arrived: Arrived) -> Response:
        try:
            user = await self._joining.user_of(arrived.identity)
        except EmailKnown as known:
            visit_of(request.scope).set_cookies.append(self._joining.pending(arrived.identity))
            return self._render.page(request, "oidc/known.html", email=known.email, connect=CONNECT)
        except EmailUnverified:
            return self._stopped(request, "unverified", status=403)
        except SignUpClosed:
            return self._stopped(request, "closed", status=403)
        await self._identity.arrive(request, user)
        return RedirectResponse(arrived.back, 303)

    async def _prove(self, request: Request, arrived: Arrived, visitor: Visitor | None) -> Response:
        """The one who is signed in is who came back; or connects the identity, having proven the account just now."""
        if visitor is None or visitor.user_id != arrived.prover:
            return self._stopped(request, "failed", status=400)
        user = await self._identity.users.by_subject(arrived.identity.issuer, arrived.identity.subject)
        if user is not None and user.user_id == visitor.user_id:
            await self._identity.sessions.prove(request, visitor)
            return RedirectResponse(arrived.back, 303)
        if user is not None or arrived.identity.email != visitor.email:
            return self._stopped(request, "other", status=403)
        visit_of(request.scope).set_cookies.append(self._joining.pending(arrived.identity))
        return RedirectResponse(CONNECT, 303)

    def _stopped(self, request: Request, why: str, *, status: int) -> Response:
        """Calm, and the same for everything that an attacker could learn from."""
        headers = {"Retry-After": "10"} if status == 503 else None
        return self._render.page(request, "oidc/stopped.html", status=status, headers=headers, why=why)
