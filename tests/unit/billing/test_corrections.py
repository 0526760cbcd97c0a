"""What staff may put right, and what not."""

from dataclasses import replace
from decimal import Decimal

import pytest

from billing.domain.corrections import Decision, Differences, correction, credit_note
from billing.domain.lines import Entry, Posted
from billing.errors import NotCorrectable
from contracts.gateway import Cost
from contracts.outcomes import Outcome
from tests.unit.billing.lines import NOON, an_entry, posted

DECISION = Decision("anna", "answer was cut off")
DOLLARS = Cost(amount=Decimal("0.05"), currency="USD")


def with_(lines: list[Posted], *entries: Entry) -> list[Posted]:
    return posted([*(line.entry for line in lines), *entries])


def test_a_credit_note_names_its_line_its_author_and_why_and_has_the_windows_of_the_request() -> None:
    (line,) = posted([an_entry()])
    note = credit_note(line, [line], 1, decision=DECISION, at=NOON)
    assert (note.kind, note.prompts, note.corrects, note.revision) == ("credit_note", -1, line.id, 1)
    assert (note.author, note.reason, note.event_time) == ("anna", "answer was cut off", NOON)
    assert (note.day, note.month, note.request_id) == (line.entry.day, line.entry.month, line.entry.request_id)
    assert (note.input_tokens, note.output_tokens, note.cost) == (0, 0, None)


@pytest.mark.parametrize(("outcome", "prompts"), [(Outcome.COMPLETED, 2), (Outcome.EXPIRED, 1), (Outcome.COMPLETED, 0)])
def test_no_more_is_credited_than_is_left(outcome: Outcome, prompts: int) -> None:
    (line,) = posted([an_entry(outcome=outcome)])
    with pytest.raises(NotCorrectable, match="left to credit"):
        credit_note(line, [line], prompts, decision=DECISION, at=NOON)


def test_what_was_credited_once_is_not_credited_again() -> None:
    lines = posted([an_entry()])
    lines = with_(lines, credit_note(lines[0], lines, 1, decision=DECISION, at=NOON))
    with pytest.raises(NotCorrectable, match="0 prompts are left"):
        credit_note(lines[0], lines, 1, decision=DECISION, at=NOON)


def test_a_correction_carries_signed_differences() -> None:
    (line,) = posted([an_entry(cost=DOLLARS)])
    differences = Differences(input_tokens=-1234, output_tokens=10, cost=Decimal("-0.02"))
    change = correction(line, [line], differences, decision=DECISION, at=NOON)
    assert (change.kind, change.prompts, change.input_tokens, change.output_tokens) == ("correction", 0, -1234, 10)
    assert (str(change.cost), change.cost_currency) == ("-0.0200000000", "USD")


@pytest.mark.parametrize(
    ("differences", "said"),
    [
        (Differences(), "without any difference"),
        (Differences(currency="USD"), "without any difference"),
        (Differences(prompts=-2), "prompts would be -1"),
        (Differences(input_tokens=-1235), "input tokens would be -1"),
        (Differences(cost=Decimal("-0.0500000001")), "cost would be -1E-10"),
        (Differences(cost=Decimal("1"), currency="EUR"), "is in USD, not in EUR"),
        (Differences(cost=Decimal("NaN")), "no amount of money"),
    ],
)
def test_a_correction_that_cannot_be_is_refused(differences: Differences, said: str) -> None:
    (line,) = posted([an_entry(cost=DOLLARS)])
    with pytest.raises(NotCorrectable, match=said):
        correction(line, [line], differences, decision=DECISION, at=NOON)


def test_a_cost_where_there_was_none_needs_its_currency() -> None:
    (line,) = posted([an_entry()])
    with pytest.raises(NotCorrectable, match="say the currency"):
        correction(line, [line], Differences(cost=Decimal(1)), decision=DECISION, at=NOON)
    change = correction(line, [line], Differences(cost=Decimal(1), currency="EUR"), decision=DECISION, at=NOON)
    assert (str(change.cost), change.cost_currency) == ("1.0000000000", "EUR")


@pytest.mark.parametrize("decision", [Decision("", "why"), Decision("anna", "  ")])
def test_nobody_corrects_without_a_name_and_a_reason(decision: Decision) -> None:
    (line,) = posted([an_entry()])
    with pytest.raises(NotCorrectable, match="an author and a reason"):
        credit_note(line, [line], 1, decision=decision, at=NOON)


def test_only_a_settlement_line_that_holds_can_be_named() -> None:
    lines = posted([an_entry(9)])
    reversal = replace(an_entry(9), kind="reversal", revision=1, prompts=-1, corrects=lines[0].id, author="billing")
    lines = with_(lines, reversal, replace(an_entry(8), revision=2))
    for wrong, said in ((lines[0], "was reversed"), (lines[1], "is a reversal")):
        with pytest.raises(NotCorrectable, match=said):
            credit_note(wrong, lines, 1, decision=DECISION, at=NOON)
    assert credit_note(lines[2], lines, 1, decision=DECISION, at=NOON).revision == 3
