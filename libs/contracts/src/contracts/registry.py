"""Everything that is said on the bus, in one list: what is generated and diffed comes from here."""

from typing import Any

from contracts.billing import PROMPTS_GRANTED, READ_RECEIPT, SUBSCRIPTION_CHANGED
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
)
EVENTS: tuple[Event[Any], ...] = (
    REQUEST_SETTLED,
    ACCOUNT_OPENED,
    SUBSCRIPTION_CHANGED,
    PROMPTS_GRANTED,
    REQUESTS_ROUTED,
)
SIGNALS: tuple[Signal[Any], ...] = (ATTEMPTS_FINISHED, TOKEN_REVOKED)
