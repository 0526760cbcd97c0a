"""Set-up pages: one for each client, with the files that are made for the reader, to read, copy and download."""

from collections.abc import Callable
from typing import get_args
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response

from contracts.plans import Plan, PlanCatalogue
from gateway.codex import model_catalog
from gateway.handlers.models import ReadCards
from gateway.portal.allowance import Allowance, Allowances
from gateway.portal.errors import PageMissing
from gateway.portal.rendering import Renderer
from gateway.portal.setup.agents import Api, kilo_fields
from gateway.portal.setup.clients import CLIENTS, Client, Wishes, client_named
from gateway.portal.setup.subject import TOKEN_VARIABLE, subject_of
from gateway.portal.site import Site
from gateway.portal.visit import Visitor
from gateway.portal.visitor import MaybeVisitor

# What a reader is shown whose plan is not known.
USUAL_ALIAS = "smart-route"
SMOKE_TEST = "Run pwd with the shell tool, then create hello.txt with a short hello message"


def build_setup(
    render: Renderer, site: Site, allowances: Allowances, plans: Callable[[], PlanCatalogue], read_cards: ReadCards
) -> APIRouter:
    handlers = SetupPages(render, site, allowances, plans, read_cards)
    pages = APIRouter()
    pages.add_api_route("/setup", handlers.list_clients, methods=["GET"])
    pages.add_api_route("/setup/{client}", handlers.show, methods=["GET"])
    pages.add_api_route("/setup/{client}/{file}", handlers.download, methods=["GET"])
    return pages


class SetupPages:
    def __init__(
        self,
        render: Renderer,
        site: Site,
        allowances: Allowances,
        plans: Callable[[], PlanCatalogue],
        read_cards: ReadCards,
    ) -> None:
        self._render = render
        self._site = site
        self._allowances = allowances
        self._plans = plans
        self._read_cards = read_cards

    async def list_clients(self, request: Request, visitor: MaybeVisitor) -> Response:
        allowance = await self._allowances.of(visitor)
        return self._render.page(request, "setup/clients.html", allowance=allowance, clients=CLIENTS)

    async def show(
        self, request: Request, visitor: MaybeVisitor, client: str, alias: str = "", api: str = "chat"
    ) -> Response:
        chosen = _client(client)
        allowance = await self._allowances.of(visitor)
        wishes = await self._wishes(allowance, alias, api)
        return self._render.page(
            request,
            f"setup/{chosen.slug}.html",
            allowance=allowance,
            client=chosen,
            clients=CLIENTS,
            plans=self._plans().plans,
            subject=wishes.subject,
            api=wishes.api,
            files={file.name: file for file in chosen.files(wishes)},
            query=urlencode({"alias": wishes.subject.alias, "api": wishes.api}),
            kilo_fields=kilo_fields(wishes.subject),
            token_variable=TOKEN_VARIABLE,
            smoke_test=SMOKE_TEST,
        )

    async def download(
        self, visitor: MaybeVisitor, client: str, file: str, alias: str = "", api: str = "chat"
    ) -> Response:
        allowance = await self._allowance_for(alias, visitor)
        made = _client(client).file(await self._wishes(allowance, alias, api), file)
        if made is None:
            raise PageMissing
        headers = {"content-disposition": f'attachment; filename="{made.name}"'}
        return Response(made.content, headers=headers, media_type="text/plain")

    async def _allowance_for(self, alias: str, visitor: Visitor | None) -> Allowance | None:
        """Asked only where the address does not say what the reader has chosen."""
        return None if alias else await self._allowances.of(visitor)

    async def _wishes(self, allowance: Allowance | None, alias: str, api: str) -> Wishes:
        """What was chosen; what is none of the choices is as if it had not been."""
        plans, cards = self._plans(), await self._read_cards()
        plan = plans.plan_of_alias(alias) or self._own(plans, allowance)
        subject = subject_of(self._site.origin, self._site.base_url, plan, cards.get(plan.alias))
        chosen: Api = "responses" if api == get_args(Api)[1] else "chat"
        return Wishes(subject, chosen, model_catalog([(each, cards.get(each.alias)) for each in plans.plans]))

    def _own(self, plans: PlanCatalogue, allowance: Allowance | None) -> Plan:
        own = allowance.plan if allowance is not None else plans.plan_of_alias(USUAL_ALIAS)
        return own or plans.plans[0]


def _client(slug: str) -> Client:
    """Raises `PageMissing`."""
    found = client_named(slug)
    if found is None:
        raise PageMissing
    return found
