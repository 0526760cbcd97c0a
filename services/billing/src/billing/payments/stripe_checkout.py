"""Stripe: payment pages are Checkout Sessions of mode subscription, notices are signed webhooks.

The only module that knows the `stripe` library and its errors. Each ask has one deadline for all that it needs of
Stripe; what is repeated carries the id of the wish as its idempotency key, so that there is one page for one wish.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import stripe
from stripe.params.checkout import SessionCreateParams

from billing.domain.payments import Notice
from billing.domain.upgrades import PaymentPage
from billing.errors import NoticeUnfit, PaymentAway
from billing.payments.port import Order
from billing.payments.stripe_notices import notice_of

TOLERANCE_SECONDS = 300


@dataclass(frozen=True, slots=True)
class StripeSettings:
    """`prices` are ids of Stripe's prices by the plan that they are for; `api_url` None is Stripe's own."""

    secret_key: str
    webhook_secret: str
    prices: Mapping[str, str]
    api_url: str | None = None
    timeout_seconds: float = 5.0

    def __repr__(self) -> str:
        return f"StripeSettings(prices={dict(self.prices)}, api_url={self.api_url})"


class StripeCheckout:
    """One client for the life of the process."""

    def __init__(self, settings: StripeSettings) -> None:
        self._settings = settings
        self._http = stripe.AIOHTTPClient(timeout=settings.timeout_seconds)
        self._client = stripe.StripeClient(
            settings.secret_key,
            http_client=self._http,
            base_addresses={"api": settings.api_url} if settings.api_url else None,
            # Within the deadline: a lost connection is tried once more, under the same idempotency key.
            max_network_retries=1,
        )

    async def close(self) -> None:
        await self._http.close_async()  # type: ignore[no-untyped-call]

    @property
    def decides(self) -> Literal["staff", "stripe"]:
        return "stripe"

    def sells(self, plan: str) -> bool:
        return plan in self._settings.prices

    async def open(self, order: Order) -> PaymentPage | None:
        wanted = _session(order, self._settings.prices[order.plan])
        async with self._asking("a payment page"):
            session = await self._client.v1.checkout.sessions.create_async(
                wanted, {"idempotency_key": f"upgrade-{order.upgrade_id}"}
            )
        if not session.url:
            raise PaymentAway(f"Stripe made the payment page {session.id} without an address")
        return PaymentPage(session.id, session.url, session.amount_total, session.currency)

    async def shut(self, reference: str) -> bool:
        try:
            async with self._asking("the end of a payment page"):
                await self._client.v1.checkout.sessions.expire_async(reference)
        except _Refused:
            # Only an open one can be shut: it is paid, or it has expired by itself.
            async with self._asking("the state of a payment page"):
                session = await self._client.v1.checkout.sessions.retrieve_async(reference)
            return session.status == "expired"
        return True

    async def end(self, subscription: str) -> None:
        try:
            async with self._asking("the end of a subscription"):
                # What was paid for and not used is credited to the customer at Stripe.
                await self._client.v1.subscriptions.cancel_async(subscription, {"invoice_now": True, "prorate": True})
        except _Refused as exc:
            if exc.status != 404:
                raise PaymentAway(str(exc)) from exc

    def read(self, body: str, signature: str) -> Notice:
        if not signature.isascii():
            # The library compares texts of ASCII only, and breaks on others.
            raise NoticeUnfit("bad_signature")
        try:
            stripe.WebhookSignature.verify_header(
                body, signature, self._settings.webhook_secret, tolerance=TOLERANCE_SECONDS
            )
        except stripe.SignatureVerificationError as exc:
            raise NoticeUnfit("bad_signature") from exc
        return notice_of(body, {price: plan for plan, price in self._settings.prices.items()})

    @asynccontextmanager
    async def _asking(self, what: str) -> AsyncIterator[None]:
        """Raises `PaymentAway` when Stripe does not answer in time, `_Refused` when it answers that it will not."""
        try:
            async with asyncio.timeout(self._settings.timeout_seconds):
                yield
        except TimeoutError as exc:
            raise PaymentAway(f"Stripe did not answer within {self._settings.timeout_seconds:g} s for {what}") from exc
        except stripe.InvalidRequestError as exc:
            raise _Refused(f"Stripe refused {what}: {exc.code or type(exc).__name__}", exc.http_status) from exc
        except stripe.StripeError as exc:
            # Its text can name keys and people: the kind is enough to look it up at Stripe.
            raise PaymentAway(f"Stripe failed for {what}: {exc.code or type(exc).__name__}") from exc


class _Refused(PaymentAway):
    def __init__(self, text: str, status: int | None) -> None:
        super().__init__(text)
        self.status = status


def _session(order: Order, price: str) -> SessionCreateParams:
    told = {"account_id": str(order.account_id), "upgrade_id": str(order.upgrade_id)}
    wanted: SessionCreateParams = {
        "mode": "subscription",
        "line_items": [{"price": price, "quantity": 1}],
        "client_reference_id": str(order.account_id),
        "metadata": told,
        "subscription_data": {"metadata": told},
        "success_url": _back_to(order.return_url, payment="done"),
        "cancel_url": _back_to(order.return_url, payment="cancelled"),
    }
    if order.email is not None:
        wanted["customer_email"] = order.email
    return wanted


def _back_to(return_url: str, *, payment: str) -> str:
    parts = urlsplit(return_url)
    return urlunsplit(parts._replace(query=urlencode([*parse_qsl(parts.query), ("payment", payment)])))
