"""The public HTTP interface as one ASGI application: FastAPI for the rare endpoints, raw ASGI for the hot ones.

Both base paths are served alike. Whatever FastAPI or Starlette would answer by themselves is put into OpenAI's shape.
"""

from collections.abc import Callable, Mapping, Sequence

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.telemetry import TelemetryConfig
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from contracts.plans import PlanCatalogue
from gateway import refusals
from gateway.edge import Edge, Limits, RawRoute
from gateway.errors import GatewayError
from gateway.handlers.caller import Dependency
from gateway.handlers.models import ReadCards, build_models
from gateway.handlers.receipts import ReadReceipt, build_receipts
from gateway.handlers.responses import DeleteResponse, ReadResponse, build_responses
from gateway.handlers.usage import ReadUsage, build_usage

# FastAPI would make a second SERVER span and a second series of every metric; the edge makes them for all endpoints.
_NO_TELEMETRY: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False, "operation_spans": False}

BASE_PATHS = ("/v1", "/api/smart-routing-ai-model/v1")
_API_FOLDERS = (["v1"], ["api"])


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
    portal: ASGIApp,
) -> Edge:
    """`hot` are the raw endpoints that are posted to, by their path below the base path. `portal` gets
    what is no API."""
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
    return Edge(_divided(rare, portal), raw=raw, limits=limits)


def _divided(api: ASGIApp, portal: ASGIApp) -> ASGIApp:
    """What begins like an API is one, also where it is misspelt: programs read the error."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        first = scope["path"].split("/", 2)[1:2]
        await (api if first in _API_FOLDERS else portal)(scope, receive, send)

    return app


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
    app.add_exception_handler(GatewayError, refusals.on_gateway_error)
    app.add_exception_handler(HTTPException, refusals.on_http_exception)
    app.add_exception_handler(RequestValidationError, refusals.on_invalid_request)
    # Starlette answers with this and raises the exception again, for the edge to log.
    app.add_exception_handler(Exception, refusals.on_crash)
    return app
