"""Pages to ask for an account, and to open it with the link from the mail."""

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from gateway.portal.forms import Form, PostedForm
from gateway.portal.identity import links, passwords
from gateway.portal.identity.devices import SIGN_UP_COOKIE, has_signed_up, sign_up_cookie
from gateway.portal.identity.identity import Identity
from gateway.portal.identity.mail_relay import is_address
from gateway.portal.identity.passwords import PasswordWeak
from gateway.portal.identity.returning import HOME
from gateway.portal.rendering import Renderer
from gateway.portal.visit import cookie, visit_of
from gateway.portal.visitor import MaybeVisitor
from gateway.store.users import UserExists
from gateway.tables import MailLink

NO_ADDRESS = "That is not an e-mail address that we can send mail to."
WRONG_PASSWORD = "That is not the password that was chosen with this e-mail."


def email_of(form: Form) -> str:
    """As it is kept and compared."""
    return form.text("email").lower()


def build_sign_up(render: Renderer, identity: Identity) -> APIRouter:
    handlers = SignUpPages(render, identity)
    pages = APIRouter()
    pages.add_api_route("/sign-up", handlers.show, methods=["GET"])
    pages.add_api_route("/sign-up", handlers.ask, methods=["POST"])
    pages.add_api_route("/sign-up/confirm", handlers.show_link, methods=["GET"])
    pages.add_api_route("/sign-up/confirm", handlers.open, methods=["POST"])
    return pages


class SignUpPages:
    def __init__(self, render: Renderer, identity: Identity) -> None:
        self._render = render
        self._identity = identity

    async def show(self, request: Request, visitor: MaybeVisitor) -> Response:
        if visitor is not None:
            return RedirectResponse(HOME, 303)
        return self._form(request)

    async def ask(self, request: Request, form: PostedForm) -> Response:
        email, password = email_of(form), form.secret("password")
        if not self._identity.is_open or not self._identity.postman.can_send:
            return self._form(request, status=403)
        if not is_address(email):
            return self._form(request, status=422, email=email, email_error=NO_ADDRESS)
        try:
            passwords.check(password, email=email)
        except PasswordWeak as weak:
            return self._form(request, status=422, email=email, password_error=str(weak))
        await self._identity.throttle.mail(email=email, address=self._identity.address(request))
        link = await self._identity.enrolment.ask(email, password)
        seconds = round(links.SIGN_UP_VALID.total_seconds())
        visit_of(request.scope).set_cookies.append(sign_up_cookie(self._identity.key, link.digest, seconds=seconds))
        return self._render.page(request, "identity/mail_sent.html", email=email, purpose="sign_up")

    async def show_link(self, request: Request, link: str = "") -> Response:
        found = await self._identity.link(request, "sign_up", link)
        return self._confirm(request, link, found) if found is not None else self._gone(request)

    async def open(self, request: Request, form: PostedForm) -> Response:
        """Once, however often it is pressed. A browser that did not ask for the account has to know its password:
        otherwise whoever asks for one in another's name could sign in to what the other one opens."""
        secret = form.secret(links.FIELD)
        found = await self._identity.link(request, "sign_up", secret)
        if found is None:
            return self._gone(request)
        if not self._is_askers(request, found) and not await self._identity.proofs.is_asker(
            found, form.secret("password"), address=self._identity.address(request)
        ):
            return self._confirm(request, secret, found, status=422, error=WRONG_PASSWORD)
        try:
            user = await self._identity.enrolment.open(found)
        except UserExists:
            user = None
        if user is None:
            return self._gone(request)
        await self._identity.arrive(request, user)
        visit_of(request.scope).set_cookies.append(cookie(SIGN_UP_COOKIE, "", max_age_seconds=0))
        return RedirectResponse(HOME, 303)

    def _is_askers(self, request: Request, link: MailLink) -> bool:
        return has_signed_up(self._identity.key, request.cookies.get(SIGN_UP_COOKIE), link_digest=link.digest)

    def _form(
        self, request: Request, *, status: int = 200, email: str = "", email_error: str = "", password_error: str = ""
    ) -> Response:
        return self._render.page(
            request,
            "identity/sign_up.html",
            status=status,
            email=email,
            email_error=email_error,
            password_error=password_error,
            shortest=passwords.SHORTEST,
            is_open=self._identity.is_open,
            can_send=self._identity.postman.can_send,
        )

    def _confirm(
        self, request: Request, secret: str, link: MailLink, *, status: int = 200, error: str = ""
    ) -> Response:
        return self._render.page(
            request,
            "identity/sign_up_confirm.html",
            status=status,
            email=link.email,
            link=secret,
            asks_password=not self._is_askers(request, link),
            error=error,
        )

    def _gone(self, request: Request) -> Response:
        return self._render.page(request, "identity/link_gone.html", status=410, again="/sign-up")
