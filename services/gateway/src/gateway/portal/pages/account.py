"""Pages of a user's own account: password, sessions, and the proof that it is still the user who sits there."""

from uuid import UUID

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from gateway.portal.allowance import Allowances
from gateway.portal.errors import PageMissing, ProofNeeded, TooManyTries
from gateway.portal.forms import PostedForm
from gateway.portal.identity import passwords
from gateway.portal.identity.browsers import browser_name
from gateway.portal.identity.identity import Identity
from gateway.portal.identity.passwords import PasswordWeak
from gateway.portal.identity.returning import own_path
from gateway.portal.rendering import Renderer
from gateway.portal.visit import Visitor
from gateway.portal.visitor import SignedIn

NOT_RIGHT = "That is not your password."
CHANGED = "password"


def build_account(render: Renderer, identity: Identity, allowances: Allowances) -> APIRouter:
    handlers = AccountPages(render, identity, allowances)
    pages = APIRouter()
    pages.add_api_route("/account", handlers.show, methods=["GET"])
    pages.add_api_route("/account/password", handlers.change_password, methods=["POST"])
    pages.add_api_route("/account/sessions/{session_id}/end", handlers.end_session, methods=["POST"])
    pages.add_api_route("/account/sessions/end-others", handlers.end_others, methods=["POST"])
    pages.add_api_route("/account/confirm", handlers.show_confirm, methods=["GET"])
    pages.add_api_route("/account/confirm", handlers.confirm, methods=["POST"])
    return pages


class AccountPages:
    def __init__(self, render: Renderer, identity: Identity, allowances: Allowances) -> None:
        self._render = render
        self._identity = identity
        self._allowances = allowances

    async def show(self, request: Request, visitor: SignedIn, changed: str = "") -> Response:
        return await self._account(request, visitor, is_changed=changed == CHANGED)

    async def change_password(self, request: Request, visitor: SignedIn, form: PostedForm) -> Response:
        """Asks for the present one. Who has none, because a company's sign-in proves who it is, must be here anew."""
        if not visitor.has_password and not visitor.is_recent:
            raise ProofNeeded
        password = form.secret("password")
        try:
            if visitor.has_password and not await self._proven(request, visitor, form.secret("present")):
                return await self._account(request, visitor, status=422, present_error=NOT_RIGHT)
            passwords.check(password, email=visitor.email)
        except TooManyTries as wait:
            return await self._account(request, visitor, wait=wait)
        except PasswordWeak as weak:
            return await self._account(request, visitor, status=422, password_error=str(weak))
        await self._identity.proofs.change(visitor, password)
        await self._identity.sessions.prove(request, visitor)
        return RedirectResponse(f"/account?changed={CHANGED}", 303)

    async def end_session(self, session_id: UUID, visitor: SignedIn, _: PostedForm) -> Response:
        if not await self._identity.endings.end(visitor.user_id, session_id):
            raise PageMissing
        return RedirectResponse("/account", 303)

    async def end_others(self, visitor: SignedIn, _: PostedForm) -> Response:
        await self._identity.endings.end_others(visitor.user_id, but=visitor.session_id)
        return RedirectResponse("/account", 303)

    async def show_confirm(self, request: Request, _: SignedIn, next: str = "") -> Response:
        return self._confirm_form(request, to=own_path(next))

    async def confirm(self, request: Request, visitor: SignedIn, form: PostedForm) -> Response:
        to = own_path(form.text("next"))
        try:
            is_right = await self._proven(request, visitor, form.secret("password"))
        except TooManyTries as wait:
            return self._confirm_form(request, to=to, wait=wait)
        if not is_right:
            return self._confirm_form(request, to=to, status=422, error=NOT_RIGHT)
        await self._identity.sessions.prove(request, visitor)
        return RedirectResponse(to, 303)

    async def _proven(self, request: Request, visitor: Visitor, password: str) -> bool:
        return await self._identity.proofs.is_visitor(visitor, password, address=self._identity.address(request))

    async def _account(
        self,
        request: Request,
        visitor: Visitor,
        *,
        status: int = 200,
        is_changed: bool = False,
        present_error: str = "",
        password_error: str = "",
        wait: TooManyTries | None = None,
    ) -> Response:
        sessions = await self._identity.sessions.store.of_user(visitor.user_id)
        return self._render.page(
            request,
            "identity/account.html",
            status=wait.status if wait is not None else status,
            headers={"Retry-After": str(wait.seconds)} if wait is not None else None,
            allowance=await self._allowances.of(visitor),
            sessions=[(session, browser_name(session.browser)) for session in sessions],
            is_changed=is_changed,
            present_error=wait.message if wait is not None else present_error,
            password_error=password_error,
            shortest=passwords.SHORTEST,
        )

    def _confirm_form(
        self, request: Request, *, to: str, status: int = 200, error: str = "", wait: TooManyTries | None = None
    ) -> Response:
        return self._render.page(
            request,
            "identity/confirm.html",
            status=wait.status if wait is not None else status,
            headers={"Retry-After": str(wait.seconds)} if wait is not None else None,
            to=to,
            error=wait.message if wait is not None else error,
        )
