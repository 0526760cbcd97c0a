"""`POST /chat/completions`, `/completions` and `/responses`, as raw ASGI: the hot path pays for no framework."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.types import ASGIApp, Receive, Scope, Send

from chassis.watched import Watched
from contracts.plans import PlanCatalogue
from gateway import measures
from gateway.auth import INFERENCE, Authenticator, require_scope
from gateway.domain import Caller
from gateway.errors import GatewayError, ModelNotFound, RequestInvalid
from gateway.exchange import Exchange
from gateway.held import Asked, Keep
from gateway.http import context_of, header, read_body
from gateway.idempotency import HEADER, Idempotency, read_key
from gateway.wire.lane import ClientRequest, UnusableRequest

Read = Callable[[bytes], ClientRequest]
"""A body in the endpoint's format, checked. Raises `UnusableRequest`."""

Prepare = Callable[[Caller, ClientRequest], Awaitable[tuple[ClientRequest, Keep | None]]]
"""What has to be fetched before a request is whole, and what is done with its answer. Raises `GatewayError`s."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One of them: its path below the base path, and how its requests are read."""

    path: str
    read: Read
    prepare: Prepare | None = None


class Answers:
    """Makes the endpoints. They raise `GatewayError`s, which the edge renders."""

    def __init__(
        self,
        exchange: Exchange,
        idempotency: Idempotency,
        authenticator: Authenticator,
        plans: Watched[PlanCatalogue],
        *,
        body_limit_bytes: int,
        body_timeout_seconds: float,
    ) -> None:
        self._exchange = exchange
        self._idempotency = idempotency
        self._authenticator = authenticator
        self._plans = plans
        self._body_limit_bytes = body_limit_bytes
        self._body_timeout_seconds = body_timeout_seconds

    def endpoint(self, endpoint: Endpoint) -> ASGIApp:
        """The application behind one path."""

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                asked, key, body = await self._understand(endpoint, scope, receive, send)
            except GatewayError as error:
                measures.count_rejected(error, alias=measures.NO_ALIAS, endpoint=endpoint.path)
                raise
            if key is None:
                await self._exchange.answer(asked)
            else:
                await self._idempotency.answer(asked, key=key, body=body)

        return answer

    async def _understand(
        self, endpoint: Endpoint, scope: Scope, receive: Receive, send: Send
    ) -> tuple[Asked, bytes | None, bytes]:
        """The request, its Idempotency-Key and its body."""
        caller = await self._authenticator.authenticate(header(scope, b"authorization"))
        require_scope(caller, INFERENCE)
        key = read_key(header(scope, HEADER))
        context, began = context_of(scope), time.perf_counter()
        body = await read_body(receive, self._body_limit_bytes, silence_seconds=self._body_timeout_seconds)
        context.body_seconds = time.perf_counter() - began
        keep = None
        try:
            request = endpoint.read(body)
            if self._plans.value.plan_of_alias(request.model) is None:
                raise ModelNotFound(request.model, self._plans.value.aliases)
            if endpoint.prepare is not None:
                request, keep = await endpoint.prepare(caller, request)
        except UnusableRequest as exc:
            raise RequestInvalid(exc.message, code=exc.code, param=exc.param) from exc
        return Asked(context, caller, request, receive, send, keep=keep), key, body
