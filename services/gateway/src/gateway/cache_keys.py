"""The keys by which providers are told which requests begin alike: ours, so that those of two customers never meet.

Providers answer requests with the same beginning and key on one machine, whose cache is warm, as long as there are not
too many of them (OpenAI: about 15 a minute); those that are too many go elsewhere. A busy session gets several keys,
the next one when the one before has had its share of the minute. Counted by each gateway for itself.
"""

from collections import OrderedDict
from hashlib import blake2b

MOST_PER_MINUTE = 15
MAX_SESSIONS = 20_000
_MINUTE_SECONDS = 60.0
_DIGEST_BYTES = 16
_PURPOSE = b"prompt cache key"


class CacheKeys:
    """Gives keys to requests. The sessions that were idle longest are forgotten, and begin at their first key again."""

    def __init__(self, *, most_per_minute: int = MOST_PER_MINUTE, capacity: int = MAX_SESSIONS) -> None:
        self._most = most_per_minute
        self._capacity = capacity
        self._counted: OrderedDict[tuple[str, str], tuple[int, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._counted)

    def next(self, session: str, target: str, now: float) -> str:
        """The key of a session's next request to a target. `now` counts seconds of any clock.

        It tells neither the session nor the target, and no other target gets the same one.
        """
        minute = int(now // _MINUTE_SECONDS)
        counted_in, count = self._counted.pop((session, target), (minute, 0))
        if counted_in != minute:
            count = 0
        self._counted[session, target] = (minute, count + 1)
        if len(self._counted) > self._capacity:
            self._counted.popitem(last=False)
        named = f"{session} {target}".encode()
        return f"{blake2b(named, digest_size=_DIGEST_BYTES, person=_PURPOSE).hexdigest()}#{count // self._most}"
