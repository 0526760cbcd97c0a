"""The public HTTP interface as one ASGI application: FastAPI for the rare endpoints, raw ASGI for the hot ones.

Both base paths are served alike. Whatever FastAPI or Starlette would answer by themselves is put into OpenAI's shape.
"""

from collections.abc import Callable, Mapping, Sequence

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.telemetry import TelemetryConfig
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from contracts.plans import PlanCatalogue
from gateway.edge import Edge, Limits, RawRoute
from gateway.errors import GatewayError, InternalError, MethodNotAllowed, NotFound, RequestInvalid
from gateway.handlers.caller import Dependency
from gateway.handlers.models import ReadCards, build_models
from gateway.handlers.receipts import ReadReceipt, build_receipts
from gateway.handlers.responses import DeleteResponse, ReadResponse, build_responses
from gateway.handlers.usage import ReadUsage, build_usage
from gateway.http import error_body

# FastAPI would make a second SERVER span and a second series of every metric; the edge makes them for all endpoints.
_NO_TELEMETRY: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False, "operation_spans": False}

BASE_PATHS = ("/v1", "/api/smart-routing-ai-model/v1")


def build_api(
    caller: Dependency,
    *,
    plans: Callable[[], PlanCatalogue],
    read_cards: ReadCards,
    read_usage: ReadUsage,
    read_receipt: ReadReceipt,
    read_response: ReadResponse,
    delete_response: DeleteResponse,
    hot: Mapping[str, ASGIApp],
    limits: Limits,
) -> Edge:
    """`hot` are the raw endpoints that are posted to, by their path below the base path."""
    raw = {f"{base}{path}": RawRoute("POST", app) for base in BASE_PATHS for path, app in hot.items()}
    rare = build_rare(
        caller,
        plans=plans,
        read_cards=read_cards,
        read_usage=read_usage,
        read_receipt=read_receipt,
        read_response=read_response,
        delete_response=delete_response,
    )
    return Edge(rare, raw=raw, limits=limits)


def build_rare(
    caller: Dependency,
    *,
    plans: Callable[[], PlanCatalogue],
    read_cards: ReadCards,
    read_usage: ReadUsage,
    read_receipt: ReadReceipt,
    read_response: ReadResponse,
    delete_response: DeleteResponse,
    bases: Sequence[str] = BASE_PATHS,
) -> FastAPI:
    """What goes through FastAPI. Its own pages are off: the description is `openapi.json`, kept with the code."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False, telemetry=_NO_TELEMETRY)
    for base in bases:
        app.include_router(build_models(caller, plans, read_cards, prefix=base))
        app.include_router(build_usage(caller, read_usage, prefix=base))
        app.include_router(build_receipts(caller, read_receipt, plans, prefix=base))
        app.include_router(build_responses(caller, read_response, delete_response, prefix=base))
    app.add_exception_handler(GatewayError, _on_gateway_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    # Starlette answers with this and raises the exception again, for the edge to log.
    app.add_exception_handler(Exception, _on_crash)
    return app


def _respond(error: GatewayError) -> Response:
    return Response(error_body(error), error.status, error.headers, media_type="application/json")


async def _on_gateway_error(_: Request, exc: Exception) -> Response:
    return _respond(exc if isinstance(exc, GatewayError) else InternalError())


async def _on_http_exception(request: Request, exc: Exception) -> Response:
    """What Starlette's routing raises: an unknown path, a method that a path does not have."""
    if isinstance(exc, HTTPException) and exc.status_code == 405:
        allowed = (exc.headers or {}).get("Allow", "GET").split(", ")
        return _respond(MethodNotAllowed(request.method, allowed))
    if isinstance(exc, HTTPException) and exc.status_code == 404:
        return _respond(NotFound(request.method, request.url.path[:200]))
    return _respond(RequestInvalid("The request cannot be read."))


async def _on_invalid_request(_: Request, exc: Exception) -> Response:
    param = None
    if isinstance(exc, RequestValidationError) and exc.errors():
        param = ".".join(str(part) for part in exc.errors()[0]["loc"][1:]) or None
    return _respond(RequestInvalid("A parameter of the request has no valid value.", param=param))


async def _on_crash(_: Request, __: Exception) -> Response:
    return _respond(InternalError())
