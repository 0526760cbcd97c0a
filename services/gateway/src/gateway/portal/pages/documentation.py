"""`/docs`: the pages, the search over them, the reference, and the token that examples name."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response
from markupsafe import Markup
from starlette.responses import RedirectResponse

from chassis.database import StoreAway
from contracts.plans import PlanCatalogue
from gateway.handlers.models import ReadCards
from gateway.portal.allowance import Allowance, Allowances
from gateway.portal.documentation.searching import QUERY_LIMIT, search
from gateway.portal.documentation.shelf import Shelf
from gateway.portal.errors import PageMissing
from gateway.portal.forms import PostedForm
from gateway.portal.rendering import Renderer
from gateway.portal.service_tokens import state_of
from gateway.portal.visit import Visitor
from gateway.portal.visitor import MaybeVisitor, SignedIn
from gateway.store import Store
from gateway.store.users import UserStore
from gateway.tables import Token

log = logging.getLogger(__name__)

UNNAMED_TOKEN = "your token"

_FOR_A_WHILE = {"cache-control": "public, max-age=300"}


@dataclass(frozen=True, slots=True)
class Reader:
    """What is known of who reads. `tokens` are those that are good now; None: they cannot be asked for."""

    allowance: Allowance | None
    tokens: Sequence[Token] | None
    token_name: str = UNNAMED_TOKEN


@dataclass(frozen=True, slots=True)
class ReadingRoom:
    """Gives pages out, each with what is known of the reader and of the moment."""

    render: Renderer
    shelf: Shelf
    allowances: Allowances
    store: Store
    plans: Callable[[], PlanCatalogue]
    read_cards: ReadCards

    async def index(self, request: Request, visitor: Visitor | None, query: str) -> Response:
        """All pages, or what a search finds."""
        library = await self.shelf.library()
        values = {"hits": search(library.entries(), query), "sections": library.sections}
        reader = await self._reader(visitor)
        return self._framed(request, "documentation/index.html", reader, values, query=query)

    async def page(self, request: Request, visitor: Visitor | None, name: str) -> Response:
        """Raises `PageMissing`."""
        library = await self.shelf.library()
        page = library.find(name)
        if page is None:
            raise PageMissing
        reader = await self._reader(visitor)
        body = page.body.render(
            plans=self.plans().plans,
            cards=await self.read_cards(),
            allowance=reader.allowance,
            token_name=reader.token_name,
        )
        before, after = library.beside(page)
        beside = {"before": before, "after": after, "sections": library.sections}
        values = {"page": page, "body": Markup(body), **beside}
        return self._framed(request, "documentation/page.html", reader, values)

    def _framed(
        self, request: Request, template: str, reader: Reader, values: Mapping[str, Any], *, query: str = ""
    ) -> Response:
        return self.render.page(
            request,
            template,
            allowance=reader.allowance,
            tokens=reader.tokens,
            query=query,
            **values,
        )

    async def _reader(self, visitor: Visitor | None) -> Reader:
        if visitor is None:
            return Reader(None, None)
        allowance = await self.allowances.of(visitor)
        try:
            tokens = usable(await self.store.tokens_of(visitor.account_id), now=datetime.now(UTC))
        except StoreAway:
            log.warning("tokens not listed", extra={"reason": "the database did not answer"})
            return Reader(allowance, None)
        chosen = [token.name for token in tokens if token.token_id == visitor.preferred_token_id]
        return Reader(allowance, tokens, chosen[0] if chosen else UNNAMED_TOKEN)


def build_documentation(room: ReadingRoom, users: UserStore) -> APIRouter:
    pages = APIRouter()

    @pages.get("/docs")
    async def index(request: Request, visitor: MaybeVisitor, q: str = "") -> Response:
        return await room.index(request, visitor, q[:QUERY_LIMIT].strip())

    @pages.get("/docs/{name}")
    async def page(request: Request, visitor: MaybeVisitor, name: str) -> Response:
        return await room.page(request, visitor, name)

    @pages.post("/docs/token")
    async def choose_token(visitor: SignedIn, form: PostedForm) -> Response:
        """An id of another account is not taken, and one that is none is as good as no choice."""
        await users.prefer_token(visitor.user_id, parsed(form.text("token")))
        library = await room.shelf.library()
        return RedirectResponse(library.path_back(form.text("back")), status_code=303)

    @pages.get("/openapi.json")
    async def openapi() -> Response:
        library = await room.shelf.library()
        return Response(library.openapi, media_type="application/json", headers=_FOR_A_WHILE)

    return pages


def usable(tokens: Sequence[Token], *, now: datetime) -> list[Token]:
    """Those that a program of the reader's can use now, the newest first. The tester's own are none of them."""
    good = [token for token in tokens if token.session_id is None and state_of(token, now=now).is_good]
    return sorted(good, key=lambda token: token.created_at, reverse=True)


def parsed(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
