"""The live tester: a page whose script calls the public endpoint, and the token that it calls with."""

from collections.abc import Callable

from fastapi import APIRouter, Request, Response
from starlette.responses import JSONResponse

from contracts.plans import PlanCatalogue
from gateway.portal.allowance import Allowances
from gateway.portal.forms import PostedForm
from gateway.portal.rendering import Renderer
from gateway.portal.session_tokens import SessionTokens
from gateway.portal.site import Site
from gateway.portal.visit import visit_of
from gateway.portal.visitor import MaybeVisitor, SignedIn

# By the names that they import each other by.
MODULES = tuple(f"tester/{name}.js" for name in ("events", "formats", "panes", "snippets", "tool", "turn"))


def build_tester(
    render: Renderer,
    site: Site,
    allowances: Allowances,
    plans: Callable[[], PlanCatalogue],
    tokens: SessionTokens,
) -> APIRouter:
    pages = APIRouter()

    @pages.get("/tester")
    async def tester(request: Request, visitor: MaybeVisitor) -> Response:
        if visitor is None:
            return render.page(request, "tester/invitation.html")
        return render.page(
            request,
            "tester/tester.html",
            allowance=await allowances.of(visitor),
            plans=plans().plans,
            modules=MODULES,
            example=_example(site.base_url),
        )

    @pages.post("/tester/token")
    async def token(request: Request, _visitor: SignedIn, _form: PostedForm) -> Response:
        minted = await tokens.mint(visit_of(request.scope))
        return JSONResponse({"token": minted.text, "expires_at": minted.expires_at.isoformat()})

    return pages


def _example(base_url: str) -> str:
    return (
        f'curl "{base_url}/chat/completions" \\\n'
        '  -H "Authorization: Bearer $SMARTROUTE_TOKEN" -H "Content-Type: application/json" \\\n'
        '  -d \'{"model": "smart-route", "messages": [{"role": "user", "content": "Say hello."}]}\''
    )
