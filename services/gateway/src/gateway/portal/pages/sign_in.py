"""Pages to sign in and out, and to choose a new password in place of a forgotten one."""

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from gateway.portal.errors import TooManyTries
from gateway.portal.forms import PostedForm
from gateway.portal.identity import links, passwords
from gateway.portal.identity.identity import Identity
from gateway.portal.identity.mail_relay import is_address
from gateway.portal.identity.passwords import PasswordWeak
from gateway.portal.identity.returning import HOME, own_path
from gateway.portal.pages.sign_up import NO_ADDRESS, email_of
from gateway.portal.rendering import Renderer
from gateway.portal.visitor import MaybeVisitor
from gateway.tables import MailLink

# One text for an unknown e-mail, a wrong password, and a user who has none.
NOT_RIGHT = "E-mail or password is not right."


def build_sign_in(render: Renderer, identity: Identity) -> APIRouter:
    handlers = SignInPages(render, identity)
    pages = APIRouter()
    pages.add_api_route("/sign-in", handlers.show, methods=["GET"])
    pages.add_api_route("/sign-in", handlers.sign_in, methods=["POST"])
    pages.add_api_route("/sign-out", handlers.sign_out, methods=["POST"])
    pages.add_api_route("/forgot", handlers.show_forgot, methods=["GET"])
    pages.add_api_route("/forgot", handlers.forgot, methods=["POST"])
    pages.add_api_route("/reset", handlers.show_reset, methods=["GET"])
    pages.add_api_route("/reset", handlers.reset, methods=["POST"])
    return pages


class SignInPages:
    def __init__(self, render: Renderer, identity: Identity) -> None:
        self._render = render
        self._identity = identity

    async def show(self, request: Request, visitor: MaybeVisitor, next: str = "") -> Response:
        if visitor is not None:
            return RedirectResponse(own_path(next), 303)
        return self._sign_in_form(request, to=own_path(next))

    async def sign_in(self, request: Request, form: PostedForm) -> Response:
        email, to = email_of(form), own_path(form.text("next"))
        try:
            user = await self._identity.proofs.sign_in(
                email,
                form.secret("password"),
                address=self._identity.address(request),
                device_cookie=self._identity.device(request),
            )
        except TooManyTries as wait:
            return self._sign_in_form(request, to=to, email=email, wait=wait)
        if user is None:
            return self._sign_in_form(request, to=to, status=422, email=email, error=NOT_RIGHT)
        await self._identity.arrive(request, user)
        return RedirectResponse(to, 303)

    async def sign_out(self, request: Request, visitor: MaybeVisitor, _: PostedForm) -> Response:
        if visitor is not None:
            await self._identity.endings.end(visitor.user_id, visitor.session_id)
            self._identity.sessions.forget(request)
        return RedirectResponse("/", 303)

    async def show_forgot(self, request: Request) -> Response:
        return self._forgot_form(request)

    async def forgot(self, request: Request, form: PostedForm) -> Response:
        email = email_of(form)
        if not self._identity.postman.can_send:
            return self._forgot_form(request, status=403)
        if not is_address(email):
            return self._forgot_form(request, status=422, email=email, error=NO_ADDRESS)
        await self._identity.throttle.mail(email=email, address=self._identity.address(request))
        await self._identity.recovery.ask(email)
        return self._render.page(request, "identity/mail_sent.html", email=email, purpose="reset")

    async def show_reset(self, request: Request, link: str = "") -> Response:
        found = await self._identity.link(request, "reset", link)
        return self._reset_form(request, link, found) if found is not None else self._gone(request)

    async def reset(self, request: Request, form: PostedForm) -> Response:
        secret, password = form.secret(links.FIELD), form.secret("password")
        found = await self._identity.link(request, "reset", secret)
        if found is None:
            return self._gone(request)
        try:
            passwords.check(password, email=found.email)
        except PasswordWeak as weak:
            return self._reset_form(request, secret, found, status=422, error=str(weak))
        user = await self._identity.recovery.reset(found, password)
        if user is None:
            return self._gone(request)
        await self._identity.arrive(request, user)
        return RedirectResponse(HOME, 303)

    def _sign_in_form(
        self,
        request: Request,
        *,
        to: str,
        status: int = 200,
        email: str = "",
        error: str = "",
        wait: TooManyTries | None = None,
    ) -> Response:
        return self._render.page(
            request,
            "identity/sign_in.html",
            status=wait.status if wait is not None else status,
            headers={"Retry-After": str(wait.seconds)} if wait is not None else None,
            email=email,
            to=to,
            error=wait.message if wait is not None else error,
            is_open=self._identity.is_open,
        )

    def _forgot_form(self, request: Request, *, status: int = 200, email: str = "", error: str = "") -> Response:
        return self._render.page(
            request,
            "identity/forgot.html",
            status=status,
            email=email,
            error=error,
            can_send=self._identity.postman.can_send,
        )

    def _reset_form(
        self, request: Request, secret: str, link: MailLink, *, status: int = 200, error: str = ""
    ) -> Response:
        return self._render.page(
            request,
            "identity/reset.html",
            status=status,
            email=link.email,
            link=secret,
            error=error,
            shortest=passwords.SHORTEST,
        )

    def _gone(self, request: Request) -> Response:
        return self._render.page(request, "identity/link_gone.html", status=410, again="/forgot")
