"""Days and outcomes in the order that the overview shows them in, and words for every value that receipts can have."""

from datetime import date
from typing import get_args

from contracts.billing import DayActivity
from contracts.outcomes import Outcome
from contracts.router import Placement, RequestClass, Rule
from gateway.portal import words
from gateway.portal.activity import DAYS, days_through, first_day, outcomes_of

TODAY = date(2026, 11, 28)


def told(day: date, result: Outcome, requests: int, prompts: int) -> DayActivity:
    return DayActivity(day=day, result=result, requests=requests, prompts=prompts)


def test_the_chart_has_every_one_of_thirty_days_and_ends_today() -> None:
    days = days_through(TODAY, [told(date(2026, 11, 3), Outcome.COMPLETED, 2, 2)])
    assert [days[0].day, days[-1].day, len(days)] == [date(2026, 10, 30), TODAY, DAYS]
    assert [day.day for day in days if day.requests] == [date(2026, 11, 3)]


def test_a_day_has_the_sum_of_its_outcomes() -> None:
    parts = [
        told(TODAY, Outcome.COMPLETED, 3, 3),
        told(TODAY, Outcome.CONTINUATION, 7, 0),
        told(TODAY, Outcome.CLIENT_GONE_LATE, 1, 1),
    ]
    today = days_through(TODAY, parts)[-1]
    assert (today.requests, today.prompts) == (11, 4)
    assert today.ended == {Outcome.COMPLETED: 3, Outcome.CONTINUATION: 7, Outcome.CLIENT_GONE_LATE: 1}


def test_a_correction_without_a_request_changes_the_prompts_of_its_day_alone() -> None:
    days = days_through(TODAY, [told(TODAY, Outcome.COMPLETED, 0, -1)])
    assert (days[-1].requests, days[-1].prompts) == (0, -1)
    assert outcomes_of(days) == []


def test_what_is_told_of_days_before_the_chart_is_not_in_it() -> None:
    days = days_through(TODAY, [told(date(2026, 10, 29), Outcome.COMPLETED, 5, 5)])
    assert sum(day.requests for day in days) == 0
    assert first_day(TODAY) == date(2026, 10, 30)


def test_outcomes_come_in_the_order_of_the_published_table() -> None:
    parts = [
        told(TODAY, Outcome.EXPIRED, 1, 0),
        told(TODAY, Outcome.EMPTY, 1, 0),
        told(date(2026, 11, 2), Outcome.COMPLETED, 1, 1),
    ]
    assert outcomes_of(days_through(TODAY, parts)) == [Outcome.COMPLETED, Outcome.EMPTY, Outcome.EXPIRED]


def test_everything_that_a_receipt_can_say_has_words() -> None:
    assert set(words.OUTCOMES) == set(words.BADGES) == set(Outcome)
    assert len(set(words.OUTCOMES.values())) == len(Outcome), "two outcomes look the same"
    assert set(words.CLASSES) == set(get_args(RequestClass))
    assert set(words.RULES) == set(get_args(Rule))
    assert set(words.PLACEMENTS) == set(get_args(Placement))
