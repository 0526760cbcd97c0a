"""What a visitor sees when a page cannot be shown. Programs that ask for no page get the error as JSON."""

from collections.abc import Mapping
from urllib.parse import quote

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse
from starlette.types import Receive, Scope, Send

from chassis.database import StoreAway
from gateway import refusals
from gateway.errors import GatewayError, ServiceUnavailable
from gateway.portal.errors import FormRefused, PageMissing, PortalError, SignInNeeded, TooManyTries
from gateway.portal.rendering import Renderer


class Failures:
    """The handlers of everything that pages raise."""

    def __init__(self, render: Renderer) -> None:
        self._render = render

    def register(self, app: FastAPI) -> None:
        app.add_exception_handler(PortalError, self._on_portal_error)
        app.add_exception_handler(GatewayError, self._on_gateway_error)
        app.add_exception_handler(StoreAway, self._on_store_away)
        app.add_exception_handler(HTTPException, self._on_http_exception)
        app.add_exception_handler(RequestValidationError, self._on_invalid_request)
        # Starlette answers with this and raises the exception again, for the edge to log.
        app.add_exception_handler(Exception, self._on_crash)

    async def refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application that answers everything with `FormRefused`."""
        response = self._page(Request(scope), FormRefused())
        await response(scope, receive, send)

    async def _on_portal_error(self, request: Request, exc: Exception) -> Response:
        if isinstance(exc, SignInNeeded):
            return RedirectResponse(f"{exc.to}?next={quote(_path_back(request), safe='/')}", status_code=303)
        return self._page(request, exc if isinstance(exc, PortalError) else PageMissing())

    async def _on_gateway_error(self, request: Request, exc: Exception) -> Response:
        if not wants_page(request):
            return await refusals.on_gateway_error(request, exc)
        return self._say(
            request, 503, "This is not available just now", "Please try again in a moment.", {"Retry-After": "2"}
        )

    async def _on_store_away(self, request: Request, _: Exception) -> Response:
        return await self._on_gateway_error(request, ServiceUnavailable())

    async def _on_http_exception(self, request: Request, exc: Exception) -> Response:
        if not wants_page(request):
            return await refusals.on_http_exception(request, exc)
        if isinstance(exc, HTTPException) and exc.status_code == 405:
            said = "This address takes forms only; open the page that the form is on."
            return self._say(request, 405, "Nothing to see here", said, exc.headers)
        return self._page(request, PageMissing())

    async def _on_invalid_request(self, request: Request, exc: Exception) -> Response:
        """A path or a query whose parts are not what they have to be: no such page."""
        if not wants_page(request):
            return await refusals.on_invalid_request(request, exc)
        return self._page(request, PageMissing())

    async def _on_crash(self, request: Request, exc: Exception) -> Response:
        if not wants_page(request):
            return await refusals.on_crash(request, exc)
        return self._say(
            request, 500, "That is our fault", "Something broke while this page was made. We have noted it."
        )

    def _page(self, request: Request, error: PortalError) -> Response:
        headers = {"Retry-After": str(error.seconds)} if isinstance(error, TooManyTries) else None
        return self._say(request, error.status, error.title, error.message, headers)

    def _say(
        self, request: Request, status: int, title: str, message: str, headers: Mapping[str, str] | None = None
    ) -> Response:
        return self._render.page(
            request, "error.html", status=status, headers=headers, title=title, message=message, status_code=status
        )


def wants_page(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")


def _path_back(request: Request) -> str:
    """Where to go after signing in: this page, or for what a form was sent to, the start."""
    if request.method != "GET":
        return "/overview"
    query = f"?{request.url.query}" if request.url.query else ""
    return f"{request.url.path}{query}"
