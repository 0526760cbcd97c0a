"""Everything that is said on the bus, in one list: what is generated and diffed comes from here."""

from typing import Any

from contracts.billing import (
    PROMPTS_GRANTED,
    READ_ACTIVITY,
    READ_RECEIPT,
    READ_SUBSCRIPTION,
    REQUEST_UPGRADE,
    SUBSCRIPTION_CHANGED,
    TAKE_PAYMENT_NOTICE,
    WITHDRAW_UPGRADE,
)
from contracts.decisions import REQUESTS_ROUTED, TAKE_OVER
from contracts.endpoint import Event, Rpc, Signal
from contracts.gateway import ACCOUNT_OPENED, ATTEMPTS_FINISHED, REQUEST_SETTLED, TOKEN_REVOKED
from contracts.quota import BLOCK_TOKEN, READ_BOOKS, READ_USAGE, RENEW, RESERVE, SUSPEND_ACCOUNT
from contracts.router import CHOOSE, DESCRIBE

RPCS: tuple[Rpc[Any, Any], ...] = (
    RESERVE,
    RENEW,
    READ_USAGE,
    BLOCK_TOKEN,
    SUSPEND_ACCOUNT,
    READ_BOOKS,
    CHOOSE,
    DESCRIBE,
    TAKE_OVER,
    READ_RECEIPT,
    READ_ACTIVITY,
    READ_SUBSCRIPTION,
    REQUEST_UPGRADE,
    WITHDRAW_UPGRADE,
    TAKE_PAYMENT_NOTICE,
)
EVENTS: tuple[Event[Any], ...] = (
    REQUEST_SETTLED,
    ACCOUNT_OPENED,
    SUBSCRIPTION_CHANGED,
    PROMPTS_GRANTED,
    REQUESTS_ROUTED,
)
SIGNALS: tuple[Signal[Any], ...] = (ATTEMPTS_FINISHED, TOKEN_REVOKED)
