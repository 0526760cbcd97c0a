"""The rules of wishes: which may be made, and what can become of them."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.domain.upgrades import State, Wish, checked_larger, is_larger, refusal
from billing.errors import NotLarger, UpgradeDecided
from tests.unit.billing.wishes import CATALOGUE, NOON, PAGE, a_wish

DECISIONS = st.sampled_from([State.APPROVED, State.DECLINED, State.WITHDRAWN])


@pytest.mark.parametrize(
    ("wanted", "holds", "reason"),
    [
        ("pro", "plus", None),
        ("pro", "gone", None),
        ("gold", "free", "unknown_plan"),
        ("plus", "pro", "not_larger"),
        ("pro", "pro", "not_larger"),
        ("max", "free", "not_for_sale"),
        ("free", "max", "not_larger"),
    ],
)
def test_a_wish_is_for_a_larger_plan_that_is_for_sale(wanted: str, holds: str, reason: str | None) -> None:
    assert refusal(CATALOGUE, wanted=wanted, holds=holds, sells=lambda plan: plan != "max") == reason


def test_a_plan_that_left_the_catalogue_is_never_the_larger_one() -> None:
    assert not is_larger(CATALOGUE, "gone", than="free")
    with pytest.raises(NotLarger, match="gone is not above free"):
        checked_larger(CATALOGUE, "gone", holds="free")
    checked_larger(CATALOGUE, "pro", holds="plus")


def test_a_decision_says_who_when_and_why_and_hides_the_payment_page() -> None:
    declined = a_wish().decided(State.DECLINED, at=NOON, actor="anna", reason="no")
    assert (declined.state, declined.decided_at, declined.actor, declined.reason) == ("declined", NOON, "anna", "no")
    assert (declined.payment_url, declined.payment_reference) == (None, PAGE.reference)


def test_nothing_is_decided_to_wait() -> None:
    with pytest.raises(UpgradeDecided):
        a_wish().decided(State.PENDING, at=NOON, actor="anna")


@given(st.lists(DECISIONS, min_size=1, max_size=8))
def test_the_first_decision_stays_whatever_follows(decisions: list[State]) -> None:
    wish = a_wish()
    for number, decision in enumerate(decisions):
        at = NOON + timedelta(seconds=number)
        if number == 0:
            wish = wish.decided(decision, at=at, actor="anna")
            continue
        with pytest.raises(UpgradeDecided):
            wish.decided(decision, at=at, actor="ben")
    assert (wish.state, wish.decided_at, wish.actor) == (decisions[0], NOON, "anna")
    assert unchanged(wish) == unchanged(a_wish())


def unchanged(wish: Wish) -> tuple[object, ...]:
    """What a customer wished for."""
    return wish.upgrade_id, wish.account_id, wish.plan, wish.requested_at, wish.payment_reference, wish.payment_amount
