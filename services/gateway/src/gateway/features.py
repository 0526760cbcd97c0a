"""What a request says of itself to be routed by: counts, kinds, one estimate, and opaque keys. Its text stays here."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Protocol
from uuid import UUID

import scoring
from contracts.quota import Continued
from contracts.router import Features, Lock, RequestClass
from gateway.domain import Caller
from gateway.sealing import Sealing
from gateway.wire.lane import Brief, ClientRequest

# Fewer bytes to a token than nearly all text has: what fits by this estimate fits.
BYTES_PER_TOKEN = 3
LONG_CONTEXT_TOKENS = 16_000
# An agent asks with the same words of its user dozens of times.
MOST_KNOWN = 10_000


class Scorer(Protocol):
    """Estimates how hard a prompt is."""

    def score(self, text: str) -> float:
        """The probability, 0 to 1, that a light model fails."""


KindOf = Callable[[str], RequestClass]
"""What a text asks for, by cheap rules."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What the router is asked with. `lock` and `served_by` say what must not change, `session` is an opaque key.

    `cached_as` is the session again where its requests have more in common with each other than with those of other
    sessions: an agent's, or one that the client names. Of the others, providers find the common beginning themselves.
    `may_leave_state`: no tool calls are open, so thoughts of earlier turns may be left behind.
    """

    features: Features
    lock: Lock
    served_by: str | None
    session: str | None
    cached_as: str | None = None
    may_leave_state: bool = False


@dataclass(frozen=True, slots=True)
class _Judged:
    """What is known of a text."""

    difficulty: float | None
    kind: RequestClass


_NO_TEXT = _Judged(None, "unknown")


class Reader:
    """Reads requests. `sealing` knows which target a state came from, and makes keys that tell nothing."""

    def __init__(self, scorer: Scorer, sealing: Sealing, *, kind_of: KindOf = scoring.kind_of) -> None:
        self._scorer = scorer
        self._known: OrderedDict[bytes, _Judged] = OrderedDict()
        self._sealing = sealing
        self._kind_of = kind_of

    def read(self, caller: Caller, request: ClientRequest, continues: Continued | None) -> Reading:
        """`continues` is the turn that the request goes on with, as far as its ids prove one."""
        brief = request.brief
        served_by = self._target_of(caller.account_id, brief.sealed)
        is_open = brief.is_tool_loop or continues is not None
        lock: Lock = "none"
        if served_by is not None:
            lock = "target"
        elif is_open:
            lock = "model"
        session = self._session_of(caller.account_id, request)
        cached_as = session if request.session_key or brief.may_call else None
        return Reading(self._features(brief), lock, served_by, session, cached_as, may_leave_state=not is_open)

    def _features(self, brief: Brief) -> Features:
        tokens = -(-brief.input_bytes // BYTES_PER_TOKEN)
        judged = self._judged(brief.user_text) if brief.user_text else _NO_TEXT
        return Features(
            request_class=_class_of(brief, tokens, judged.kind),
            difficulty=judged.difficulty,
            input_tokens=tokens,
            output_tokens=brief.output_tokens,
            needs=brief.needs,
            is_reasoning=brief.is_reasoning,
        )

    def _judged(self, text: str) -> "_Judged":
        """Kept by a digest: no text stays in memory."""
        key = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        known = self._known.pop(key, None)
        self._known[key] = known = known or _Judged(self._scorer.score(text), self._kind_of(text))
        if len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)
        return known

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


def _class_of(brief: Brief, tokens: int, kind: RequestClass) -> RequestClass:
    if brief.may_call:
        return "tools"
    if "images" in brief.needs:
        return "images"
    return "long_context" if tokens > LONG_CONTEXT_TOKENS else kind


def reader(sealing: Sealing) -> Reader:
    """The reader of this process, which looks at requests with the weights that were shipped."""
    return Reader(scoring.Scorer.shipped(), sealing)
