"""`GET` and `DELETE /responses/{id}` and its input items: what was stored, for its owner only."""

import json
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import BaseModel

from gateway.auth import INFERENCE, require_scope
from gateway.domain import Caller
from gateway.errors import RequestInvalid
from gateway.handlers.caller import Dependency
from gateway.tables import StoredResponse

Id = Annotated[str, Path(description="`id` of the response", examples=["resp_019a2b3c4d5e7f608a9b0c1d2e3f4a5b"])]


ReadResponse = Callable[[UUID, str], Awaitable[StoredResponse]]
"""A stored response by account and id. Raises `ResponseNotFound`."""

DeleteResponse = Callable[[UUID, str], Awaitable[None]]
"""Forgets one. Raises `ResponseNotFound`."""


class DeletedResponse(BaseModel):
    """A response that is not stored any more."""

    id: str
    object: Literal["response"] = "response"
    deleted: Literal[True] = True


class InputItems(BaseModel):
    """A page of the items that led to a response, those of earlier responses included."""

    object: Literal["list"] = "list"
    data: list[dict[str, Any]]
    first_id: str | None
    last_id: str | None
    has_more: bool


def build_responses(caller: Dependency, read: ReadResponse, delete: DeleteResponse, *, prefix: str) -> APIRouter:
    api = APIRouter(prefix=prefix, tags=["responses"])
    _add_response(api, caller, read)
    _add_input_items(api, caller, read)

    @api.delete("/responses/{response_id}", operation_id="delete_response", summary="Delete a stored response")
    async def delete_response(owner: Annotated[Caller, Depends(caller)], response_id: Id) -> DeletedResponse:
        """It can be neither read nor continued from then on. Needs the scope `inference`; costs nothing."""
        require_scope(owner, INFERENCE)
        await delete(owner.account_id, response_id)
        return DeletedResponse(id=response_id)

    return api


def _add_response(api: APIRouter, caller: Dependency, read: ReadResponse) -> None:
    @api.get(
        "/responses/{response_id}",
        operation_id="read_response",
        summary="Read a stored response",
        responses={200: {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Response"}}}}},
    )
    async def read_response(
        owner: Annotated[Caller, Depends(caller)], response_id: Id, *, stream: bool = False
    ) -> Response:
        """Of your own account, until it expires. Unknown, foreign and expired ids are the same 404.

        Needs the scope `inference`; costs nothing.
        """
        require_scope(owner, INFERENCE)
        if stream:
            raise RequestInvalid("A stored response is not streamed again.", code="unsupported_value", param="stream")
        found = await read(owner.account_id, response_id)
        return Response(found.body, media_type="application/json")


def _add_input_items(api: APIRouter, caller: Dependency, read: ReadResponse) -> None:
    @api.get(
        "/responses/{response_id}/input_items",
        operation_id="list_input_items",
        summary="List the input of a stored response",
    )
    async def list_input_items(
        owner: Annotated[Caller, Depends(caller)],
        response_id: Id,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        order: Literal["asc", "desc"] = "desc",
        after: str | None = None,
    ) -> InputItems:
        """The latest first, unless `order` says otherwise. Needs the scope `inference`; costs nothing."""
        require_scope(owner, INFERENCE)
        found = await read(owner.account_id, response_id)
        items: list[dict[str, Any]] = json.loads(found.input_items)
        return page(items if order == "asc" else items[::-1], limit=limit, after=after)


def page(items: list[dict[str, Any]], *, limit: int, after: str | None) -> InputItems:
    """So many items after one. Raises `RequestInvalid` when there is no such one."""
    begin = 0
    if after is not None:
        places = [place for place, item in enumerate(items) if item["id"] == after]
        if not places:
            raise RequestInvalid("`after` is no item of this response.", param="after")
        begin = places[0] + 1
    listed = items[begin : begin + limit]
    return InputItems(
        data=listed,
        first_id=listed[0]["id"] if listed else None,
        last_id=listed[-1]["id"] if listed else None,
        has_more=begin + limit < len(items),
    )
