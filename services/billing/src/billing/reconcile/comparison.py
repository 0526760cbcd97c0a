"""One comparison: read the stream up to a cut, then everything else as of one moment.

The cut is where both consumers have folded everything. What is beyond it is nobody's difference yet: it is left to the
next comparison. So nothing has to stand still, and a difference is one.
"""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from billing.domain import close_faults
from billing.domain.books import Compared, LedgerSums
from billing.domain.closes import Close
from billing.domain.differences import Difference, Figure, Kind, Recheck, Report, recheck, without_doubles
from billing.domain.lines import Settlement
from billing.domain.walk import ChainLine, ChainWalk, head_without_line
from billing.reconcile import messages, quota
from billing.reconcile.messages import Cut
from billing.store.audit import SAID, Audit, Extent, head_of
from chassis import bus
from chassis.bus import Bus
from contracts.quota import AccountBooks
from contracts.streams import REQUESTS

# A settlement is stored after its prompt was held; clocks of servers may differ by less than this.
CLOCKS = timedelta(hours=1)
# An incremental comparison takes at most so many messages: after a long pause it catches up in portions.
PORTION = 100_000
_HEADS_AT_ONCE = 1000

# Whether a signature (hex) of a digest is good, by the name of its key.
Keys = Mapping[str, Callable[[str, str], bool]]


@dataclass(frozen=True, slots=True)
class Asked:
    """What is compared, and who wants to know. `since`: only what is new after that report, and where it differed."""

    by: str
    day: date | None = None
    account_id: UUID | None = None
    wait_seconds: float = 5.0
    since: Report | None = None


async def compare(audit: Audit, connection: Bus, asked: Asked, keys: Keys) -> Report:
    """Compare the stream, the ledger and quota. Raises `NotComparable`, `BusError` (`StoreAway` is one)."""
    started_at = datetime.now(UTC)
    cut = await messages.cut(connection, wait_seconds=asked.wait_seconds)
    extent = await _extent(audit, connection, cut, asked)
    comparison = _Comparison(audit, connection, asked, extent, keys)
    if extent.through < cut.last:
        comparison.notes.append(f"compared through message {extent.through}; the stream ends at {cut.last}")
    if extent.first > 1 and asked.since is None and asked.day is None:
        comparison.notes.append(f"the stream begins at message {extent.first}: older lines have no message any more")
    await comparison.run()
    return Report(
        asked.by,
        asked.day,
        asked.account_id,
        started_at,
        datetime.now(UTC),
        extent.first,
        extent.through,
        "different" if comparison.differences else "equal",
        len(comparison.differences),
        comparison.differences,
        comparison.notes,
        comparison.figures,
    )


async def _extent(audit: Audit, connection: Bus, cut: Cut, asked: Asked) -> Extent:
    """Which messages to read: all that are there, those that can be about the day, or those that are new."""
    if asked.since is not None:
        # A stream that ends before what was compared is another one: from its beginning, then.
        known = asked.since.through_sequence if asked.since.through_sequence <= cut.last else 0
        first = max(known + 1, cut.first)
        through = max(min(cut.through, first + PORTION - 1), first - 1)
        return Extent(first, through, again=recheck(asked.since.differences).sequences)
    if asked.day is None:
        return Extent(cut.first, cut.through, account_id=asked.account_id)
    midnight = datetime(asked.day.year, asked.day.month, asked.day.day, tzinfo=UTC)
    first = await bus.first_since(connection, REQUESTS.name, midnight - CLOCKS)
    named = await audit.earliest_of(asked.day, first=cut.first)
    if named is not None:
        first = min(first, named)
    return Extent(max(first, cut.first), cut.through, asked.day, asked.account_id)


