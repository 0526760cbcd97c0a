"""Walks the accounts' chains line by line: numbers without gaps, links, recomputed hashes, heads. In flat memory."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from uuid import UUID

from billing.domain.chain import Head
from billing.domain.differences import Difference, Figure, Kind


@dataclass(frozen=True, slots=True)
class ChainLine:
    """A line as it is stored, with the hash that its content really has.

    `head` is where the account's chain should end, `verified` where an earlier run found it whole.
    """

    line: int
    account_id: UUID
    request_id: UUID
    place: Head
    previous_hash: str
    recomputed_hash: str
    head: Head | None
    verified: Head | None


@dataclass(slots=True)
class ChainWalk:
    """Feed it all lines in the order of (account, sequence), then `end` it.

    Started `at_verified`, each account begins after its verified place; otherwise at its first line. `whole` are the
    ends of the chains that hold, to be taken away by whoever feeds.
    """

    at_verified: bool
    lines: int = 0
    whole: list[tuple[UUID, Head]] = field(default_factory=list)
    _last: ChainLine | None = None
    _is_whole: bool = True

    def feed(self, line: ChainLine) -> Iterator[Difference]:
        """What is wrong with this line, or with the end of the account before it."""
        self.lines += 1
        if self._last is None or self._last.account_id != line.account_id:
            yield from self.end()
            before = self._start(line)
        else:
            before = self._last.place
        self._last = line
        for difference in self._faults(line, before):
            self._is_whole = False
            yield difference

    def end(self) -> Iterator[Difference]:
        """The account in hand is complete: does its chain end where its head says?"""
        last, self._last = self._last, None
        if last is None:
            return
        is_whole, self._is_whole = self._is_whole, True
        is_shorter = last.verified is not None and last.verified.sequence > last.place.sequence
        if last.head != last.place or is_shorter:
            verified = last.verified if is_shorter else None
            yield _head_differs(last.account_id, head=last.head, ends_at=last.place, verified=verified)
        elif is_whole:
            self.whole.append((last.account_id, last.place))

    def _start(self, line: ChainLine) -> Head:
        return line.verified if self.at_verified and line.verified is not None else Head()

    def _faults(self, line: ChainLine, before: Head) -> Iterator[Difference]:
        if line.place.sequence != before.sequence + 1:
            # The hash before is that of a line which is not there: one fault, named once.
            yield _of(line, Kind.SEQUENCE_BROKEN, after=before.sequence, found=line.place.sequence)
        elif line.previous_hash != before.hash:
            yield _of(line, Kind.LINK_BROKEN, line_before=before.hash, says=line.previous_hash)
        if line.recomputed_hash != line.place.hash:
            yield _of(line, Kind.HASH_DIFFERS, stored=line.place.hash, content=line.recomputed_hash)
        verified = line.verified
        if verified is not None and verified.sequence == line.place.sequence and verified.hash != line.place.hash:
            yield _of(line, Kind.REWRITTEN, verified_earlier=verified.hash, stored=line.place.hash)


def head_without_line(account_id: UUID, *, head: Head | None, verified: Head | None) -> Difference:
    """The account's head, or the place where its chain was whole before, has no line."""
    return _head_differs(account_id, head=head, ends_at=None, verified=verified)


def _head_differs(
    account_id: UUID, *, head: Head | None, ends_at: Head | None, verified: Head | None = None
) -> Difference:
    figures: dict[str, Figure] = {
        "head": head.sequence if head else None,
        "last_line": ends_at.sequence if ends_at else None,
    }
    if head and ends_at and head.sequence == ends_at.sequence:
        figures |= {"head_hash": head.hash, "line_hash": ends_at.hash}
    if verified:
        figures["verified_earlier"] = verified.sequence
    return Difference(Kind.HEAD_DIFFERS, account_id=account_id, figures=figures)


def _of(line: ChainLine, kind: Kind, **figures: Figure) -> Difference:
    return Difference(
        kind,
        account_id=line.account_id,
        request_id=line.request_id,
        line=line.line,
        sequence=line.place.sequence,
        figures=figures,
    )
