"""The candidates of a plan in their order, each with its lane: who takes the request, and who may be called next."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from contracts.router import Candidate, Chosen, Dialect
from gateway.attempt import Attempt, Errand, NotedMint
from gateway.errors import RequestInvalid
from gateway.sealing import ANY_TARGET
from gateway.wire.lane import Identity, Lane, Mint, Quirks, Sealer, Target, Unservable, UnusableRequest
from gateway.wire.lanes import open_lane


@dataclass(frozen=True, slots=True)
class Writing:
    """How one request and its answer are written: whose ids they have, who seals what for a target, and by which key a
    target is told that requests begin alike."""

    identity: Identity
    mint: Mint
    sealer_of: Callable[[str], Sealer]
    cache_key_of: Callable[[str], str | None]


class Candidates:
    """Gives attempts that are not made yet. `unservable`: who was passed over, because it cannot take the request.

    `may_leave` is asked when the time of one is over.
    """

    def __init__(
        self, chosen: Chosen, errand: Errand, writing: Writing, *, may_leave: Callable[[Attempt], bool]
    ) -> None:
        self.unservable: list[Unservable] = []
        self._chosen = chosen
        self._errand = errand
        self._writing = writing
        self._may_leave = may_leave
        self._place = 0
        self._promised: Attempt | None = None

    def next(self, is_allowed: Callable[[], bool]) -> Attempt | None:
        """The next one that takes the request, if it is allowed to call it. Raises `RequestInvalid`."""
        if self._promised is not None:
            promised, self._promised = self._promised, None
            return promised
        while self._place < len(self._chosen.candidates):
            attempt = self._open(self._place)
            if attempt is not None and not is_allowed():
                return None
            self._place += 1
            if attempt is not None:
                return attempt
        return None

    def promise(self, is_allowed: Callable[[], bool]) -> bool:
        """Whether there is a next one that may be called. It is allowed now, and given when it is asked for."""
        if self._promised is None:
            try:
                self._promised = self.next(is_allowed)
            except RequestInvalid:
                return False
        return self._promised is not None

    def _open(self, place: int) -> Attempt | None:
        """None: it cannot take the request, and is not called."""
        candidate = self._chosen.candidates[place]
        mint = NotedMint(self._writing.mint)
        try:
            lane = self._lane(candidate, mint)
        except Unservable as cannot:
            self.unservable.append(cannot)
            return None
        except UnusableRequest as exc:
            raise RequestInvalid(exc.message, code=exc.code, param=exc.param) from exc
        return Attempt(
            self._errand,
            candidate,
            lane,
            mint,
            place=place + 1,
            patience_seconds=self._patience_seconds(place),
            may_leave=self._may_leave,
        )

    def _lane(self, candidate: Candidate, mint: Mint) -> Lane:
        writing = self._writing
        return open_lane(
            self._errand.request,
            _target(candidate, writing.cache_key_of),
            writing.identity,
            mint,
            sealer=writing.sealer_of(candidate.target),
            summaries=writing.sealer_of(ANY_TARGET),
        )

    def _patience_seconds(self, place: int) -> float | None:
        """What the router gives a candidate to its first byte. The last one is bound by its own time-outs only, and so
        is a whole answer: it comes when all of it is made, and to cut it would throw away what is nearly there."""
        deadlines = self._chosen.first_byte_seconds
        is_last = place + 1 >= len(self._chosen.candidates)
        return deadlines[place] if self._errand.request.is_stream and not is_last and place < len(deadlines) else None


@lru_cache(maxsize=1000)
def _quirks(dialect: Dialect) -> Quirks:
    return Quirks(**dialect.model_dump())


def _target(candidate: Candidate, cache_key_of: Callable[[str], str | None]) -> Target:
    """The candidate as the wire knows it."""
    return Target(
        model=candidate.model,
        format=candidate.format,
        quirks=_quirks(candidate.dialect),
        drop=candidate.parameters.drop,
        rename=candidate.parameters.rename,
        max_output_tokens=candidate.parameters.max_output_tokens,
        context_window=candidate.context_window,
        cache_key=cache_key_of(candidate.target) if candidate.dialect.takes_cache_key else None,
    )
