"""Every order in which messages of one request can be processed, redeliveries included."""

from collections.abc import Iterator, Sequence
from itertools import permutations
from typing import TypeVar

StepT = TypeVar("StepT")


def orderings(steps: Sequence[StepT], *, redelivered: Sequence[StepT] = ()) -> Iterator[tuple[StepT, ...]]:
    """Each order of `steps`, and each of `steps` with those of `redelivered` a second time, once."""
    seen: set[tuple[StepT, ...]] = set()
    for again in range(len(redelivered) + 1):
        for order in permutations([*steps, *redelivered[:again]]):
            if order not in seen:
                seen.add(order)
                yield order
