"""Whichever order settlements arrive in, however often: the first one in stream order has the line in the end."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import permutations, product
from uuid import UUID

import pytest

from billing.domain.chain import Head, append
from billing.domain.corrections import Decision, Differences, correction, credit_note
from billing.domain.lines import Kind, Posted, Settlement, prompts_of
from billing.domain.routes import Routes, route_beside, routes_of
from billing.domain.settling import Decided, decide, live_settlement
from contracts.outcomes import Outcome
from tests.routes import a_route_taken
from tests.unit.billing.lines import ANNA, NOON, TODAY, a_settlement

REQUEST = UUID(int=100)
DECISION = Decision("anna", "a test")
OUTCOMES = (Outcome.COMPLETED, Outcome.EXPIRED)


class Books:
    """A model of billing: lines of one request, and what was kept. Says no to a revision that is there already."""

    def __init__(self) -> None:
        self.lines: list[Posted] = []
        self.kept: dict[int, Settlement] = {}

    def deliver(self, batch: Sequence[Settlement]) -> Decided:
        decided = decide(batch, {})
        known = {posted.entry.revision for posted in self.lines}
        if any(entry.revision in known for entry in decided.entries):
            decided = decide(batch, {REQUEST: self.lines})
        self.add(decided, routes_of(batch))
        return decided

    def add(self, decided: Decided, routes: Routes | None = None) -> None:
        head = Head(len(self.lines), self.lines[-1].line.hash) if self.lines else Head()
        links, _ = append(head, decided.entries, recorded_at=NOON, posted_on=TODAY)
        self.lines += [
            Posted(link.line.sequence, link.line, route_beside(link.line.entry, routes or {})) for link in links
        ]
        for loser in decided.conflicts:
            self.kept.setdefault(loser.sequence, loser)

    @property
    def used(self) -> list[object]:
        """Sums over settlements and reversals: prompts, tokens in and out."""
        entries = [p.entry for p in self.lines if p.entry.kind in (Kind.SETTLEMENT, Kind.REVERSAL)]
        return [
            prompts_of(entries),
            sum(entry.input_tokens for entry in entries),
            sum(entry.output_tokens for entry in entries),
        ]

    @property
    def billed(self) -> int:
        return prompts_of([posted.entry for posted in self.lines])


def deliveries() -> Iterator[list[list[Settlement]]]:
    """Every order of up to three settlements with every outcome, each also doubled, in every cut into batches."""
    for outcomes in product(OUTCOMES, repeat=3):
        settlements = [
            a_settlement(number, outcome, settled_by=f"gateway-{number}", route=a_route_taken(number))
            for number, outcome in enumerate(outcomes, 1)
        ]
        for count in (2, 3):
            for order in permutations([*settlements[:count], settlements[0]]):
                for cuts in product((False, True), repeat=count):
                    batches: list[list[Settlement]] = [[]]
                    for settlement, is_cut in zip(order, (False, *cuts), strict=True):
                        if is_cut:
                            batches.append([])
                        batches[-1].append(settlement)
                    yield batches


def test_every_order_of_every_settlement_leads_to_the_same_end() -> None:
    seen = 0
    for batches in deliveries():
        books = Books()
        for batch in batches:
            books.deliver(batch)
        told = {settlement.sequence: settlement for batch in batches for settlement in batch}
        first = told[1].settled
        assert books.used == [first.prompts, first.tokens.input, first.tokens.output]
        assert books.kept == {sequence: told[sequence] for sequence in told if sequence != 1}
        live = live_settlement(books.lines)
        assert (live.entry.settled_by, live.route) == ("gateway-1", a_route_taken(1))
        assert [posted.entry.revision for posted in books.lines] == list(range(len(books.lines)))
        seen += 1
    assert seen == 8 * (6 * 4 + 24 * 8)


def test_a_reversal_names_the_line_it_takes_back_and_says_why() -> None:
    books = Books()
    books.deliver([a_settlement(9)])
    decided = books.deliver([a_settlement(8, Outcome.EXPIRED)])
    wrong, reversal, right = books.lines
    assert decided.late_firsts == [REQUEST]
    assert (reversal.entry.kind, reversal.entry.corrects, reversal.entry.author) == ("reversal", wrong.id, "billing")
    assert "the settlement at 8 of the stream came before the one at 9" in reversal.entry.reason
    # The cut of a comparison at 8 must see the right line and neither of the others.
    assert [posted.entry.stream_sequence for posted in (wrong, reversal, right)] == [9, 9, 8]
    assert (reversal.entry.prompts, reversal.entry.input_tokens, right.entry.prompts) == (-1, -1234, 0)


def test_a_line_that_puts_another_one_right_has_no_route_and_one_that_nobody_told_has_none_either() -> None:
    books = Books()
    books.deliver([a_settlement(9, route=a_route_taken(3))])
    books.deliver([a_settlement(9, route=a_route_taken(3)), a_settlement(8, Outcome.EXPIRED)])
    assert [(posted.entry.kind, posted.route) for posted in books.lines] == [
        ("settlement", a_route_taken(3)),
        ("reversal", None),
        ("settlement", None),
    ]
    books.deliver([a_settlement(9, route=a_route_taken(1))])
    assert live_settlement(books.lines).route is None, "a later settlement explained the line of an earlier one"


@pytest.mark.parametrize(("outcome", "billed"), [(Outcome.EXPIRED, 0), (Outcome.COMPLETED, 0)])
def test_what_was_credited_stays_credited_and_never_turns_into_a_gift(outcome: Outcome, billed: int) -> None:
    books = Books()
    books.deliver([a_settlement(9)])
    credit = credit_note(books.lines[0], books.lines, 1, decision=DECISION, at=NOON)
    books.add(Decided(entries=[credit]))
    books.deliver([a_settlement(8, outcome)])
    assert books.billed == billed
    assert books.used[0] == a_settlement(8, outcome).settled.prompts
    taken_back = [posted.entry.prompts for posted in books.lines if posted.entry.kind == Kind.CREDIT_NOTE]
    assert taken_back == ([-1, 1] if outcome == Outcome.EXPIRED else [-1])


def test_a_correction_of_a_line_that_is_reversed_is_taken_back_with_it() -> None:
    books = Books()
    books.deliver([a_settlement(9)])
    change = correction(books.lines[0], books.lines, Differences(output_tokens=-5), decision=DECISION, at=NOON)
    books.add(Decided(entries=[change]))
    books.deliver([a_settlement(8)])
    assert [posted.entry.kind for posted in books.lines] == [
        "settlement",
        "correction",
        "reversal",
        "settlement",
        "correction",
    ]
    assert sum(posted.entry.output_tokens for posted in books.lines) == 5
    assert books.lines[-1].entry.corrects == books.lines[1].id


def test_the_line_of_one_account_is_never_moved_to_another_one() -> None:
    books = Books()
    books.deliver([a_settlement(9)])
    stranger = a_settlement(8, account_id=UUID(int=66))
    decided = books.deliver([stranger])
    assert (decided.entries, decided.conflicts) == ([], [stranger])
    assert live_settlement(books.lines).entry.account_id == ANNA


def test_requests_of_a_batch_do_not_get_in_each_others_way() -> None:
    others = [a_settlement(number, request_id=UUID(int=number)) for number in (5, 3, 4)]
    decided = decide([*others, replace(others[0], sequence=2)], {})
    assert [(entry.request_id.int, entry.stream_sequence) for entry in decided.entries] == [(5, 2), (3, 3), (4, 4)]
    assert [loser.sequence for loser in decided.conflicts] == [5]
