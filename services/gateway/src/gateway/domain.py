"""The rules of the gateway, as calculations: who calls, and what a request that is over owes."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a service token stands for."""

    account_id: UUID
    token_id: UUID
    scopes: frozenset[str]
