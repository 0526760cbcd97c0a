"""From a bearer token to a `Caller`: by digest, through a small cache that a revocation empties.

A revoked token is refused by quota inside the reservation itself; the cache here only decides how long a token whose
revocation nobody told us of can still read models and usage.
"""

import asyncio
import hmac
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from chassis import telemetry
from chassis.database import StoreAway
from gateway import tokens
from gateway.domain import Caller
from gateway.errors import AuthenticationFailed, ServiceUnavailable, TokenForbidden
from gateway.store import Store, StoredToken

log = logging.getLogger(__name__)

INFERENCE = "inference"
USAGE_READ = "usage:read"
SCOPES = (INFERENCE, USAGE_READ)

_SCHEME = b"bearer"

cached_tokens = telemetry.meter.create_up_down_counter(
    "smartroute.token_cache.entries", unit="{entry}", description="Tokens in the authentication cache"
)
lookups = telemetry.meter.create_counter(
    "smartroute.token_cache.lookups", unit="{lookup}", description="Authentications, by where the answer came from"
)


@dataclass(frozen=True, slots=True)
class _Remembered:
    """An answer of the database: a caller or a refusal, good until a moment of the monotonic clock."""

    caller: Caller | None
    until: float


class Authenticator:
    """Knows who calls. One per process."""

    def __init__(
        self,
        store: Store,
        *,
        cache_seconds: float,
        refusal_cache_seconds: float,
        cache_entries: int,
        lookup_timeout_seconds: float,
    ) -> None:
        self._store = store
        self._cache_seconds = cache_seconds
        self._refusal_cache_seconds = refusal_cache_seconds
        self._lookup_timeout_seconds = lookup_timeout_seconds
        # Apart, so that a flood of guesses cannot push out the tokens of customers.
        self._callers = _Cache(cache_entries)
        self._refusals = _Cache(cache_entries)
        self._running: dict[bytes, asyncio.Task[Caller | None]] = {}
        self._revocations = 0
        self._used: set[UUID] = set()

    async def authenticate(self, authorization: bytes | None) -> Caller:
        """The caller behind an `Authorization` header.

        Raises `AuthenticationFailed`, the same for every cause, and `ServiceUnavailable` when the token is not cached
        and the database is away.
        """
        token = _bearer_token(authorization)
        if token is None or not tokens.is_well_formed(token):
            raise AuthenticationFailed
        digest = tokens.digest(token)
        remembered = self._callers.get(digest) or self._refusals.get(digest)
        if remembered is not None:
            lookups.add(1, {"result": "cached"})
            caller = remembered.caller
        else:
            lookups.add(1, {"result": "asked"})
            caller = await self._look_up(digest)
        if caller is None:
            raise AuthenticationFailed
        self._used.add(caller.token_id)
        return caller

    def forget(self, token_id: UUID) -> None:
        """Drop what is known of a token. Look-ups that run now are not remembered either: they may be too old."""
        self._revocations += 1
        self._callers.drop(lambda remembered: remembered.caller is not None and remembered.caller.token_id == token_id)

    def take_used(self) -> set[UUID]:
        """The tokens that were used since the last call."""
        used, self._used = self._used, set()
        return used

    async def _look_up(self, digest: bytes) -> Caller | None:
        """Ask the database, once for all that ask for the same token meanwhile."""
        running = self._running.get(digest)
        if running is None:
            running = asyncio.create_task(self._ask_store(digest), name="token look-up")
            self._running[digest] = running
            running.add_done_callback(lambda task: self._looked_up(digest, task))
        try:
            # Shielded: one client that leaves must not fail the others.
            return await asyncio.wait_for(asyncio.shield(running), self._lookup_timeout_seconds)
        except (StoreAway, TimeoutError) as exc:
            log.warning("token not looked up", extra={"reason": type(exc).__name__})
            raise ServiceUnavailable from exc

    def _looked_up(self, digest: bytes, task: asyncio.Task[Caller | None]) -> None:
        del self._running[digest]
        if not task.cancelled():
            task.exception()  # whoever still waits has it; asyncio must not complain when nobody does

    async def _ask_store(self, digest: bytes) -> Caller | None:
        revocations = self._revocations
        began = time.monotonic()
        stored = await self._store.token_by_digest(digest)
        now = datetime.now(UTC)
        caller = _caller_of(stored, digest, now=now)
        seconds = self._cache_seconds if caller is not None else self._refusal_cache_seconds
        if stored is not None and caller is not None and stored.expires_at is not None:
            seconds = min(seconds, (stored.expires_at - now).total_seconds())
        cache = self._callers if caller is not None else self._refusals
        if revocations == self._revocations:
            cache.put(digest, _Remembered(caller, began + seconds))
        return caller


class _Cache:
    """A bounded map that forgets what was asked for longest ago."""

    def __init__(self, entries: int) -> None:
        self._limit = entries
        self._entries: OrderedDict[bytes, _Remembered] = OrderedDict()

    def get(self, digest: bytes) -> _Remembered | None:
        remembered = self._entries.get(digest)
        if remembered is None:
            return None
        if remembered.until <= time.monotonic():
            self._remove(digest)
            return None
        self._entries.move_to_end(digest)
        return remembered

    def put(self, digest: bytes, remembered: _Remembered) -> None:
        if digest not in self._entries:
            cached_tokens.add(1)
        self._entries[digest] = remembered
        self._entries.move_to_end(digest)
        while len(self._entries) > self._limit:
            self._remove(next(iter(self._entries)))

    def drop(self, matches: Callable[[_Remembered], bool]) -> None:
        for digest in [digest for digest, remembered in self._entries.items() if matches(remembered)]:
            self._remove(digest)

    def _remove(self, digest: bytes) -> None:
        del self._entries[digest]
        cached_tokens.add(-1)


def require_scope(caller: Caller, scope: str) -> None:
    """Raises `TokenForbidden` when the token was made for other things."""
    if scope not in caller.scopes:
        raise TokenForbidden(scope)


def _bearer_token(authorization: bytes | None) -> bytes | None:
    """The credentials of a Bearer header (RFC 6750 §2.1; the scheme's name is case-insensitive, RFC 9110 §11.1)."""
    scheme, _, token = (authorization or b"").partition(b" ")
    return token.strip() if scheme.lower() == _SCHEME else None


def _caller_of(stored: StoredToken | None, digest: bytes, *, now: datetime) -> Caller | None:
    """The caller, or None for whatever reason. An unknown token takes the same comparisons as a revoked one."""
    is_same = hmac.compare_digest(stored.digest if stored is not None else bytes(len(digest)), digest)
    if stored is None or not is_same or stored.revoked_at is not None:
        return None
    if stored.expires_at is not None and stored.expires_at <= now:
        return None
    return Caller(account_id=stored.account_id, token_id=stored.token_id, scopes=stored.scopes)
