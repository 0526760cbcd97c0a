"""What billing does with what it hears and is asked, one module per subject."""

from billing.handlers.reading import read_activity, read_receipt, read_subscription
from billing.handlers.settlements import open_account, record_settlements
from billing.handlers.upgrades import request_upgrade, take_payment_notice, withdraw_upgrade

__all__ = [
    "open_account",
    "read_activity",
    "read_receipt",
    "read_subscription",
    "record_settlements",
    "request_upgrade",
    "take_payment_notice",
    "withdraw_upgrade",
]
