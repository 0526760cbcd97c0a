"""Service tokens of the visitor's account: listed, created, rotated, revoked. A token's text is on one answer, once."""

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from uuid import UUID

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from gateway.auth import SCOPES
from gateway.portal.errors import PageMissing
from gateway.portal.forms import Form, PostedForm
from gateway.portal.rendering import Renderer
from gateway.portal.service_tokens import (
    ACTIVE_LIMIT,
    ENDED_SHOWN,
    LIFETIMES,
    NAME_LENGTH,
    OVERLAPS,
    ServiceTokens,
    TokenGone,
    Wanted,
    state_of,
)
from gateway.portal.visit import Visitor
from gateway.portal.visitor import RecentlySignedIn, SignedIn
from gateway.store import TooManyTokens

TOO_MANY = f"The account has {ACTIVE_LIMIT} active tokens, and that is the most. Revoke one that is not used any more."


def build_tokens(render: Renderer, tokens: ServiceTokens) -> APIRouter:
    handlers = TokenPages(render, tokens)
    pages = APIRouter()
    pages.add_api_route("/tokens", handlers.show, methods=["GET"])
    pages.add_api_route("/tokens", handlers.create, methods=["POST"])
    pages.add_api_route("/tokens/{token_id}", handlers.show_one, methods=["GET"])
    pages.add_api_route("/tokens/{token_id}/rotate", handlers.rotate, methods=["POST"])
    pages.add_api_route("/tokens/{token_id}/revoke", handlers.revoke, methods=["POST"])
    return pages


class TokenPages:
    def __init__(self, render: Renderer, tokens: ServiceTokens) -> None:
        self._render = render
        self._tokens = tokens

    async def show(self, request: Request, visitor: SignedIn, done: str = "") -> Response:
        return await self._list(request, visitor, Wanted(), done=done)

    async def create(self, request: Request, visitor: RecentlySignedIn, form: PostedForm) -> Response:
        wanted = _wanted(form)
        faults = wanted.faults()
        if faults:
            return await self._list(request, visitor, wanted, faults=faults, status=422)
        try:
            secret, token = await self._tokens.create(visitor.account_id, wanted)
        except TooManyTokens:
            return await self._list(request, visitor, wanted, faults={"form": TOO_MANY}, status=409)
        return self._render.page(request, "tokens/created.html", secret=secret, token=token, rotated=None)

    async def show_one(self, request: Request, visitor: SignedIn, token_id: UUID) -> Response:
        return await self._one(request, visitor, token_id)

    async def rotate(self, request: Request, visitor: RecentlySignedIn, token_id: UUID, form: PostedForm) -> Response:
        overlap = OVERLAPS.get(form.text("overlap"))
        if overlap is None:
            return await self._one(request, visitor, token_id, fault="Choose one of these.", status=422)
        try:
            rotated = await self._tokens.rotate(visitor.account_id, token_id, overlap=overlap)
        except TokenGone:
            raise PageMissing from None
        except TooManyTokens:
            return await self._one(request, visitor, token_id, fault=TOO_MANY, status=409)
        return self._render.page(
            request, "tokens/created.html", secret=rotated.secret, token=rotated.new, rotated=rotated
        )

    async def revoke(self, visitor: SignedIn, token_id: UUID, _: PostedForm) -> Response:
        """Without a recent proof: whoever wants to close a leak must not be held up."""
        try:
            is_in_force = await self._tokens.revoke(visitor.account_id, token_id)
        except TokenGone:
            raise PageMissing from None
        return RedirectResponse(f"/tokens?done={'revoked' if is_in_force else 'marked'}", 303)

    async def _list(
        self,
        request: Request,
        visitor: Visitor,
        wanted: Wanted,
        *,
        faults: Mapping[str, str] = MappingProxyType({}),
        done: str = "",
        status: int = 200,
    ) -> Response:
        now = datetime.now(UTC)
        store = self._tokens.tokens
        active = await store.active(visitor.account_id)
        ended = await store.ended(visitor.account_id, limit=ENDED_SHOWN)
        return self._render.page(
            request,
            "tokens/list.html",
            status=status,
            active=[(token, state_of(token, now=now)) for token in active],
            ended=[(token, state_of(token, now=now)) for token in ended],
            wanted=wanted,
            faults=faults,
            done=done,
            scopes=SCOPES,
            lifetimes=tuple(LIFETIMES),
            name_length=NAME_LENGTH,
            limit=ACTIVE_LIMIT,
        )

    async def _one(
        self, request: Request, visitor: Visitor, token_id: UUID, *, fault: str = "", status: int = 200
    ) -> Response:
        token = await self._tokens.tokens.find(visitor.account_id, token_id)
        if token is None:
            raise PageMissing
        return self._render.page(
            request,
            "tokens/one.html",
            status=status,
            token=token,
            state=state_of(token, now=datetime.now(UTC)),
            overlaps=tuple(OVERLAPS),
            fault=fault,
        )


def _wanted(form: Form) -> Wanted:
    return Wanted(form.text("name"), tuple(dict.fromkeys(form.every("scope"))), form.text("lifetime"))
