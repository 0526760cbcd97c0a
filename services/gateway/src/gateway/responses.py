"""Stored responses: kept before their client sees the end, read and continued by their owner only.

`store` is true unless the client says otherwise, as OpenAI has it. What is too large, or cannot be stored because the
database is away, is answered all the same, and says `"store": false`.
"""

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from chassis.background import beside
from chassis.database import StoreAway
from gateway.domain import Caller
from gateway.endurance import to_the_end
from gateway.errors import RequestInvalid, ResponseNotFound, ServiceUnavailable
from gateway.held import Held, Keep
from gateway.questions import Questions
from gateway.sealing import Sealing
from gateway.store import ResponseStore
from gateway.tables import StoredResponse
from gateway.wire.lane import ClientRequest
from gateway.wire.responses.brief import going_on
from gateway.wire.responses.decode import ResponsesRequest, with_history, with_items

log = logging.getLogger(__name__)

ResultT = TypeVar("ResultT")

PREFIX = "resp_"
PURGE_INTERVAL_SECONDS = 60.0
PURGE_BATCH = 500

# The ids of input items that came without one; by the kind of item, as OpenAI's are.
_ITEM_PREFIXES = {"message": "msg", "function_call": "fc", "reasoning": "rs", "custom_tool_call": "ctc"}

_ITEM_ID = re.compile(r"[a-z]+_([0-9a-f]{32})[0-9a-f]{4,5}")
# Responses that one request may refer to by their items: each is a question to the database.
MAX_REFERENCED = 64

Item = dict[str, Any]

_encoder = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class ResponseLimits:
    """How long responses are kept, how large one may be with its input, and how long the database may take."""

    keep_seconds: float = 2_592_000.0
    size_bytes: int = 8 * 1024**2
    timeout_seconds: float = 2.0


@dataclass(frozen=True, slots=True)
class Keeping:
    """A `held.Keep`: what is stored of one request, with the input that led to it."""

    responses: "Responses"
    input_items: Sequence[Mapping[str, Any]]

    async def keep(self, held: Held) -> None:
        await self.responses.keep(held, self.input_items)

    async def forget(self, held: Held) -> None:
        await self.responses.forget(held)


