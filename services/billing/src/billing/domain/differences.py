"""What a comparison found: every difference with its names and figures, and the report that holds them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

Figure = str | int | None


class Kind(StrEnum):
    """What is different. `docs/reconciliation.md` says of each what it means and what to do; a test compares both."""

    LINE_MISSING = "line_missing"
    LINE_WITHOUT_MESSAGE = "line_without_message"
    LINE_OF_ANOTHER_MESSAGE = "line_of_another_message"
    LINE_DIFFERS = "line_differs"
    LINE_DOUBLED = "line_doubled"
    REVERSAL_DIFFERS = "reversal_differs"
    MESSAGE_UNREADABLE = "message_unreadable"
    USED_DIFFERS = "used_differs"
    SETTLED_DIFFERS = "settled_differs"
    COUNTERS_DIFFER = "counters_differ"
    RESERVATIONS_OVERDUE = "reservations_overdue"
    LIMIT_EXCEEDED = "limit_exceeded"
    SEQUENCE_BROKEN = "sequence_broken"
    LINK_BROKEN = "link_broken"
    HASH_DIFFERS = "hash_differs"
    REWRITTEN = "rewritten"
    HEAD_DIFFERS = "head_differs"
    CLOSE_MISSING = "close_missing"
    CLOSE_DIFFERS = "close_differs"
    CLOSE_LINK_BROKEN = "close_link_broken"
    CLOSE_FORGED = "close_forged"


OF_THE_CHAIN = frozenset({Kind.SEQUENCE_BROKEN, Kind.LINK_BROKEN, Kind.HASH_DIFFERS, Kind.REWRITTEN, Kind.HEAD_DIFFERS})
OF_THE_CLOSES = frozenset({Kind.CLOSE_MISSING, Kind.CLOSE_DIFFERS, Kind.CLOSE_LINK_BROKEN, Kind.CLOSE_FORGED})


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as it should be, named as far as it has names.

    `day` is the first day of the window, or the closed day. `sequence` is the place in the account's chain,
    `stream_sequence` the place in the REQUESTS stream. `figures` say what each side has.
    """

    kind: Kind
    account_id: UUID | None = None
    window: str | None = None
    day: date | None = None
    request_id: UUID | None = None
    line: int | None = None
    sequence: int | None = None
    stream_sequence: int | None = None
    figures: Mapping[str, Figure] = field(default_factory=dict)

    @property
    def identity(self) -> tuple[object, ...]:
        """What makes it the same difference when it is found again, whatever its figures are then."""
        # Counters of one window can differ in more than one way, told apart by what is compared.
        figures = tuple(sorted(self.figures)) if self.kind is Kind.COUNTERS_DIFFER else ()
        return (self.kind, self.account_id, self.window, self.day, self.request_id, self.line, self.sequence, figures)

    def as_json(self) -> dict[str, object]:
        """Only what it has a name for."""
        named = {name: value for name, value in self._names() if value is not None}
        return {"kind": self.kind.value, **named, "figures": dict(self.figures)}

    def __str__(self) -> str:
        names = " ".join(f"{name} {value}" for name, value in self._names() if value is not None)
        figures = ", ".join(f"{name} {'-' if value is None else value}" for name, value in self.figures.items())
        return f"{self.kind.value}: {names}" + (f": {figures}" if figures else "")

    def _names(self) -> Sequence[tuple[str, Figure]]:
        return (
            ("account", _text(self.account_id)),
            ("window", self.window),
            ("day", _text(self.day)),
            ("request", _text(self.request_id)),
            ("line", self.line),
            ("sequence", self.sequence),
            ("message", self.stream_sequence),
        )


def from_json(found: Mapping[str, object]) -> Difference:
    """What `as_json` wrote."""
    figures = found.get("figures")
    account, request, day = found.get("account"), found.get("request"), found.get("day")
    return Difference(
        Kind(str(found["kind"])),
        account_id=None if account is None else UUID(str(account)),
        window=None if found.get("window") is None else str(found["window"]),
        day=None if day is None else date.fromisoformat(str(day)),
        request_id=None if request is None else UUID(str(request)),
        line=_number(found.get("line")),
        sequence=_number(found.get("sequence")),
        stream_sequence=_number(found.get("message")),
        figures=figures if isinstance(figures, dict) else {},
    )


@dataclass(frozen=True, slots=True)
class Report:
    """The result of one comparison: `equal`, `different` or `not_comparable`.

    Compared is what stood in the stream from `from_sequence` to `through_sequence`; `notes` say what was not, and why.
    `found` differences there were, of which a stored report keeps the first ones. `figures` count what was looked at.
    """

    asked_by: str
    day: date | None
    account_id: UUID | None
    started_at: datetime
    finished_at: datetime
    from_sequence: int
    through_sequence: int
    result: str
    found: int
    differences: Sequence[Difference]
    notes: Sequence[str]
    figures: Mapping[str, float]

    def as_json(self) -> str:
        """One JSON object."""
        told = {
            "result": self.result,
            "asked_by": self.asked_by,
            "day": _text(self.day),
            "account": _text(self.account_id),
            "started_at": self.started_at.isoformat(),
            "finished_at": self.finished_at.isoformat(),
            "from_sequence": self.from_sequence,
            "through_sequence": self.through_sequence,
            "found": self.found,
            "differences": [difference.as_json() for difference in self.differences],
            "notes": list(self.notes),
            "figures": dict(self.figures),
        }
        return json.dumps(told, indent=2)


@dataclass(frozen=True, slots=True)
class Recheck:
    """What an incremental comparison looks at once more, because the last one found differences there."""

    sequences: Sequence[int] = ()
    days: Sequence[date] = ()
    accounts: Sequence[UUID] = ()
    closes: Sequence[date] = ()


def recheck(differences: Sequence[Difference]) -> Recheck:
    """Where these differences would be found again, if they are still there."""
    sequences = {each.stream_sequence for each in differences} | {each.figures.get("line_of") for each in differences}
    return Recheck(
        sequences=sorted(sequence for sequence in sequences if isinstance(sequence, int)),
        days=sorted({each.day for each in differences if each.day and each.window and not each.line}),
        accounts=sorted({each.account_id for each in differences if each.account_id and each.kind in OF_THE_CHAIN}),
        closes=sorted({each.day for each in differences if each.day and each.kind in OF_THE_CLOSES}),
    )


def gone(before: Sequence[Difference], now: Sequence[Difference]) -> Sequence[Difference]:
    """Those of the last comparison that this one did not find again."""
    still = {difference.identity for difference in now}
    return [difference for difference in before if difference.identity not in still]


def without_doubles(differences: Iterable[Difference]) -> Sequence[Difference]:
    """Each difference once, as it was found first."""
    found: dict[tuple[object, ...], Difference] = {}
    for difference in differences:
        found.setdefault(difference.identity, difference)
    return list(found.values())


def _text(value: UUID | date | None) -> str | None:
    return None if value is None else str(value)


def _number(value: object) -> int | None:
    return value if isinstance(value, int) else None
