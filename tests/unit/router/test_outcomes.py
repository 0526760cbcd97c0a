"""What the operator's own outcomes say of the tiers, and when they are enough to say it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.router import RequestClass
from router.domain import outcomes
from router.domain.outcomes import Cell, Count, gain_of

DAY = 86_400.0


def counts(**of_class: tuple[Count, Count]) -> dict[Cell, Count]:
    """Counts of `light` and `strong` by class."""
    names: dict[str, RequestClass] = {"code": "code", "chat": "chat", "maths": "maths"}
    return {
        (names[name], target): count
        for name, pair in of_class.items()
        for target, count in zip(("light", "strong"), pair, strict=True)
    }


def gain(table: dict[Cell, Count], request_class: RequestClass = "code") -> float | None:
    found = gain_of(request_class, ["light"], ["strong"], table)
    return found.gain if found is not None else None


def test_a_class_with_enough_outcomes_says_what_the_strong_tier_gains() -> None:
    found = gain_of("code", ["light"], ["strong"], counts(code=(Count(300, 200), Count(270, 30))))
    assert found is not None
    assert found.rule == "class_outcomes"
    assert found.gain == pytest.approx(0.3, abs=0.02)


def test_a_few_outcomes_say_nothing_and_many_of_one_tier_alone_neither() -> None:
    assert gain(counts(code=(Count(200, 100), Count(150, 40)))) is None
    assert gain(counts(code=(Count(2_000, 800), Count(20, 1)))) is None
    assert gain({}) is None


def test_small_numbers_are_drawn_to_the_targets_own_average() -> None:
    table = counts(chat=(Count(900, 100), Count(950, 50)), code=(Count(0, 60), Count(500, 0)))
    shrunk = gain(table)
    assert shrunk is not None
    # All 60 failed. The prior of 20 answers at the target's average (85 % good) keeps the rate above zero.
    assert 0.70 < shrunk < 0.85


def test_outcomes_lose_half_of_their_weight_in_two_weeks() -> None:
    aged = Count(100, 40, at=0.0).aged(14 * DAY)
    assert [aged.good, aged.bad] == pytest.approx([50, 20])


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 30 * DAY)), max_size=40))
def test_the_order_in_which_outcomes_are_added_does_not_matter(events: list[tuple[bool, float]]) -> None:
    def added(order: list[tuple[bool, float]]) -> Count:
        found = Count(at=0.0)
        for is_good, now in order:
            found = found.plus(float(is_good), float(not is_good), now=now)
        return found.aged(30 * DAY)

    in_time = sorted(events, key=lambda event: event[1])
    total = added(in_time)
    apart = [added([event]) for event in in_time]
    assert total.good == pytest.approx(sum(count.good for count in apart))
    assert total.bad == pytest.approx(sum(count.bad for count in apart))


@given(st.integers(0, 5_000), st.integers(0, 5_000), st.integers(0, 5_000), st.integers(0, 5_000))
def test_a_gain_is_never_more_than_everything(good: int, bad: int, strong_good: int, strong_bad: int) -> None:
    found = gain(counts(code=(Count(good, bad), Count(strong_good, strong_bad))))
    enough = good + bad + strong_good + strong_bad >= outcomes.ENOUGH
    assert found is None or (enough and -1.0 <= found <= 1.0)
