"""Which settlement of a request has its line: the first one in stream order, in whatever order they arrive.

A later one is kept as a conflict and changes nothing. When the first one arrives late, the wrong line is taken back by
a reversal and the right one appended: the sum over settlement and reversal lines is then what the first one said.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from uuid import UUID

from billing.domain.lines import Entry, Kind, Posted, Settlement, prompts_of, settlement_entry, settlement_of

AUTHOR = "billing"

History = Mapping[UUID, Sequence[Posted]]


@dataclass(slots=True)
class Decided:
    """What a batch of settlements makes of the ledger: entries to append in this order, settlements to keep as
    conflicts, and the requests whose line was of another settlement than the first."""

    entries: list[Entry] = field(default_factory=list)
    conflicts: list[Settlement] = field(default_factory=list)
    late_firsts: list[UUID] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of a batch of settlements.

    `ages_seconds` has one entry per settlement that got its line: from the end of the request to the line. `lines` are
    all that were written, reversals included; `late_firsts` the requests whose line was put right.
    """

    ages_seconds: Sequence[float]
    lines: int
    conflicts: int
    late_firsts: Sequence[UUID]


def decide(settlements: Sequence[Settlement], history: History) -> Decided:
    """What to write for a batch. `history` has the lines that its requests have already, in the order of revision."""
    decided = Decided()
    told: defaultdict[UUID, dict[int, Settlement]] = defaultdict(dict)
    for settlement in sorted(settlements, key=lambda settlement: settlement.sequence):
        told[settlement.settled.request_id][settlement.sequence] = settlement
    for request_id, by_sequence in told.items():
        first, *others = by_sequence.values()
        lines = history.get(request_id, ())
        if not lines:
            decided.entries.append(settlement_entry(first))
            decided.conflicts += others
        else:
            _decide_known(decided, [first, *others], lines)
    return decided


def live_settlement(lines: Sequence[Posted]) -> Posted:
    """The settlement line of a request that no reversal took back: the newest one. Raises `StopIteration` without."""
    return next(posted for posted in reversed(lines) if posted.entry.kind == Kind.SETTLEMENT)


def _decide_known(decided: Decided, candidates: Sequence[Settlement], lines: Sequence[Posted]) -> None:
    """A request that has lines. The same sequence is the same message, delivered again: nothing to do."""
    live = live_settlement(lines)
    first = candidates[0]
    is_of_account = first.settled.account_id == live.entry.account_id
    # The line of one account is never moved to another one: whoever claims that is kept for staff.
    if first.sequence < live.entry.stream_sequence and is_of_account:
        decided.entries += _put_right(live, lines, first)
        decided.conflicts += [*candidates[1:], settlement_of(live)]
        decided.late_firsts.append(live.entry.request_id)
        return
    decided.conflicts += [each for each in candidates if each.sequence != live.entry.stream_sequence]


def _put_right(live: Posted, lines: Sequence[Posted], first: Settlement) -> list[Entry]:
    """A reversal of the wrong line, the right one, and what else rested on the wrong one."""
    reason = f"the settlement at {first.sequence} of the stream came before the one at {live.entry.stream_sequence}"
    entries = [_taking_back(live, kind=Kind.REVERSAL, reason=reason), settlement_entry(first)]
    for posted in lines:
        if posted.entry.kind == Kind.CORRECTION and posted.entry.corrects == live.id:
            entries.append(_taking_back(posted, kind=Kind.CORRECTION, reason="the line that it corrected was reversed"))
    credits = [posted for posted in lines if posted.entry.kind == Kind.CREDIT_NOTE]
    surplus = -prompts_of([*(posted.entry for posted in lines), *entries])
    if surplus > 0 and credits:
        taken_back = _taking_back(credits[-1], kind=Kind.CREDIT_NOTE, reason="what it gave back was not charged")
        entries.append(replace(taken_back, prompts=surplus))
    after = lines[-1].entry.revision + 1
    return [replace(entry, revision=revision) for revision, entry in enumerate(entries, start=after)]


def _taking_back(posted: Posted, *, kind: Kind, reason: str) -> Entry:
    return replace(negated(posted.entry), kind=kind.value, corrects=posted.id, author=AUTHOR, reason=reason)


def negated(entry: Entry) -> Entry:
    """All figures that are summed, with the other sign."""
    return replace(
        entry,
        prompts=-entry.prompts,
        input_tokens=-entry.input_tokens,
        cached_input_tokens=-entry.cached_input_tokens,
        output_tokens=-entry.output_tokens,
        reasoning_tokens=-entry.reasoning_tokens,
        cost=None if entry.cost is None else Decimal(0) - entry.cost,
    )
