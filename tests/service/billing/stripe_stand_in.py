"""A Stripe of our own for tests: localstripe, with what it lacks.

    python -m tests.service.billing.stripe_stand_in PORT

Added are Checkout Sessions with their page (`GET /_config/pay/{id}` shows it, `POST` pays), idempotency keys, events of
changed subscriptions, webhooks that come at once and again when they were not taken, and faults on demand. Prices are
localstripe's plans.
"""

import asyncio
import hashlib
import hmac
import json
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from html import escape
from typing import Any

import aiohttp
from aiohttp import web
from localstripe import resources, server, webhooks  # type: ignore[import-untyped]
from localstripe.errors import UserError  # type: ignore[import-untyped]

CARD = {"number": "4242424242424242", "exp_month": "12", "exp_year": "2036", "cvc": "123"}
DELIVERIES = 40
DELIVERY_PAUSE_SECONDS = 0.1

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(slots=True)
class Faults:
    """What to do to the next `count` calls of the interface: wait, then answer with `status` (0: as always)."""

    count: int = 0
    delay_seconds: float = 0.0
    status: int = 0


@dataclass(slots=True)
class Memory:
    """What this process remembers beside localstripe's store."""

    faults: Faults = field(default_factory=Faults)
    answers: dict[str, tuple[str, int, bytes]] = field(default_factory=dict)
    deliveries: list[dict[str, Any]] = field(default_factory=list)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    origin: str = ""


memory = Memory()


class Session(resources.StripeObject):  # type: ignore[misc]
    """A Checkout Session of mode subscription."""

    object = "checkout.session"
    _id_prefix = "cs_test_"

    def __init__(self, **given: Any) -> None:
        items = given.get("line_items") or [{}]
        if given.get("mode") != "subscription" or len(items) != 1 or not given.get("success_url"):
            raise UserError(400, "Bad request")
        plan = resources.Plan._api_retrieve(items[0].get("price", ""))
        super().__init__()
        self.mode = "subscription"
        self.status = "open"
        self.payment_status = "unpaid"
        self.amount_total = plan.amount * int(items[0].get("quantity", 1))
        self.currency = plan.currency
        self.client_reference_id = given.get("client_reference_id")
        self.customer_email = given.get("customer_email")
        self.metadata = given.get("metadata") or {}
        self.success_url = given["success_url"]
        self.cancel_url = given.get("cancel_url")
        self.subscription: str | None = None
        self.customer: str | None = None
        self.url: str | None = f"{memory.origin}/_config/pay/{self.id}"
        self._price = plan.id
        self._subscription_metadata = (given.get("subscription_data") or {}).get("metadata") or {}

    def _pay(self, *, slowly: bool = False) -> None:
        """As a customer with a good card does; `slowly`: the money comes later."""
        if self.status != "open":
            raise UserError(400, f"this session is {self.status}")
        customer = resources.Customer(email=self.customer_email)
        method = resources.PaymentMethod(type="card", card=dict(CARD))
        resources.PaymentMethod._api_attach(method.id, customer=customer.id)
        resources.Customer._api_update(customer.id, invoice_settings={"default_payment_method": method.id})
        subscription = resources.Subscription(
            customer=customer.id, items=[{"plan": self._price}], metadata=dict(self._subscription_metadata)
        )
        self.customer, self.subscription, self.status, self.url = customer.id, subscription.id, "complete", None
        self.payment_status = "unpaid" if slowly else "paid"
        tell("checkout.session.completed", self)

    def _expire(self) -> None:
        if self.status != "open":
            raise UserError(400, f"Only Checkout Sessions with a status in [open] can be expired; it is {self.status}")
        self.status, self.url = "expired", None
        tell("checkout.session.expired", self)


def tell(kind: str, about: Any) -> None:
    schedule(resources.Event(kind, about))


def schedule(event: Any) -> None:
    """In place of localstripe's own, which comes a second later and only once."""
    task = asyncio.get_running_loop().create_task(_deliver(event._export()))
    memory.tasks.add(task)
    task.add_done_callback(memory.tasks.discard)


def signed(body: str, secret: str, *, at: int) -> str:
    """The header, as Stripe documents it: HMAC-SHA256 over the time, a full stop and the body."""
    digest = hmac.new(secret.encode(), f"{at}.{body}".encode(), hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


async def _deliver(event: dict[str, Any]) -> None:
    body = json.dumps(event, indent=2, sort_keys=True)
    for webhook in list(webhooks._webhooks.values()):
        if webhook.events is not None and event["type"] not in webhook.events:
            continue
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": signed(body, webhook.secret, at=event["created"]),
        }
        for _ in range(DELIVERIES):
            status = await _post(webhook.url, body, headers)
            memory.deliveries.append({"type": event["type"], "id": event["id"], "status": status})
            if 200 <= status < 300:
                break
            await asyncio.sleep(DELIVERY_PAUSE_SECONDS)


