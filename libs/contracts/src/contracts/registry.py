"""Everything that is said on the bus, in one list: what is generated and diffed comes from here."""

from typing import Any

from contracts.billing import SUBSCRIPTION_CHANGED
from contracts.endpoint import Event, Rpc, Signal
from contracts.gateway import ACCOUNT_OPENED, ATTEMPTS_FINISHED, REQUEST_SETTLED, TOKEN_REVOKED
from contracts.quota import BLOCK_TOKEN, READ_USAGE, RESERVE
from contracts.router import CHOOSE

RPCS: tuple[Rpc[Any, Any], ...] = (RESERVE, READ_USAGE, BLOCK_TOKEN, CHOOSE)
EVENTS: tuple[Event[Any], ...] = (REQUEST_SETTLED, ACCOUNT_OPENED, SUBSCRIPTION_CHANGED)
SIGNALS: tuple[Signal[Any], ...] = (ATTEMPTS_FINISHED, TOKEN_REVOKED)
