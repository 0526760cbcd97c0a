"""The first page: what this is, what the reader has left, how to begin, and the catalogue of models."""

from collections.abc import Callable

from fastapi import APIRouter, Request, Response

from contracts.plans import PlanCatalogue
from gateway.handlers.models import ReadCards
from gateway.portal.allowance import Allowances
from gateway.portal.rendering import Renderer
from gateway.portal.visitor import MaybeVisitor


def build_home(
    render: Renderer, allowances: Allowances, plans: Callable[[], PlanCatalogue], read_cards: ReadCards
) -> APIRouter:
    pages = APIRouter()

    @pages.get("/")
    async def home(request: Request, visitor: MaybeVisitor) -> Response:
        allowance = await allowances.of(visitor)
        return render.page(request, "home.html", allowance=allowance, plans=plans().plans, cards=await read_cards())

    return pages
