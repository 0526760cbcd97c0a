"""Everything that the gateway asks of Postgres, by intent. The only place with SQL; every method raises `StoreAway`."""

from gateway.store.accounts import Store, StoredToken
from gateway.store.claims import ClaimStore, KnownKey, StoredAnswer, Wanted
from gateway.store.responses import ResponseStore
from gateway.store.sessions import KnownSession, SessionStore
from gateway.store.tokens import TokenStore, TooManyTokens

__all__ = [
    "ClaimStore",
    "KnownKey",
    "KnownSession",
    "ResponseStore",
    "SessionStore",
    "Store",
    "StoredAnswer",
    "StoredToken",
    "TokenStore",
    "TooManyTokens",
    "Wanted",
]
