"""The doctor's page: a form, and an examination whose findings appear one by one while it runs, without JavaScript."""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

from fastapi import APIRouter, Request, Response
from markupsafe import Markup
from starlette.responses import StreamingResponse

from contracts.plans import PlanCatalogue
from gateway.portal.allowance import Allowances
from gateway.portal.doctor.examination import DEADLINE_SECONDS, PROMPTS, examine
from gateway.portal.doctor.findings import Check, Finding
from gateway.portal.forms import PostedForm
from gateway.portal.rendering import Renderer
from gateway.portal.session_tokens import SessionTokens
from gateway.portal.visit import Visitor, visit_of
from gateway.portal.visitor import MaybeVisitor

# Examinations of one process at once: each holds a connection, and streams through this event loop.
MAX_RUNNING = 20
USUAL_ALIAS = "smart-route"

# Where the findings go in a page that is rendered whole, and sent in two halves.
_HERE = Markup("<!-- findings -->")
_STREAM_HEADERS = {"x-accel-buffering": "no"}


def build_doctor(
    render: Renderer,
    allowances: Allowances,
    session_tokens: SessionTokens,
    plans: Callable[[], PlanCatalogue],
    *,
    endpoint_url: str,
) -> APIRouter:
    """`endpoint_url` is where this process reaches the public endpoint, without a path."""
    handlers = DoctorPages(render, allowances, session_tokens, plans, base_url=f"{endpoint_url.rstrip('/')}/v1")
    pages = APIRouter()
    pages.add_api_route("/doctor", handlers.show, methods=["GET"])
    pages.add_api_route("/doctor", handlers.run, methods=["POST"])
    return pages


class DoctorPages:
    def __init__(
        self,
        render: Renderer,
        allowances: Allowances,
        session_tokens: SessionTokens,
        plans: Callable[[], PlanCatalogue],
        *,
        base_url: str,
    ) -> None:
        self._render = render
        self._allowances = allowances
        self._session_tokens = session_tokens
        self._plans = plans
        self._base_url = base_url
        self._running = 0

    async def show(self, request: Request, visitor: MaybeVisitor) -> Response:
        return await self._form(request, visitor)

    async def run(self, request: Request, visitor: MaybeVisitor, form: PostedForm) -> Response:
        if self._running >= MAX_RUNNING:
            return await self._form(request, visitor, is_busy=True)
        alias = form.text("alias")
        token = form.text("token")
        if visitor is not None and form.text("source") == "session":
            token = (await self._session_tokens.mint(visit_of(request.scope))).text
        # Rendered before the first byte leaves: what it may need of the visit is in the headers.
        page = self._render.text(request, "doctor/examination.html", here=_HERE, prompts=PROMPTS)
        return StreamingResponse(
            self._pieces(request, page, token, alias), media_type="text/html", headers=_STREAM_HEADERS
        )

    async def _pieces(self, request: Request, page: str, token: str, alias: str) -> AsyncIterator[str]:
        """The page around its findings. Closing it ends the examination, and whatever call it makes."""
        head, _, tail = page.partition(_HERE)
        verdicts: Counter[str] = Counter()
        self._running += 1
        try:
            yield head
            async with aclosing(examine(self._base_url, token, alias=alias)) as examination:
                async for finding in examination:
                    verdicts[finding.verdict] += 1
                    yield self._item(request, finding)
            yield self._render.text(request, "doctor/summary.html", verdicts=verdicts)
            yield tail
        finally:
            self._running -= 1

    def _item(self, request: Request, finding: Finding) -> str:
        return self._render.text(request, "doctor/finding.html", finding=finding)

    async def _form(self, request: Request, visitor: Visitor | None, *, is_busy: bool = False) -> Response:
        allowance = await self._allowances.of(visitor)
        return self._render.page(
            request,
            "doctor/form.html",
            status=503 if is_busy else 200,
            headers={"retry-after": "30"} if is_busy else None,
            allowance=allowance,
            plans=self._plans().plans,
            own_alias=allowance.plan.alias if allowance is not None else USUAL_ALIAS,
            checks=list(Check),
            prompts=PROMPTS,
            deadline_seconds=f"{DEADLINE_SECONDS:g}",
            is_busy=is_busy,
        )
