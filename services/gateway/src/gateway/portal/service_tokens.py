"""What users do with the service tokens of their account: create, rotate with an overlap, revoke at once."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from uuid import UUID

from chassis.bus import Bus
from gateway import accounts
from gateway.auth import SCOPES
from gateway.errors import NotInForce
from gateway.store import Store, TokenStore
from gateway.tables import Token

ACTIVE_LIMIT = 50
ENDED_SHOWN = 50
NAME_LENGTH = 80
SOON = timedelta(days=7)

# By what the form sends; the values are what the reader chooses from.
LIFETIMES: Mapping[str, timedelta | None] = MappingProxyType(
    {"30": timedelta(days=30), "90": timedelta(days=90), "365": timedelta(days=365), "never": None}
)
OVERLAPS: Mapping[str, timedelta] = MappingProxyType(
    {"0": timedelta(0), "1": timedelta(hours=1), "24": timedelta(hours=24), "168": timedelta(days=7)}
)

# Control characters, halves of characters, ends of lines; and marks that turn the text around them.
_UNSEEN_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})
_TURNING = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u061c")


class State(StrEnum):
    """What a token is worth now."""

    ACTIVE = "active"
    EXPIRES_SOON = "expires soon"
    EXPIRED = "expired"
    REVOKED = "revoked"

    @property
    def is_good(self) -> bool:
        return self in (State.ACTIVE, State.EXPIRES_SOON)


def state_of(token: Token, *, now: datetime) -> State:
    """Whatever came first ended it."""
    expires_at, revoked_at = token.expires_at, token.revoked_at
    if revoked_at is not None and (expires_at is None or revoked_at < expires_at):
        return State.REVOKED
    if expires_at is None or expires_at - now > SOON:
        return State.ACTIVE
    return State.EXPIRES_SOON if expires_at > now else State.EXPIRED


@dataclass(frozen=True, slots=True)
class Wanted:
    """A token that was asked for, as it was filled in. `lifetime` is a key of `LIFETIMES`."""

    name: str = ""
    scopes: tuple[str, ...] = SCOPES
    lifetime: str = "90"

    def faults(self) -> Mapping[str, str]:
        """What is wrong with it, in words, by the field."""
        found = {
            "name": _fault_of_name(self.name),
            "scopes": "" if self.scopes and set(self.scopes) <= set(SCOPES) else "Choose at least one.",
            "lifetime": "" if self.lifetime in LIFETIMES else "Choose one of these.",
        }
        return {where: fault for where, fault in found.items() if fault}


def _fault_of_name(name: str) -> str:
    if not name:
        return "Give it a name, so that you know it again."
    if len(name) > NAME_LENGTH:
        return f"At most {NAME_LENGTH} characters."
    if any(unicodedata.category(each) in _UNSEEN_CATEGORIES or each in _TURNING for each in name):
        return "The name has characters that cannot be shown."
    return ""


class TokenGone(Exception):
    """The token is not the account's, or not active any more."""


@dataclass(frozen=True, slots=True)
class Rotated:
    """`secret` is the text of `new`. `ends_at`: until then the old one is good; None: it is revoked.

    `is_in_force`: quota refuses the revoked one already.
    """

    secret: str = field(repr=False)
    new: Token
    old: Token
    ends_at: datetime | None
    is_in_force: bool = True


@dataclass(frozen=True, slots=True)
class ServiceTokens:
    """Everything is by account: what is another's is not there."""

    tokens: TokenStore
    store: Store
    bus: Bus
    timeout_seconds: float

    async def create(self, account_id: UUID, wanted: Wanted) -> tuple[str, Token]:
        """Of a request without faults. Raises `TooManyTokens`."""
        secret, token = accounts.new_token(
            account_id, name=wanted.name, scopes=wanted.scopes, lifetime=LIFETIMES[wanted.lifetime]
        )
        await self.tokens.add(token, limit=ACTIVE_LIMIT)
        return secret, token

    async def rotate(self, account_id: UUID, token_id: UUID, *, overlap: timedelta) -> Rotated:
        """Raises `TokenGone`, `TooManyTokens`."""
        old = await self.tokens.find(account_id, token_id)
        if old is None:
            raise TokenGone
        secret, new = accounts.successor(old)
        if not overlap:
            return await self._take_over(old, new, secret)
        ends_at = await self.tokens.replace(old, new, ends_at=new.created_at + overlap, limit=ACTIVE_LIMIT)
        if ends_at is None:
            raise TokenGone
        await accounts.tell_changed(self.bus, old)
        return Rotated(secret, new, old, ends_at)

    async def _take_over(self, old: Token, new: Token, secret: str) -> Rotated:
        revoked = await self.tokens.take_over(old, new, limit=ACTIVE_LIMIT)
        if revoked is None:
            raise TokenGone
        return Rotated(secret, new, revoked, None, await self._block(revoked))

    async def revoke(self, account_id: UUID, token_id: UUID) -> bool:
        """Whether it is in force; if not, the gateways go on telling quota. Safe to repeat. Raises `TokenGone`."""
        token = await self.tokens.revoke(account_id, token_id)
        if token is None:
            raise TokenGone
        return token.blocked_at is not None or await self._block(token)

    async def _block(self, token: Token) -> bool:
        try:
            await accounts.block_token(self.bus, self.store, token, timeout_seconds=self.timeout_seconds)
        except NotInForce:
            return False
        return True
