"""What payment providers post to us. Billing judges it; nothing of it is kept, shown or logged here."""

import logging

from fastapi import APIRouter, Request, Response

from gateway.errors import BodyTooLarge, ServiceUnavailable
from gateway.http import header, read_body
from gateway.portal.guard import WEBHOOKS
from gateway.portal.subscriptions import Subscriptions

log = logging.getLogger(__name__)

LIMIT_BYTES = 256 * 1024
RETRY_AFTER_SECONDS = 10


def build_webhooks(subscriptions: Subscriptions) -> APIRouter:
    hooks = APIRouter()

    @hooks.post(f"{WEBHOOKS}stripe")
    async def stripe(request: Request) -> Response:
        """200: it is taken, or was before. Stripe posts everything else again, for days."""
        signature = header(request.scope, b"stripe-signature")
        try:
            body = (await read_body(request.receive, LIMIT_BYTES)).decode()
        except BodyTooLarge:
            return Response(status_code=413)
        except UnicodeDecodeError:
            return _refused("not text")
        if signature is None:
            return _refused("no signature")
        try:
            is_taken = await subscriptions.take_notice(
                provider="stripe", body=body, signature=signature.decode("latin-1")
            )
        except ServiceUnavailable:
            return Response(status_code=503, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})
        return Response(status_code=200) if is_taken else _refused("not genuine")

    return hooks


def _refused(reason: str) -> Response:
    log.warning("payment notice refused", extra={"reason": reason})
    return Response(status_code=400)