async def _post(url: str, body: str, headers: dict[str, str]) -> int:
    try:
        async with aiohttp.ClientSession() as session, session.post(url, data=body.encode(), headers=headers) as reply:
            return reply.status
    except aiohttp.ClientError:
        return 0


@web.middleware
async def with_faults(request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.path.startswith("/v1/checkout/") or request.path.startswith("/v1/subscriptions/"):
        faults = memory.faults
        if faults.count > 0:
            faults.count -= 1
            await asyncio.sleep(faults.delay_seconds)
            if faults.status:
                said = {"error": {"type": "api_error", "message": "as asked for"}}
                return web.json_response(said, status=faults.status)
    return await handler(request)


@web.middleware
async def with_idempotency(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The same key is the same answer; with other parameters it is refused."""
    key = request.headers.get("Idempotency-Key")
    if request.method != "POST" or key is None or not request.path.startswith("/v1/checkout/sessions"):
        return await handler(request)
    asked = (await request.read()).decode()
    if key not in memory.answers:
        response = await handler(request)
        assert isinstance(response, web.Response)
        assert isinstance(response.body, bytes)
        memory.answers[key] = (asked, response.status, response.body)
    before, status, body = memory.answers[key]
    if before != asked:
        said = {
            "error": {"type": "idempotency_error", "message": "Keys for idempotent requests can only be used again"}
        }
        return web.json_response(said, status=400)
    return web.Response(body=body, status=status, content_type="application/json")


async def expire(request: web.Request) -> web.Response:
    session = Session._api_retrieve(request.match_info["id"])
    session._expire()
    return web.json_response(session._export())


async def payment_page(request: web.Request) -> web.Response:
    session = Session._api_retrieve(request.match_info["id"])
    amount = f"{session.amount_total / 100:.2f} {session.currency.upper()}"
    back = escape(session.cancel_url or session.success_url)
    page = (
        f"<!doctype html><html lang=en><title>Payment</title><h1>Payment</h1><p>{amount} a month"
        f"<form method=post><button>Pay</button></form><a href='{back}'>Cancel</a></html>"
    )
    return web.Response(text=page, content_type="text/html")


async def pay(request: web.Request) -> web.Response:
    session = Session._api_retrieve(request.match_info["id"])
    session._pay(slowly="slowly" in request.query)
    return web.HTTPSeeOther(session.success_url)


async def arrive(request: web.Request) -> web.Response:
    """The money of a slow payment came, or did not."""
    session = Session._api_retrieve(request.match_info["id"])
    if request.match_info["how"] == "failed":
        tell("checkout.session.async_payment_failed", session)
    else:
        session.payment_status = "paid"
        tell("checkout.session.async_payment_succeeded", session)
    return web.Response()


async def set_faults(request: web.Request) -> web.Response:
    memory.faults = Faults(**await request.json())
    return web.Response()


async def deliveries(_request: web.Request) -> web.Response:
    return web.json_response(memory.deliveries)


def build(origin: str) -> web.Application:
    memory.origin = origin
    app: web.Application = server.app
    # It would keep what it knows in a file that all processes of this machine share.
    resources.Store.dump_to_disk = lambda _store: None
    resources.schedule_webhook = schedule
    plain_update = resources.Subscription._update

    def update(subscription: Any, **data: Any) -> None:
        plain_update(subscription, **data)
        tell("customer.subscription.updated", subscription)

    resources.Subscription._update = update
    app.middlewares.extend([with_faults, with_idempotency])
    url = "/v1/checkout/sessions"
    app.router.add_post(url, server.api_create(Session, url))
    app.router.add_get(f"{url}/{{id}}", server.api_retrieve(Session, url))
    app.router.add_post(f"{url}/{{id}}/expire", expire)
    app.router.add_get("/_config/pay/{id}", payment_page)
    app.router.add_post("/_config/pay/{id}", pay)
    app.router.add_post("/_config/arrive/{id}/{how}", arrive)
    app.router.add_post("/_config/faults", set_faults)
    app.router.add_get("/_config/deliveries", deliveries)
    return app


if __name__ == "__main__":
    port = int(sys.argv[1])
    web.run_app(build(f"http://127.0.0.1:{port}"), host="127.0.0.1", port=port, print=None)
