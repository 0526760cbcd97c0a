"""Passwords: which ones are good enough, and argon2id, which makes them costly to guess.

Hashing takes some 50 ms and 64 MiB on purpose: it is done in threads of its own, so few at once that neither the event
loop nor the memory of the process feels it.
"""

import asyncio
import itertools
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.profiles import RFC_9106_LOW_MEMORY

from chassis import telemetry
from gateway.errors import ServiceUnavailable

SHORTEST = 12
LONGEST = 256
AT_ONCE = 2
WAITING_LIMIT = 40

_LIST = Path(__file__).with_name("commonest_passwords.txt")
# What a password is verified against when there is none: an unknown user takes as long as a known one. The hash of 256
# random bits that nobody has kept, with the parameters of `Passwords`: made once, and not at every start.
_NOBODYS = "$argon2id$v=19$m=65536,t=3,p=4$cLSnybPel5W4Gw4UftNOHA$oms5fSxqj2zFepuvN3xkdpJkFiVY5qDu6xS0nMrL9GU"
# "abcabcabcabc" is as easy to guess as "abc".
_LONGEST_PATTERN = 4

ResultT = TypeVar("ResultT")

_work = telemetry.meter.create_counter(
    "smartroute.portal.password_hashes", unit="{hash}", description="Argon2id computations, by what they were for"
)


class PasswordWeak(ValueError):
    """The text says why, to the user."""


def normalised(password: str) -> str:
    """As it is compared: the same however a keyboard composes its characters (NIST SP 800-63B-4, 3.1.1.2)."""
    return unicodedata.normalize("NFKC", password)


def check(password: str, *, email: str) -> None:
    """Raises `PasswordWeak`. By length and by what guessers try first; no rules on digits and signs (NIST, 3.1.1.2)."""
    text = normalised(password)
    if len(text) < SHORTEST:
        raise PasswordWeak(f"The password needs at least {SHORTEST} characters. A few words in a row are good.")
    if len(text) > LONGEST:
        raise PasswordWeak(f"The password can have at most {LONGEST} characters.")
    folded = text.casefold()
    if folded in (email.casefold(), email.casefold().partition("@")[0]):
        raise PasswordWeak("The password must not be your e-mail address.")
    if folded in _COMMONEST or _is_pattern(folded) or _is_row(folded):
        raise PasswordWeak("That password is among the first that guessers try. Choose another one.")


class Passwords:
    """Hashes and verifies. One per process."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="argon2")
        self._waiting = 0

    async def hash(self, password: str) -> str:
        """Raises `ServiceUnavailable` when too many wait."""
        _work.add(1, {"work": "hash"})
        return await self._in_thread(lambda: self._hasher.hash(normalised(password)))

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Whether it is the password. None has no password that is right, and takes the same work to say so.

        Raises `ServiceUnavailable` when too many wait.
        """
        _work.add(1, {"work": "verify"})
        is_right = await self._in_thread(lambda: self._is_right(password_hash or _NOBODYS, password))
        return is_right and password_hash is not None

    def is_outdated(self, password_hash: str) -> bool:
        """Whether it was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(password_hash)

    def _is_right(self, password_hash: str, password: str) -> bool:
        # Longer than any that was ever taken is wrong however much longer: the work does not grow with it.
        text = normalised(password)[: LONGEST + 1]
        try:
            return self._hasher.verify(password_hash, text)
        except (VerificationError, InvalidHashError):
            return False

    async def _in_thread(self, work: Callable[[], ResultT]) -> ResultT:
        if self._waiting >= WAITING_LIMIT:
            raise ServiceUnavailable
        self._waiting += 1
        running = asyncio.get_running_loop().run_in_executor(self._threads, work)
        running.add_done_callback(self._done)
        # Shielded: it goes on in its thread anyhow, and counts as long as it does.
        return await asyncio.shield(running)

    def _done(self, _: asyncio.Future[ResultT]) -> None:
        self._waiting -= 1


def _is_pattern(text: str) -> bool:
    return any((text[:length] * len(text))[: len(text)] == text for length in range(1, _LONGEST_PATTERN + 1))


def _is_row(text: str) -> bool:
    """Whether every character follows the one before: "123456789012", "zyxwvutsrqpo"."""
    steps = {(ord(after) - ord(before)) for before, after in itertools.pairwise(text)}
    is_digits = text.isdecimal() and len({step % 10 for step in steps}) == 1
    return is_digits or steps in ({1}, {-1})


def _commonest() -> frozenset[str]:
    lines = _LIST.read_text(encoding="utf-8").splitlines()
    return frozenset(line.casefold() for line in lines if line and not line.startswith("#"))


_COMMONEST = _commonest()
