"""Which target served a turn or a session last, and when.

Every replica hears of every answered attempt, so all of them know the same, a moment later. A turn has to go on with
the same model; what is remembered of a session says which tier it is in.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from contracts.decisions import KnownPin
from contracts.router import Tier
from router.domain.tiers import IDLE_SECONDS
from router.profiles import Profile

MOST = 100_000
# As many as fit into one message of the bus (1 MiB).
MOST_HANDED_OVER = 8_000


@dataclass(frozen=True, slots=True)
class Pin:
    """A target, and when it served last: seconds of the replica's clock."""

    target: str
    at: float


def session_tier(pin: Pin | None, profile: Profile, *, now: float) -> Tier | None:
    """The tier that a session is in, until it was idle for long."""
    if pin is None or now - pin.at > IDLE_SECONDS:
        return None
    return profile.session_tier_of(pin.target)


class Pins:
    """Targets by opaque key, the longest unused ones forgotten first."""

    def __init__(self, *, most: int = MOST) -> None:
        self._most = most
        self._pins: OrderedDict[str, Pin] = OrderedDict()

    def __len__(self) -> int:
        return len(self._pins)

    def note(self, keys: Sequence[str], target: str, *, now: float) -> None:
        """This target has served what these keys stand for."""
        pin = Pin(target, now)
        for key in keys:
            self._pins[key] = pin
            self._pins.move_to_end(key)
        while len(self._pins) > self._most:
            self._pins.popitem(last=False)

    def find(self, keys: Iterable[str]) -> Pin | None:
        """That of the first key that has one."""
        return next((self._pins[key] for key in keys if key in self._pins), None)

    def newest(self, *, now: float) -> tuple[KnownPin, ...]:
        """For another replica: those that were used last."""
        found = islice(reversed(self._pins.items()), MOST_HANDED_OVER)
        return tuple(KnownPin(key=key, target=pin.target, age_seconds=now - pin.at) for key, pin in found)

    def take_over(self, known: Sequence[KnownPin], *, now: float) -> None:
        """Those of another replica, newest first; what is known here already stays."""
        for pin in reversed(known):
            if pin.key not in self._pins:
                self.note((pin.key,), pin.target, now=now - pin.age_seconds)
