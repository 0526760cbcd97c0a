"""What this process remembers for the moments in which the router is silent: its last plans, and who served a turn."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from contracts.router import Candidate, Choose, Chosen

MOST_PLANS = 1000
KEEP_PLANS_SECONDS = 600.0
MOST_TURNS = 20_000
# Sizes of input and output together, in tokens: up to which a plan for one request is one for another.
SIZES = (2_000, 16_000, 64_000)

_Key = tuple[str, str, frozenset[str], bool, bool, int]


@dataclass(frozen=True, slots=True)
class _Kept:
    chosen: Chosen
    at: float


class Plans:
    """The last plan for each kind of request, ten minutes long. `clock` counts seconds."""

    def __init__(self, *, most: int = MOST_PLANS, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._kept: OrderedDict[_Key, _Kept] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, ask: Choose, chosen: Chosen) -> None:
        """Remember a plan that others may go by as well: not one that was made for what must not change, and not one
        that tries a failing target, which one request is enough for."""
        if ask.lock != "none" or (chosen.route is not None and chosen.route.placement == "probe"):
            return
        key = _key(ask)
        self._kept[key] = _Kept(chosen, self._clock())
        self._kept.move_to_end(key)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)

    def find(self, ask: Choose) -> Chosen | None:
        """A plan to go by without the router, marked as such; None when there is none that is safe.

        What must not change stays with the target that is known to have served it.
        """
        if ask.lock != "none":
            return self._pinned(ask)
        kept = self._fresh(_key(ask)) or self._of_other_times(ask)
        return _marked(_only(kept, lambda candidate: _fits(candidate, ask))) if kept is not None else None

    def _of_other_times(self, ask: Choose) -> Chosen | None:
        """The same for answers that are streamed when this one is not, or the other way round: without its times."""
        kept = self._fresh(_key(ask.model_copy(update={"is_stream": not ask.is_stream})))
        if kept is None:
            return None
        return kept.model_copy(update={"first_byte_seconds": (), "hedge_after_seconds": None})

    def _pinned(self, ask: Choose) -> Chosen | None:
        if ask.served_by is None:
            return None
        for key in reversed(self._kept):
            if key[:2] == (ask.plan, ask.alias) and (kept := self._fresh(key)) is not None:
                found = _only(kept, lambda candidate: candidate.target == ask.served_by and _fits(candidate, ask))
                if found is not None:
                    return _marked(found)
        return None

    def _fresh(self, key: _Key) -> Chosen | None:
        kept = self._kept.get(key)
        return kept.chosen if kept is not None and self._clock() - kept.at <= KEEP_PLANS_SECONDS else None


class Served:
    """Which target answered a turn last, as far as it was this process that asked it; the oldest are forgotten."""

    def __init__(self, *, most: int = MOST_TURNS) -> None:
        self._most = most
        self._targets: OrderedDict[UUID, str] = OrderedDict()

    def __len__(self) -> int:
        return len(self._targets)

    def note(self, turn_id: UUID, target: str) -> None:
        self._targets[turn_id] = target
        self._targets.move_to_end(turn_id)
        if len(self._targets) > self._most:
            self._targets.popitem(last=False)

    def target_of(self, turn_id: UUID) -> str | None:
        return self._targets.get(turn_id)


def _key(ask: Choose) -> _Key:
    features = ask.features
    tokens = _tokens(ask)
    size = sum(tokens > limit for limit in SIZES)
    return ask.plan, ask.alias, frozenset(features.needs), features.is_reasoning, ask.is_stream, size


def _tokens(ask: Choose) -> int:
    return ask.features.input_tokens + (ask.features.output_tokens or 0)


def _fits(candidate: Candidate, ask: Choose) -> bool:
    return candidate.context_window is None or _tokens(ask) <= candidate.context_window


def _only(chosen: Chosen, is_wanted: Callable[[Candidate], bool]) -> Chosen | None:
    """The plan with these candidates only."""
    places = [place for place, candidate in enumerate(chosen.candidates) if is_wanted(candidate)]
    if len(places) == len(chosen.candidates):
        return chosen
    if not places:
        return None
    deadlines = chosen.first_byte_seconds
    return chosen.model_copy(
        update={
            "candidates": tuple(chosen.candidates[place] for place in places),
            "first_byte_seconds": tuple(deadlines[place] for place in places if place < len(deadlines)),
        }
    )


def _marked(chosen: Chosen | None) -> Chosen | None:
    if chosen is None or chosen.route is None:
        return chosen
    route = chosen.route.model_copy(update={"rule": "last_plan", "candidates": len(chosen.candidates)})
    return chosen.model_copy(update={"route": route})
