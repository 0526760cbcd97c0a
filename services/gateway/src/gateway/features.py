"""What a request says of itself to be routed by: counts, kinds, one estimate, and opaque keys. Its text stays here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from contracts.quota import Continued
from contracts.router import Features, Lock, RequestClass
from gateway.domain import Caller
from gateway.sealing import Sealing
from gateway.wire.lane import Brief, ClientRequest

# Fewer bytes to a token than nearly all text has: what fits by this estimate fits.
BYTES_PER_TOKEN = 3
LONG_CONTEXT_TOKENS = 16_000


class Scorer(Protocol):
    """Estimates how hard a prompt is."""

    def score(self, text: str) -> float | None:
        """The probability, 0 to 1, that a light model fails; None when nothing can be said."""


KindOf = Callable[[str], RequestClass]
"""What a text asks for, by cheap rules."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What the router is asked with. `lock` and `served_by` say what must not change, `session` is an opaque key."""

    features: Features
    lock: Lock
    served_by: str | None
    session: str | None


class Reader:
    """Reads requests. `sealing` knows which target a state came from, and makes keys that tell nothing."""

    def __init__(self, scorer: Scorer | None, sealing: Sealing, *, kind_of: KindOf | None = None) -> None:
        self._scorer = scorer
        self._sealing = sealing
        self._kind_of = kind_of

    def read(self, caller: Caller, request: ClientRequest, continues: Continued | None) -> Reading:
        """`continues` is the turn that the request goes on with, as far as its ids prove one."""
        brief = request.brief
        served_by = self._target_of(caller.account_id, brief.sealed)
        lock: Lock = "none"
        if served_by is not None:
            lock = "target"
        elif brief.is_tool_loop or continues is not None:
            lock = "model"
        return Reading(self._features(brief), lock, served_by, self._session_of(caller.account_id, request))

    def _features(self, brief: Brief) -> Features:
        tokens = -(-brief.input_bytes // BYTES_PER_TOKEN)
        has_estimate = self._scorer is not None and bool(brief.user_text)
        return Features(
            request_class=self._class_of(brief, tokens),
            difficulty=self._scorer.score(brief.user_text) if has_estimate and self._scorer is not None else None,
            input_tokens=tokens,
            output_tokens=brief.output_tokens,
            needs=brief.needs,
            is_reasoning=brief.is_reasoning,
        )

    def _class_of(self, brief: Brief, tokens: int) -> RequestClass:
        if brief.may_call:
            return "tools"
        if "images" in brief.needs:
            return "images"
        if tokens > LONG_CONTEXT_TOKENS:
            return "long_context"
        return self._kind_of(brief.user_text) if self._kind_of is not None and brief.user_text else "unknown"

    def _target_of(self, account_id: UUID, sealed: Sequence[str]) -> str | None:
        """Whose state the request carries: the newest that can be read counts."""
        found = (self._sealing.target_of(account_id, state) for state in reversed(sealed))
        return next((target for target in found if target is not None), None)

    def _session_of(self, account_id: UUID, request: ClientRequest) -> str:
        """The session that the client names, or else the conversation. The two never meet, nor do two accounts."""
        named = request.session_key
        if named:
            return self._sealing.pseudonym(account_id, b"named " + named.encode("utf-8", "surrogatepass"))
        return self._sealing.pseudonym(account_id, b"opened " + request.brief.opening)


def reader(sealing: Sealing) -> Reader:
    """The reader of this process, which looks at requests with the weights that were shipped."""
    return Reader(None, sealing)
