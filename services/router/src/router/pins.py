"""Which target served a turn or a session last: it comes first again, so that tool formats and prompt caches survive.

Every replica hears of every answered attempt, so all of them know the same, a moment later. What is lost with a report
or a restart costs a prompt cache, never an answer.
"""

from collections import OrderedDict
from collections.abc import Sequence

MOST = 100_000


class Pins:
    """Targets by opaque key, the longest unused ones forgotten first."""

    def __init__(self, *, most: int = MOST) -> None:
        self._most = most
        self._targets: OrderedDict[str, str] = OrderedDict()

    def __len__(self) -> int:
        return len(self._targets)

    def note(self, keys: Sequence[str], target: str) -> None:
        """This target has served what these keys stand for."""
        for key in keys:
            self._targets[key] = target
            self._targets.move_to_end(key)
        while len(self._targets) > self._most:
            self._targets.popitem(last=False)

    def target_of(self, keys: Sequence[str]) -> str | None:
        """The target of the first key that has one."""
        return next((self._targets[key] for key in keys if key in self._targets), None)
