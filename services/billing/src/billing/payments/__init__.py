"""Who decides on a wish for a larger plan: a port with two adapters, staff and Stripe."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from billing.payments.port import Order, PaymentPort
from billing.payments.staff import StaffApproves
from billing.settings import Settings

__all__ = ["Order", "PaymentPort", "StaffApproves", "opened_payments"]


@asynccontextmanager
async def opened_payments(settings: Settings) -> AsyncIterator[PaymentPort]:
    """Stripe where its settings are given, staff where not; connections are closed on the way out."""
    key, secret, prices = settings.stripe_secret_key, settings.stripe_webhook_secret, settings.stripe_prices
    if key is None or secret is None or prices is None:
        yield StaffApproves()
        return
    # Its library is a tenth of what the start of billing costs, and most installations have no use for it.
    from billing.payments.stripe_checkout import StripeCheckout, StripeSettings

    stripe = StripeCheckout(
        StripeSettings(
            secret_key=key.get_secret_value(),
            webhook_secret=secret.get_secret_value(),
            prices=prices,
            api_url=settings.stripe_api_url,
            timeout_seconds=settings.stripe_timeout_seconds,
        )
    )
    try:
        yield stripe
    finally:
        await stripe.close()
