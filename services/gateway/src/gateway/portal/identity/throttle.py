"""How often something may be tried: growing waits, per account and per address, that never keep the owner out.

Whoever has signed in with a browser before has a device cookie there, and its tries count on a counter of its own: a
flood of guesses at an account, or from a shared address, is not in its way (OWASP, "Slow down online guessing attacks
with device cookies"). A reset by mail works at any time, too, and clears the account's counter.
"""

import hmac
import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from gateway.portal.errors import TooManyTries
from gateway.store.throttle import Counter, Pace, ThrottleStore

_PURPOSE = b"portal throttle\0"

# From the fourth failure on 2, 4, 8 … seconds.
_ACCOUNT = Pace(free=3, first_seconds=2, cap_seconds=60, decay_seconds=600)
# Many people can share an address: more is free, and guessing at many accounts from one ends in long waits.
_ADDRESS = Pace(free=10, first_seconds=2, cap_seconds=300, decay_seconds=600)
# Five at once, then one every twelve minutes: the newest link of those is always good for longer than that.
_MAILS_TO = Pace(free=4, first_seconds=720, cap_seconds=720, decay_seconds=720)
_MAILS_FROM = Pace(free=59, first_seconds=60, cap_seconds=60, decay_seconds=60)


class Kind(StrEnum):
    """What is counted. One counter never stands for two of them."""

    ACCOUNT = "account"
    ADDRESS = "address"
    DEVICE = "device"
    PROOF = "proof"
    LINK = "link"
    MAILS_TO = "mails to"
    MAILS_FROM = "mails from"


_PACES = {
    Kind.ACCOUNT: _ACCOUNT,
    Kind.ADDRESS: _ADDRESS,
    Kind.DEVICE: _ACCOUNT,
    Kind.PROOF: _ACCOUNT,
    Kind.LINK: _ADDRESS,
    Kind.MAILS_TO: _MAILS_TO,
    Kind.MAILS_FROM: _MAILS_FROM,
}


@dataclass(frozen=True, slots=True)
class Try:
    """A try that was counted as failed before it is looked at; `Throttle.succeeded` says that it was none."""

    own: tuple[bytes, ...]
    shared: tuple[bytes, ...]


class Throttle:
    """The waits of this portal. Neither addresses nor e-mails are stored: counters are found by a keyed digest."""

    def __init__(self, store: ThrottleStore, key: bytes) -> None:
        self._store = store
        self._key = key

    async def sign_in(self, *, email: str, address: str, device: str | None) -> Try:
        """`device` is one that this user has signed in with. Raises `TooManyTries`, and then nothing is counted."""
        if device is not None:
            return await self._counted(own=[(Kind.DEVICE, device)])
        return await self._counted(own=[(Kind.ACCOUNT, email)], shared=[(Kind.ADDRESS, address)])

    async def proof(self, *, user: str, address: str) -> Try:
        """The password again, of who is signed in. Guesses of others at the account do not count here."""
        return await self._counted(own=[(Kind.PROOF, user)], shared=[(Kind.ADDRESS, address)])

    async def link(self, *, address: str) -> Try:
        return await self._counted(shared=[(Kind.LINK, address)])

    async def mail(self, *, email: str, address: str) -> None:
        """Counted whether or not there is a user with that e-mail, and whether or not a mail is sent."""
        await self._counted(own=[(Kind.MAILS_TO, email)], shared=[(Kind.MAILS_FROM, address)])

    async def succeeded(self, tried: Try) -> None:
        """What was of this user alone begins anew. An address keeps what others did: who has an account of his own
        must not be able to wash his guesses at other ones away."""
        if tried.own:
            await self._store.clear(tried.own)
        if tried.shared:
            await self._store.take_back(tried.shared)

    async def clear_account(self, email: str) -> None:
        await self._store.clear([self._subject(Kind.ACCOUNT, email)])

    async def _counted(self, *, own: Sequence[tuple[Kind, str]] = (), shared: Sequence[tuple[Kind, str]] = ()) -> Try:
        counters = [Counter(self._subject(kind, value), _PACES[kind]) for kind, value in (*own, *shared)]
        wait_seconds = await self._store.count(counters)
        if wait_seconds is not None:
            raise TooManyTries(max(1, math.ceil(wait_seconds)))
        return Try(
            own=tuple(self._subject(kind, value) for kind, value in own),
            shared=tuple(self._subject(kind, value) for kind, value in shared),
        )

    def _subject(self, kind: Kind, value: str) -> bytes:
        return hmac.digest(self._key, _PURPOSE + kind.encode() + b"\0" + value.encode(), "sha256")
