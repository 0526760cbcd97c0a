"""How far the prompts of a month reach, in words."""

from datetime import UTC, date, datetime

import pytest

from contracts.quota import Window
from gateway.portal.pace import pace

LAST = "At this pace the month's prompts last until the month ends."


def month(used: int, *, limit: int | None = 1000, reserved: int = 0) -> Window:
    return Window(
        limit=limit,
        used=used,
        reserved=reserved,
        remaining=None if limit is None else limit - used,
        starts_on=date(2026, 11, 1),
        resets_at=datetime(2026, 12, 1, tzinfo=UTC),
    )


def at(day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC)


def test_prompts_that_do_not_last_are_spent_on_a_day_that_is_named() -> None:
    # 500 in ten days: the other 500 take ten more.
    assert pace(month(500), now=at(11)) == "At this pace the month's prompts are spent on 21 November."


@pytest.mark.parametrize("used", [333, 1])
def test_prompts_that_last_are_said_to_last(used: int) -> None:
    assert pace(month(used), now=at(11)) == LAST


def test_the_pace_that_spends_the_last_prompt_as_the_month_ends_lasts() -> None:
    assert pace(month(500), now=at(16)) == LAST


def test_prompts_that_end_within_hours_are_spent_today() -> None:
    assert pace(month(990), now=at(11, 6)) == "At this pace the month's prompts are spent today."


def test_spent_prompts_come_back_with_the_next_month() -> None:
    assert pace(month(1000), now=at(11)) == "The month's prompts are spent. New ones come on 1 December."


def test_the_first_day_of_a_month_tells_nothing_however_much_was_used() -> None:
    said = "The month has just begun: it is too early to say how far its prompts reach."
    assert pace(month(400), now=at(1, 23, 59)) == said
    assert pace(month(400), now=at(2)) == "At this pace the month's prompts are spent on 3 November."


def test_an_unused_month_is_not_a_pace() -> None:
    assert pace(month(0), now=at(20)) == "No prompt of this month is used yet."


def test_a_plan_without_a_limit_has_no_pace() -> None:
    assert pace(month(5, limit=None), now=at(20)) is None


def test_a_plan_without_any_prompts_has_none_to_come_today() -> None:
    assert pace(month(0, limit=0), now=at(20)) == "The month's prompts are spent. New ones come on 1 December."
