"""Where the requests of a session go: to the same target, so that its prompt cache survives, as long as that is well.

Rendezvous hashing (Thaler and Ravishankar, "Using name-based mappings to increase hit rates", 1998): every target gets
a weight from session and name, the highest wins; no table is kept, and a target that comes or goes moves only its own
sessions. Bounded loads (Mirrokni, Thorup and Zadimoghaddam, "Consistent Hashing with Bounded Loads", 2018): a target
that has more than `BOUND` times its share passes the session on to the next.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence

# 1.25 moved 5 to 7 % of the turns of sessions whose target was well, at 70 % load with a fault elsewhere; 1.4 moves 3 %
# at most and makes no wait longer (`make bench-routing`, goal A2).
BOUND = 1.4
# With a few requests in all, a share is less than one: so many may always be with one target.
LEAST_BOUND = 8


def ranking(session: str, targets: Sequence[str]) -> list[str]:
    """The targets in the order in which this session prefers them."""
    return sorted(targets, key=lambda target: _weight(session, target), reverse=True)


def rank(session: str) -> float:
    """A number of its own for every session, evenly from 0 to 1."""
    return int.from_bytes(_weight(session, ""), "big") / 2**64


def places(session: str, targets: Sequence[str], in_flight: Mapping[str, int]) -> list[str]:
    """The session's target, its second choice and so on; those that have more than their share come last."""
    if not targets:
        return []
    total = sum(in_flight.get(target, 0) for target in targets)
    bound = max(math.ceil(BOUND * (total + 1) / len(targets)), LEAST_BOUND)
    return sorted(ranking(session, targets), key=lambda target: in_flight.get(target, 0) >= bound)


def _weight(session: str, target: str) -> bytes:
    return hashlib.blake2b(f"{session}\0{target}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