class Responses:
    """The stored responses of all accounts; `purging` has to be entered around their use."""

    def __init__(self, store: ResponseStore, sealing: Sealing, limits: ResponseLimits) -> None:
        self._store = store
        self._sealing = sealing
        self._limits = limits
        self._questions = Questions(limits.timeout_seconds)

    async def prepare(self, caller: Caller, request: ClientRequest) -> tuple[ClientRequest, Keep | None]:
        """The request with what it continues, and what keeps its answer. Raises `RequestInvalid` for a response that
        is not there, and `ServiceUnavailable`."""
        assert isinstance(request, ResponsesRequest)
        if request.previous_response_id is not None:
            try:
                stored = await self.read(caller.account_id, request.previous_response_id)
            except ResponseNotFound as exc:
                raise RequestInvalid(
                    "There is no response with this `previous_response_id`, or it has expired.",
                    code="previous_response_not_found",
                    param="previous_response_id",
                ) from exc
            request = with_history(request, json.loads(stored.input_items), json.loads(stored.body)["output"])
        if request.references:
            request = with_items(request, await self._referenced(caller.account_id, request.references))
        request = going_on(request, self._sealing.of(caller.account_id).unseal)
        return request, Keeping(self, request.input_items) if request.stores else None

    async def _referenced(self, account_id: UUID, item_ids: Iterable[str]) -> dict[str, Item]:
        """Items of stored responses by their ids, which tell the response; those that are not there are left out."""
        found: dict[str, Item] = {}
        responses = {response_of(item_id) for item_id in item_ids} - {None}
        if len(responses) > MAX_REFERENCED:
            raise RequestInvalid(f"The input refers to more than {MAX_REFERENCED} responses.", param="input")
        for response_id in responses:
            stored = await self._asked(self._store.find(account_id, response_id)) if response_id else None
            if stored is not None:
                items: list[Item] = json.loads(stored.input_items) + json.loads(stored.body)["output"]
                found |= {str(item["id"]): item for item in items if "id" in item}
        return found

    async def read(self, account_id: UUID, response_id: str) -> StoredResponse:
        """A response of this account. Raises `ResponseNotFound` for foreign and unknown ids alike."""
        found = await self._asked(self._store.find(account_id, parsed(response_id)))
        if found is None:
            raise ResponseNotFound
        return found

    async def delete(self, account_id: UUID, response_id: str) -> None:
        """Forget a response of this account. Raises `ResponseNotFound`."""
        if not await self._asked(self._store.delete(account_id, parsed(response_id))):
            raise ResponseNotFound

    @asynccontextmanager
    async def purging(self) -> AsyncIterator[None]:
        """Remove what has expired while the block runs."""
        async with beside(self._purge(), name="purge responses"):
            try:
                yield
            finally:
                await self._questions.close()

    async def keep(self, held: Held, input_items: Sequence[Mapping[str, Any]]) -> None:
        """Store a good answer, or let it say that it is not stored. Raises nothing."""
        if held.relay.completed is None:
            return
        response_id, response = held.asked.context.request_id, held.relay.completed()
        body = _encoder.encode(response)
        items = _encoder.encode(with_ids(input_items, response_id))
        if len(body) + len(items) > self._limits.size_bytes:
            response["store"] = False
            return
        saving = self._store.save(
            response_id,
            held.asked.caller.account_id,
            body=body,
            input_items=items,
            keep=timedelta(seconds=self._limits.keep_seconds),
        )
        try:
            await to_the_end(self._questions.ask(saving))
        except (StoreAway, TimeoutError) as exc:
            log.warning("response not stored", extra={"reason": type(exc).__name__})
            response["store"] = False

    async def forget(self, held: Held) -> None:
        """Remove what was stored of an answer that must not count as given. Raises nothing."""
        deleting = self._store.delete(held.asked.caller.account_id, held.asked.context.request_id)
        try:
            await to_the_end(self._questions.ask(deleting))
        except (StoreAway, TimeoutError) as exc:
            log.warning("response of a failed request is stored", extra={"reason": type(exc).__name__})

    async def _asked(self, question: Coroutine[None, None, ResultT]) -> ResultT:
        try:
            return await self._questions.ask(question)
        except (StoreAway, TimeoutError) as exc:
            raise ServiceUnavailable from exc

    async def _purge(self) -> None:
        while True:
            await asyncio.sleep(PURGE_INTERVAL_SECONDS)
            try:
                while await self._store.purge(limit=PURGE_BATCH) == PURGE_BATCH:
                    pass
            except StoreAway as exc:
                log.warning("responses not purged", extra={"reason": str(exc)})


def response_of(item_id: str) -> UUID | None:
    """The response that an item is of, by its id: prefix, the response's 32 hexadecimal digits, the item's place."""
    match = _ITEM_ID.fullmatch(item_id)
    return UUID(hex=match.group(1)) if match is not None else None


def parsed(response_id: str) -> UUID:
    """The request behind an id of ours. Raises `ResponseNotFound`."""
    text = response_id.removeprefix(PREFIX)
    try:
        found = UUID(hex=text)
    except ValueError:
        raise ResponseNotFound from None
    if PREFIX + found.hex != response_id:
        raise ResponseNotFound
    return found


def with_ids(items: Sequence[Mapping[str, Any]], response_id: UUID) -> list[dict[str, Any]]:
    """Input items as they are listed: every one has an id and a type."""
    listed = []
    for place, item in enumerate(items):
        kind = str(item.get("type", "message"))
        name = f"{_ITEM_PREFIXES.get(kind, 'item')}_{response_id.hex}{place:05x}"
        listed.append({"type": kind, **item, "id": item.get("id") or name})
    return listed
