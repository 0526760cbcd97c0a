"""The rules of a comparison: books beside books, chains line by line, closes beside their lines."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pytest

from billing.domain.books import Compared, LedgerSums
from billing.domain.chain import Head
from billing.domain.close_faults import Contents, content_faults, place_faults, signature_faults
from billing.domain.closes import Close, close_digest
from billing.domain.differences import Difference, Kind
from billing.domain.walk import ChainLine, ChainWalk, head_without_line
from contracts.quota import AccountBooks

ACCOUNT, OTHER = UUID(int=1), UUID(int=2)
DAY, MONTH = date(2026, 2, 28), date(2026, 2, 1)

SUMS = LedgerSums(ACCOUNT, day_prompts=3, day_requests=4, day_limit=10, month_prompts=8, month_limit=20)
BOOKS = AccountBooks(
    account_id=ACCOUNT,
    day_used=3,
    day_reserved=1,
    day_charged=3,
    day_settled=4,
    day_open=1,
    month_used=8,
    month_reserved=1,
    month_days_used=8,
    month_days_reserved=1,
    overdue=0,
)


def _found(sums: LedgerSums | None, books: AccountBooks | None, *, with_month: bool = True) -> list[tuple[object, ...]]:
    differences = Compared(DAY, sums, books, with_month).differences()
    return [(each.kind, each.window, each.day, dict(each.figures)) for each in differences]


def test_equal_books_have_no_difference() -> None:
    assert _found(SUMS, BOOKS) == []


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"day_prompts": 4}, (Kind.USED_DIFFERS, "day", DAY, {"ledger": 4, "quota": 3})),
        ({"day_requests": 5}, (Kind.SETTLED_DIFFERS, "day", DAY, {"ledger": 5, "quota": 4})),
        ({"month_prompts": 9}, (Kind.USED_DIFFERS, "month", MONTH, {"ledger": 9, "quota": 8})),
        ({"day_limit": 2}, (Kind.LIMIT_EXCEEDED, "day", DAY, {"charged": 3, "limit": 2})),
        ({"month_limit": 7}, (Kind.LIMIT_EXCEEDED, "month", MONTH, {"charged": 8, "limit": 7})),
    ],
)
def test_each_figure_of_the_ledger_counts(changed: dict[str, Any], expected: tuple[object, ...]) -> None:
    assert _found(replace(SUMS, **changed), BOOKS) == [expected]


@pytest.mark.parametrize(
    ("changed", "figures"),
    [
        ({"day_charged": 2}, {"window_used": 3, "charged_reservations": 2}),
        ({"day_open": 2}, {"window_reserved": 1, "open_reservations": 2}),
        ({"month_days_used": 7}, {"window_used": 8, "sum_of_days": 7}),
        ({"month_days_reserved": 0}, {"window_reserved": 1, "sum_of_days_reserved": 0}),
        ({"month_reserved": 2}, {"window_reserved": 2, "sum_of_days_reserved": 1}),
    ],
)
def test_each_figure_inside_quota_counts(changed: dict[str, int], figures: dict[str, int]) -> None:
    ((kind, _, _, found),) = _found(SUMS, BOOKS.model_copy(update=changed))
    assert (kind, found) == (Kind.COUNTERS_DIFFER, figures)


def test_reservations_that_nobody_sweeps_are_a_difference() -> None:
    assert _found(SUMS, BOOKS.model_copy(update={"overdue": 2})) == [
        (Kind.RESERVATIONS_OVERDUE, None, None, {"reservations": 2})
    ]


def test_a_side_that_has_nothing_counts_as_zero() -> None:
    kinds = [Kind.USED_DIFFERS, Kind.SETTLED_DIFFERS, Kind.USED_DIFFERS]
    assert [found[0] for found in _found(SUMS, None)] == kinds
    assert [found[0] for found in _found(None, BOOKS)] == kinds
    unused = LedgerSums(ACCOUNT, 0, 0, None, 0, None)
    assert _found(unused, None) == []


def test_a_month_that_was_not_added_up_is_not_compared() -> None:
    day_only = replace(SUMS, month_prompts=None, month_limit=None)
    assert _found(day_only, BOOKS, with_month=False) == []


def _line(number: int, *, account_id: UUID = ACCOUNT, last: int = 3) -> ChainLine:
    before = Head() if number == 1 else Head(number - 1, f"{account_id}:{number - 1}")
    head = Head(last, f"{account_id}:{last}")
    place = Head(number, f"{account_id}:{number}")
    return ChainLine(number, account_id, UUID(int=100 + number), place, before.hash, place.hash, head, None)


def _walked(lines: Sequence[ChainLine], *, at_verified: bool = False) -> tuple[list[Difference], ChainWalk]:
    walk = ChainWalk(at_verified=at_verified)
    found = [difference for line in lines for difference in walk.feed(line)]
    return [*found, *walk.end()], walk


def test_whole_chains_are_whole_and_their_ends_are_told() -> None:
    chains = [_line(number, account_id=account) for account in (ACCOUNT, OTHER) for number in (1, 2, 3)]
    found, walk = _walked(chains)
    assert (found, walk.lines) == ([], 6)
    assert walk.whole == [(account, Head(3, f"{account}:3")) for account in (ACCOUNT, OTHER)]


def test_a_missing_line_is_one_gap_and_the_next_account_is_not_blamed() -> None:
    found, walk = _walked([_line(1), _line(3), *(_line(number, account_id=OTHER) for number in (1, 2, 3))])
    ((kind, sequence, figures),) = [(each.kind, each.sequence, each.figures) for each in found]
    assert (kind, sequence, figures) == (Kind.SEQUENCE_BROKEN, 3, {"after": 1, "found": 3})
    assert [account for account, _ in walk.whole] == [OTHER]


def test_a_missing_first_line_is_a_gap_from_the_beginning() -> None:
    found, _ = _walked([_line(2), _line(3)])
    assert [(each.kind, each.figures["after"]) for each in found] == [(Kind.SEQUENCE_BROKEN, 0)]


def test_a_missing_last_line_is_a_head_without_its_line() -> None:
    found, walk = _walked([_line(1), _line(2)])
    assert [(each.kind, each.figures) for each in found] == [(Kind.HEAD_DIFFERS, {"head": 3, "last_line": 2})]
    assert walk.whole == []


def test_changed_content_a_wrong_link_and_a_rewritten_line_are_told_apart() -> None:
    changed = replace(_line(2), recomputed_hash="else")
    unlinked = replace(_line(2), previous_hash="else")
    rewritten = replace(_line(2), verified=Head(2, "else"))
    for line, kind in ((changed, Kind.HASH_DIFFERS), (unlinked, Kind.LINK_BROKEN), (rewritten, Kind.REWRITTEN)):
        found, _ = _walked([_line(1), line, _line(3)])
        assert [(each.kind, each.line, each.request_id) for each in found] == [(kind, 2, UUID(int=102))]


def test_a_walk_from_the_verified_place_begins_behind_it() -> None:
    line = replace(_line(3), verified=Head(2, f"{ACCOUNT}:2"))
    found, walk = _walked([line], at_verified=True)
    assert (found, walk.whole) == ([], [(ACCOUNT, Head(3, f"{ACCOUNT}:3"))])
    skipped, _ = _walked([replace(_line(3), verified=Head(1, f"{ACCOUNT}:1"))], at_verified=True)
    assert [each.kind for each in skipped] == [Kind.SEQUENCE_BROKEN]


def test_a_chain_that_is_shorter_than_it_was_is_no_whole_chain() -> None:
    lines = [replace(_line(number, last=2), verified=Head(3, "gone")) for number in (1, 2)]
    found, walk = _walked(lines)
    assert [(each.kind, each.figures["verified_earlier"]) for each in found] == [(Kind.HEAD_DIFFERS, 3)]
    assert walk.whole == []


def test_a_head_without_any_line_names_what_there_was() -> None:
    found = head_without_line(ACCOUNT, head=Head(2, "x"), verified=Head(2, "x"))
    assert (found.kind, found.account_id, found.figures) == (
        Kind.HEAD_DIFFERS,
        ACCOUNT,
        {"head": 2, "last_line": None, "verified_earlier": 2},
    )


def _close(day: date, *, previous: str = "0" * 64) -> Close:
    bare = Close(day, 2, {"prompts": 1}, "aa", previous, "", "signed", "key", datetime(2026, 3, 1, tzinfo=UTC))
    return replace(bare, digest=close_digest(bare))


def test_a_good_close_has_no_fault() -> None:
    first = _close(MONTH)
    second = _close(MONTH.replace(day=2), previous=first.digest)
    assert [*place_faults(first, None), *place_faults(second, first)] == []
    assert list(content_faults(first, Contents(2, "aa", {"prompts": 1}))) == []
    assert (
        list(signature_faults(first, lambda digest, signature: (digest, signature) == (first.digest, "signed"))) == []
    )
    assert list(signature_faults(first, None)) == []


def test_days_without_a_close_and_links_that_lead_elsewhere_are_named() -> None:
    first = _close(MONTH)
    fourth = _close(MONTH.replace(day=4), previous=first.digest)
    assert [each.day for each in place_faults(fourth, first)] == [MONTH.replace(day=2), MONTH.replace(day=3)]
    astray = _close(MONTH.replace(day=2), previous="ff")
    assert [each.kind for each in place_faults(astray, first)] == [Kind.CLOSE_LINK_BROKEN]
    assert [each.kind for each in place_faults(astray, None)] == [Kind.CLOSE_LINK_BROKEN]


def test_what_the_lines_add_up_to_now_is_held_against_the_close() -> None:
    ((found),) = content_faults(_close(DAY), Contents(3, "bb", {"prompts": 2, "lines": 3}))
    assert found.figures == {
        "closed_lines": 2,
        "lines": 3,
        "closed_lines_digest": "aa",
        "lines_digest": "bb",
        "totals_that_differ": "lines, prompts",
    }


def test_a_changed_close_and_a_wrong_signature_are_forged() -> None:
    close = _close(DAY)
    assert [each.kind for each in signature_faults(replace(close, lines=9), None)] == [Kind.CLOSE_FORGED]
    assert [each.kind for each in signature_faults(close, lambda *_: False)] == [Kind.CLOSE_FORGED]
