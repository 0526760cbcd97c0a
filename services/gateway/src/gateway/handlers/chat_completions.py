"""`POST /v1/chat/completions`, as raw ASGI: the hot path pays for no framework."""

from starlette.types import ASGIApp, Receive, Scope, Send

from chassis.watched import Watched
from contracts.plans import PlanCatalogue
from gateway import measures
from gateway.auth import INFERENCE, Authenticator, require_scope
from gateway.errors import GatewayError, ModelNotFound, RequestInvalid
from gateway.exchange import Exchange
from gateway.held import ENDPOINT, Asked
from gateway.http import context_of, header, read_body
from gateway.idempotency import HEADER, Idempotency, read_key
from gateway.wire.chat.decode import ChatRequest, UnusableRequest, from_chat_request


def build_chat_completions(
    exchange: Exchange,
    idempotency: Idempotency,
    authenticator: Authenticator,
    plans: Watched[PlanCatalogue],
    *,
    body_limit_bytes: int,
    body_timeout_seconds: float,
) -> ASGIApp:
    """The endpoint. It raises `GatewayError`s, which the edge renders."""

    async def understand(scope: Scope, receive: Receive, send: Send) -> tuple[Asked, bytes | None, bytes]:
        """The request, its Idempotency-Key and its body."""
        caller = await authenticator.authenticate(header(scope, b"authorization"))
        require_scope(caller, INFERENCE)
        key = read_key(header(scope, HEADER))
        body = await read_body(receive, body_limit_bytes, silence_seconds=body_timeout_seconds)
        request = _request(body)
        if plans.value.plan_of_alias(request.model) is None:
            raise ModelNotFound(request.model, plans.value.aliases)
        return Asked(context_of(scope), caller, request, receive, send), key, body

    async def chat_completions(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            asked, key, body = await understand(scope, receive, send)
        except GatewayError as error:
            measures.count_rejected(error, alias=measures.NO_ALIAS, endpoint=ENDPOINT)
            raise
        if key is None:
            await exchange.answer(asked)
        else:
            await idempotency.answer(asked, key=key, body=body)

    return chat_completions


def _request(body: bytes) -> ChatRequest:
    try:
        return from_chat_request(body)
    except UnusableRequest as exc:
        raise RequestInvalid(exc.message, code=exc.code, param=exc.param) from exc
