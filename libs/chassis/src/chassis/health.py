"""`/livez`, `/readyz` and `/metrics` on a port of their own, apart from what customers reach.

Live: the event loop turns. Ready: each named check passes now. Neither asks another service or an upstream provider,
so that one outage does not take every pod out of rotation.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

from prometheus_client import REGISTRY
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from chassis.serving import serving

Check = Callable[[], Awaitable[bool]]

CHECK_TIMEOUT_SECONDS = 2.0


async def _passes(check: Check) -> bool:
    try:
        return await asyncio.wait_for(check(), CHECK_TIMEOUT_SECONDS)
    except Exception:  # whatever it is, the answer to "ready?" is no
        return False


def build_health_app(checks: Mapping[str, Check]) -> Starlette:
    """The three endpoints. `/readyz` answers 200 or 503 with the result of every check by name."""

    async def livez(_: Request) -> Response:
        return PlainTextResponse("ok")

    async def readyz(_: Request) -> Response:
        passed = await asyncio.gather(*(_passes(check) for check in checks.values()))
        results = dict(zip(checks, passed, strict=True))
        return JSONResponse({"ready": all(passed), "checks": results}, 200 if all(passed) else 503)

    async def metrics(request: Request) -> Response:
        # OpenMetrics for whoever asks for it: only there are exemplars.
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(REGISTRY), media_type=content_type)

    return Starlette(routes=[Route("/livez", livez), Route("/readyz", readyz), Route("/metrics", metrics)])


@asynccontextmanager
async def health_server(host: str, port: int, checks: Mapping[str, Check]) -> AsyncIterator[None]:
    """Serve health while the block runs; port 0 serves nothing."""
    if port == 0:
        yield
        return
    async with serving(build_health_app(checks), host=host, port=port):
        yield
