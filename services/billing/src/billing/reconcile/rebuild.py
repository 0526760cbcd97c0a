"""Folds the whole stream once more, beside the ledger, and compares what both add up to: byte for byte."""

import hashlib
import json
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from billing.reconcile import messages
from billing.store.scratch import Total, Totals, scratch
from chassis.bus import Bus
from contracts.streams import BILLING_REQUESTS

SHOWN_DIFFERENCES = 20


@dataclass(slots=True)
class Rebuilt:
    """Totals of both sides by account, day, month, plan, outcome and currency of cost.

    `ledger` and `stream` are SHA-256 over the lines of totals, each ended by a line feed. `unlike` are the first pairs
    of lines that are not the same.
    """

    from_sequence: int
    through_sequence: int
    messages: int = 0
    totals: int = 0
    ledger: str = ""
    stream: str = ""
    differing: int = 0
    unlike: list[tuple[str | None, str | None]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def is_identical(self) -> bool:
        return self.differing == 0 and self.ledger == self.stream

    def as_json(self) -> str:
        """One JSON object."""
        told = {
            "result": "identical" if self.is_identical else "different",
            "from_sequence": self.from_sequence,
            "through_sequence": self.through_sequence,
            "messages": self.messages,
            "totals": self.totals,
            "ledger_sha256": self.ledger,
            "stream_sha256": self.stream,
            "differing": self.differing,
            "unlike": [{"ledger": ledger, "stream": stream} for ledger, stream in self.unlike],
            "notes": self.notes,
        }
        return json.dumps(told, indent=2)


async def rebuild(url: str, connection: Bus, *, wait_seconds: float) -> Rebuilt:
    """Fold the stream up to where the ledger is, and compare. Raises `NotComparable`, `BusError`."""
    cut = await messages.cut(connection, (BILLING_REQUESTS,), wait_seconds=wait_seconds)
    rebuilt = Rebuilt(cut.first, cut.through)
    if cut.first > 1:
        rebuilt.notes.append(f"the stream begins at message {cut.first}: older lines are not compared")
    if cut.through < cut.last:
        rebuilt.notes.append(f"compared through message {cut.through}; the stream ends at {cut.last}")
    left_out: list[int] = []
    async with scratch(url) as beside:
        batches = messages.settlements(connection, first=cut.first, through=cut.through)
        async with aclosing(batches) as read:
            async for settlements, unreadable in read:
                refused = await beside.record(settlements) if settlements else ()
                rebuilt.messages += len(settlements) - len(refused)
                left_out += [each.stream_sequence or 0 for each in unreadable] + [each.sequence for each in refused]
        async with beside.totals(first=cut.first, through=cut.through) as (ledger, stream):
            await _compare(rebuilt, ledger, stream)
    if left_out:
        rebuilt.notes.append(f"no line can be made of messages {_some(left_out)}")
    return rebuilt


async def _compare(rebuilt: Rebuilt, ledger: Totals, stream: Totals) -> None:
    """Both sides line by line; they come in the same order, so that one of each is in memory."""
    digests = hashlib.sha256(), hashlib.sha256()
    left, right = await anext(ledger, None), await anext(stream, None)
    while left is not None or right is not None:
        key = min(side[0] for side in (left, right) if side is not None)
        mine, theirs = _at(key, left), _at(key, right)
        for digest, line in zip(digests, (mine, theirs), strict=True):
            if line is not None:
                digest.update(line + b"\n")
        rebuilt.totals += 1
        if mine != theirs:
            rebuilt.differing += 1
            if len(rebuilt.unlike) < SHOWN_DIFFERENCES:
                rebuilt.unlike.append((_text(mine), _text(theirs)))
        left = await anext(ledger, None) if mine is not None else left
        right = await anext(stream, None) if theirs is not None else right
    rebuilt.ledger, rebuilt.stream = (digest.hexdigest() for digest in digests)


def _at(key: tuple[str, ...], total: Total | None) -> bytes | None:
    return total[1] if total is not None and total[0] == key else None


def _text(line: bytes | None) -> str | None:
    return None if line is None else line.decode()


def _some(sequences: Sequence[int]) -> str:
    shown = ", ".join(map(str, sequences[:SHOWN_DIFFERENCES]))
    return shown if len(sequences) <= SHOWN_DIFFERENCES else f"{shown} and {len(sequences) - SHOWN_DIFFERENCES} more"
