"""What a request that is over owes, row by row."""

from datetime import UTC, date, datetime, timedelta

import pytest

from contracts.outcomes import Outcome
from contracts.quota import Window
from gateway.domain import End, binding_window, outcome_of, spelled_duration

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("end", "has_begun", "has_content", "outcome", "is_charged"),
    [
        (End.ANSWERED, True, True, Outcome.COMPLETED, True),
        (End.ANSWERED, False, True, Outcome.COMPLETED, True),
        (End.ANSWERED, False, False, Outcome.EMPTY, False),
        (End.ANSWERED, True, False, Outcome.EMPTY, False),
        (End.REFUSED, False, False, Outcome.REJECTED_REQUEST, False),
        (End.FAILED, False, False, Outcome.UPSTREAM_UNAVAILABLE, False),
        (End.FAILED, True, True, Outcome.UPSTREAM_BROKEN, False),
        (End.CLIENT_GONE, False, False, Outcome.CLIENT_GONE_EARLY, False),
        (End.CLIENT_GONE, True, True, Outcome.CLIENT_GONE_LATE, True),
        (End.SHUTDOWN, False, False, Outcome.GATEWAY_SHUTDOWN, False),
        (End.SHUTDOWN, True, True, Outcome.GATEWAY_SHUTDOWN, False),
    ],
)
def test_how_a_request_ended_decides_what_it_costs(
    end: End, has_begun: bool, has_content: bool, outcome: Outcome, is_charged: bool
) -> None:
    decided = outcome_of(end, call=1, has_begun=has_begun, has_content=has_content)
    assert (decided, decided.is_charged) == (outcome, is_charged)


@pytest.mark.parametrize("end", list(End))
@pytest.mark.parametrize("has_begun", [False, True])
def test_a_continuation_costs_nothing_however_it_ends(end: End, has_begun: bool) -> None:
    assert outcome_of(end, call=2, has_begun=has_begun, has_content=True) is Outcome.CONTINUATION
    assert not Outcome.CONTINUATION.is_charged


def window(remaining: int | None, *, hours: int) -> Window:
    limit = None if remaining is None else 100
    return Window(
        limit=limit,
        used=0,
        reserved=0,
        remaining=remaining,
        starts_on=date(2026, 11, 22),
        resets_at=NOON + timedelta(hours=hours),
    )


def test_the_window_with_the_fewest_prompts_left_binds() -> None:
    day, month = window(5, hours=12), window(3, hours=200)
    assert binding_window((day, month)) is month
    assert binding_window((window(2, hours=12), month)) == window(2, hours=12)


def test_of_two_equal_windows_the_one_that_resets_later_binds() -> None:
    day, month = window(0, hours=12), window(0, hours=200)
    assert binding_window((day, month)) is month
    assert binding_window((month, day)) is month


def test_an_unlimited_window_never_binds() -> None:
    assert binding_window((window(None, hours=1), window(9, hours=2))) == window(9, hours=2)
    assert binding_window((window(None, hours=1), window(None, hours=2))) is None


@pytest.mark.parametrize(
    ("seconds", "spelled"),
    [(0, "0s"), (-5, "0s"), (0.2, "1s"), (59, "59s"), (60, "1m0s"), (3600, "1h0m0s"), (22323, "6h12m3s")],
)
def test_durations_are_spelled_as_openai_does(seconds: float, spelled: str) -> None:
    assert spelled_duration(seconds) == spelled
