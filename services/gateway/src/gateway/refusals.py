"""Errors as responses in OpenAI's shape, for what goes through FastAPI."""

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from gateway.errors import GatewayError, InternalError, MethodNotAllowed, NotFound, RequestInvalid
from gateway.http import error_body


def respond(error: GatewayError) -> Response:
    return Response(error_body(error), error.status, error.headers, media_type="application/json")


async def on_gateway_error(_: Request, exc: Exception) -> Response:
    return respond(exc if isinstance(exc, GatewayError) else InternalError())


async def on_http_exception(request: Request, exc: Exception) -> Response:
    """What Starlette's routing raises: an unknown path, a method that a path does not have."""
    if isinstance(exc, HTTPException) and exc.status_code == 405:
        allowed = (exc.headers or {}).get("Allow", "GET").split(", ")
        return respond(MethodNotAllowed(request.method, allowed))
    if isinstance(exc, HTTPException) and exc.status_code == 404:
        return respond(NotFound(request.method, request.url.path[:200]))
    return respond(RequestInvalid("The request cannot be read."))


async def on_invalid_request(_: Request, exc: Exception) -> Response:
    param = None
    if isinstance(exc, RequestValidationError) and exc.errors():
        param = ".".join(str(part) for part in exc.errors()[0]["loc"][1:]) or None
    return respond(RequestInvalid("A parameter of the request has no valid value.", param=param))


async def on_crash(_: Request, __: Exception) -> Response:
    return respond(InternalError())