@dataclass(slots=True)
class _Comparison:
    """The parts of one comparison, and what they have found so far."""

    audit: Audit
    bus: Bus
    asked: Asked
    extent: Extent
    keys: Keys
    differences: Sequence[Difference] = ()
    notes: list[str] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)
    _found: list[Difference] = field(default_factory=list)
    _days: set[date] = field(default_factory=set)
    _again: Recheck = field(default_factory=Recheck)

    async def run(self) -> None:
        if self.asked.since is not None:
            self._again = recheck(self.asked.since.differences)
        await self._timed("read_seconds", self._read_stream())
        async with self.audit.snapshot():
            await self._timed("lines_seconds", self._lines())
            await self._timed("books_seconds", self._books())
            await self._timed("chain_seconds", self._chains())
            await self._timed("closes_seconds", self._closes())
        self.differences = without_doubles(await self._without_discarded(self._found))

    async def _timed(self, name: str, part: AsyncGenerator[Difference, None]) -> None:
        began = time.monotonic()
        async with aclosing(part) as differences:
            async for difference in differences:
                self._found.append(difference)
        self.figures[name] = round(time.monotonic() - began, 3)

    async def _read_stream(self) -> AsyncGenerator[Difference, None]:
        extent = self.extent
        for difference in await self._copy(*await messages.again(self.bus, extent.again)):
            yield difference
        batches = messages.settlements(self.bus, first=extent.first, through=extent.through)
        async with aclosing(batches) as read:
            async for settlements, unreadable in read:
                for difference in await self._copy(settlements, unreadable):
                    yield difference
        await self.audit.fold()
        self.figures["messages"], self.figures["requests"] = await self.audit.counted()

    async def _copy(self, settlements: Sequence[Settlement], unreadable: Sequence[Difference]) -> Sequence[Difference]:
        wanted = self.asked.account_id
        mine = [each for each in settlements if wanted is None or each.settled.account_id == wanted]
        self._days.update(settlement.settled.day for settlement in mine)
        refused = [messages.unreadable_at(each.sequence, "no line can say it") for each in await self.audit.copy(mine)]
        return [*unreadable, *refused]

    async def _lines(self) -> AsyncGenerator[Difference, None]:
        extent, is_new_only = self.extent, self.asked.since is not None
        async for row in self.audit.unlike(extent):
            yield _unlike(row)
        async for row in self.audit.untold(extent):
            yield _named(Kind.LINE_WITHOUT_MESSAGE, row)
        async for row in self.audit.doubled(extent, only_told=is_new_only):
            figures: dict[str, Figure] = {"lines": ", ".join(map(str, row.lines))}
            yield Difference(
                Kind.LINE_DOUBLED,
                account_id=row.account_id,
                request_id=row.request_id,
                stream_sequence=row.stream_sequence,
                figures=figures,
            )
        async for row in self.audit.wrong_reversals(extent):
            yield _named(Kind.REVERSAL_DIFFERS, row, corrects=row.corrects)
        async for row in self.audit.over_limit(extent):
            yield _named(Kind.LIMIT_EXCEEDED, row, window=row.window, day=row.starts_on, used=row.used, limit=row.limit)

    async def _books(self) -> AsyncGenerator[Difference, None]:
        accounts = 0
        days = await self._days_to_compare()
        last_of_month = {day.replace(day=1): day for day in days}
        for day in days:
            with_month = self.asked.since is None and last_of_month[day.replace(day=1)] == day
            through, account_id = self.extent.through, self.asked.account_id
            async for compared in _beside(
                day,
                self.audit.sums(day, self.extent, with_month=with_month),
                quota.books(self.bus, day, through=through, account_id=account_id),
                is_month_compared=with_month,
            ):
                accounts += 1
                for difference in compared.differences():
                    yield difference
        self.figures |= {"days": len(days), "accounts_by_day": accounts}

    async def _days_to_compare(self) -> Sequence[date]:
        if self.asked.day is not None:
            return [self.asked.day]
        first, last, today = await self.audit.days()
        if self.asked.since is not None:
            return sorted({today, *self._days, *self._again.days})
        first = min(first or today, today)
        return [first + timedelta(days=number) for number in range((last - first).days + 1)]

    async def _chains(self) -> AsyncGenerator[Difference, None]:
        is_grown, wanted = self.asked.since is not None, self.asked.account_id
        lines = self.audit.grown_chain() if is_grown else self.audit.chain(wanted)
        walk = ChainWalk(at_verified=is_grown)
        async for difference in self._walked(walk, lines):
            yield difference
        for account_id in self._again.accounts:
            async for difference in self._walked(ChainWalk(at_verified=False), self.audit.chain(account_id)):
                yield difference
        async for row in self.audit.headless(wanted, is_grown=is_grown):
            head = head_of(row.head_sequence, row.head_hash)
            verified = head_of(row.verified_sequence, row.verified_hash)
            yield head_without_line(row.account_id, head=head, verified=verified)
        self.figures["lines"] = walk.lines

    async def _walked(self, walk: ChainWalk, lines: AsyncIterator[ChainLine]) -> AsyncGenerator[Difference, None]:
        async for line in lines:
            for difference in walk.feed(line):
                yield difference
            if len(walk.whole) >= _HEADS_AT_ONCE:
                await self._note_whole(walk)
        for difference in walk.end():
            yield difference
        await self._note_whole(walk)

    async def _note_whole(self, walk: ChainWalk) -> None:
        heads, walk.whole = walk.whole, []
        await self.audit.note_whole(heads)

    async def _closes(self) -> AsyncGenerator[Difference, None]:
        before: Close | None = None
        checked, unknown = 0, set[str]()
        for close in await self.audit.closes():
            for difference in close_faults.place_faults(close, before):
                yield difference
            before = close
            if not self._is_close_wanted(close):
                continue
            checked += 1
            is_signed = self.keys.get(close.key_id)
            if is_signed is None:
                unknown.add(close.key_id)
            for difference in close_faults.signature_faults(close, is_signed):
                yield difference
            for difference in close_faults.content_faults(close, await self.audit.contents_of(close.day)):
                yield difference
        if unknown:
            self.notes.append(f"closes are signed with keys that are not known here: {', '.join(sorted(unknown))}")
        self.figures["closes"] = checked

    def _is_close_wanted(self, close: Close) -> bool:
        """A whole day is read again for each: an incremental comparison does so for new ones, once."""
        since = self.asked.since
        if self.asked.day is not None:
            return close.day == self.asked.day
        return since is None or close.closed_at >= since.started_at or close.day in self._again.closes

    async def _without_discarded(self, found: Sequence[Difference]) -> Sequence[Difference]:
        """Settlements that staff discarded need no line; those that wait for staff are said to do so."""
        if not any(difference.kind in _FOR_WANT_OF_A_MESSAGE for difference in found):
            return found
        waiting, discarded = await messages.dead_letters(self.bus)
        kept = [each for each in found if not _is_excused(each, discarded)]
        if len(kept) < len(found):
            self.notes.append(f"{len(found) - len(kept)} settlements have no line because staff discarded them")
        return [_with_letter(each) if _is_excused(each, waiting) else each for each in kept]


_FOR_WANT_OF_A_MESSAGE = frozenset({Kind.LINE_MISSING, Kind.MESSAGE_UNREADABLE})


def _is_excused(difference: Difference, sequences: frozenset[int]) -> bool:
    return difference.kind in _FOR_WANT_OF_A_MESSAGE and difference.stream_sequence in sequences


def _with_letter(difference: Difference) -> Difference:
    figures: dict[str, Figure] = {**difference.figures, "dead_letter": "waits for staff"}
    return Difference(
        difference.kind,
        account_id=difference.account_id,
        request_id=difference.request_id,
        stream_sequence=difference.stream_sequence,
        figures=figures,
    )


async def _beside(
    day: date,
    sums: AsyncIterator[LedgerSums],
    books: AsyncIterator[AccountBooks],
    *,
    is_month_compared: bool,
) -> AsyncGenerator[Compared, None]:
    """Both sides account by account; they come in the same order, so that one of each is in memory."""
    ledger, quota_side = await anext(sums, None), await anext(books, None)
    while ledger is not None or quota_side is not None:
        first = min(side.account_id for side in (ledger, quota_side) if side is not None)
        left = ledger if ledger is not None and ledger.account_id == first else None
        right = quota_side if quota_side is not None and quota_side.account_id == first else None
        yield Compared(day, left, right, is_month_compared)
        ledger = await anext(sums, None) if left is not None else ledger
        quota_side = await anext(books, None) if right is not None else quota_side


def _unlike(row: Any) -> Difference:
    """What is wrong with the line of a settlement, from a row of both."""
    if row.line is None:
        return Difference(
            Kind.LINE_MISSING, account_id=row.account_id, request_id=row.request_id, stream_sequence=row.message
        )
    if row.message != row.stream_sequence:
        return _of_line(Kind.LINE_OF_ANOTHER_MESSAGE, row, {"line_of": row.stream_sequence})
    figures: dict[str, Figure] = {
        name: f"stream {told or '-'} ledger {written or '-'}"
        for name, told, written in zip(SAID, row.told, row.written, strict=True)
        if told != written
    }
    return _of_line(Kind.LINE_DIFFERS, row, figures)


def _of_line(kind: Kind, row: Any, figures: Mapping[str, Figure]) -> Difference:
    return Difference(
        kind,
        account_id=row.account_id,
        request_id=row.request_id,
        line=row.line,
        sequence=row.sequence,
        stream_sequence=row.message,
        figures=figures,
    )


def _named(
    kind: Kind, row: Any, *, window: str | None = None, day: date | None = None, **figures: Figure
) -> Difference:
    return Difference(
        kind,
        account_id=row.account_id,
        window=window,
        day=day,
        request_id=row.request_id,
        line=row.line,
        sequence=row.sequence,
        stream_sequence=row.stream_sequence,
        figures=figures,
    )
