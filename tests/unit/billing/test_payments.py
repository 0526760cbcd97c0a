"""What notices of payments do: a plan only for what was wished for and paid, in whatever order they come."""

from dataclasses import dataclass, replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.domain.payments import (
    Effect,
    Ended,
    Fact,
    Known,
    Notice,
    NotPaid,
    Paid,
    Priced,
    Verdict,
    decide,
    decide_unknown,
)
from billing.domain.upgrades import Wish
from tests.unit.billing.wishes import ANNA, CATALOGUE, NOON, a_notice, a_paid_wish, a_payment, a_wish, known


def decided(fact: Fact | None, about: Known, *, seconds: float = 60) -> Verdict:
    return decide(a_notice(fact, seconds=seconds), about, at=NOON + timedelta(minutes=5))


def test_a_payment_of_what_was_asked_approves_the_wish_and_gives_its_plan() -> None:
    verdict = decided(a_payment(), known(a_wish()))
    assert (verdict.effect, verdict.plan) == (Effect.APPROVED, "pro")
    assert verdict.wish is not None
    assert (verdict.wish.state, verdict.wish.actor) == ("approved", "stripe:evt_2")
    assert (verdict.wish.payment_subscription, verdict.wish.payment_plan) == ("sub_1", "pro")


@pytest.mark.parametrize(
    ("payment", "about", "note"),
    [
        (a_payment(amount=2899), known(a_wish()), "2899 eur were paid, 2900 eur were asked"),
        (a_payment(currency="usd"), known(a_wish()), "2900 usd were paid"),
        (a_payment(amount=0), known(a_wish(payment_amount=None)), "0 eur were paid"),
        (a_payment(amount=None), known(a_wish()), "None eur were paid"),
        (a_payment(upgrade="another"), known(a_wish()), "another wish"),
        (a_payment(upgrade=None), known(a_wish()), "another wish"),
        (a_payment(account="another"), known(a_wish()), "another account"),
        (a_payment(account=None), known(a_wish()), "another account"),
        (a_payment(subscription=None), known(a_wish()), "no subscription"),
        (a_payment(), known(a_wish(state="declined", decided_at=NOON)), "the wish is declined"),
        (a_payment(), known(a_wish(state="withdrawn", decided_at=NOON)), "the wish is withdrawn"),
        (a_payment(subscription="sub_2"), known(a_paid_wish()), "the wish is approved"),
        (a_payment(), known(a_wish(), was_early=True), "ended or changed before"),
        (a_payment(), known(a_wish(), holds="max"), "pro is not above max"),
        (a_payment(), known(a_wish("gone")), "gone is not above free"),
    ],
)
def test_a_payment_that_does_not_fit_gives_nothing_and_is_left_to_staff(payment: Paid, about: Known, note: str) -> None:
    verdict = decided(payment, about)
    assert (verdict.effect, verdict.plan, verdict.wish) == (Effect.FOR_STAFF, None, None)
    assert note in verdict.note


def test_a_payment_that_is_known_does_nothing() -> None:
    assert decided(a_payment(), known(a_paid_wish(), holds="pro")).effect == Effect.NONE


def test_a_payment_at_no_page_of_ours_is_left_to_staff_if_it_claims_to_be_ours() -> None:
    assert decide_unknown(a_payment()).effect == Effect.FOR_STAFF
    assert decide_unknown(a_payment(upgrade=None, account=None)).effect == Effect.NONE
    assert decide_unknown(Ended("sub_9", None)).effect == Effect.NONE


def test_a_page_that_nobody_pays_declines_a_wish_that_waits_and_no_other() -> None:
    verdict = decided(NotPaid("cs_1", "the payment failed"), known(a_wish()))
    assert verdict.wish is not None
    assert (verdict.effect, verdict.wish.state, verdict.wish.reason) == ("declined", "declined", "the payment failed")
    late = decided(NotPaid("cs_1", "the payment failed"), known(a_paid_wish(), holds="pro"))
    assert (late.effect, late.wish, late.plan) == (Effect.NONE, None, None)


@pytest.mark.parametrize(
    ("about", "plan"),
    [
        (known(a_paid_wish(), holds="pro"), "free"),
        (known(a_paid_wish(), holds="max"), None),
        (known(a_paid_wish(), holds="pro", is_only_payer=False), None),
    ],
)
def test_a_subscription_that_ends_takes_only_the_plan_that_it_paid_for_alone(about: Known, plan: str | None) -> None:
    verdict = decided(Ended("sub_1", None), about)
    assert (verdict.effect, verdict.plan) == (Effect.ENDED, plan)
    assert verdict.wish is not None
    assert verdict.wish.payment_ended_at is not None
    assert decided(Ended("sub_1", None), replace(about, wish=verdict.wish)).effect == Effect.NONE


def test_a_subscription_that_has_paid_for_nothing_is_remembered_when_it_ends_or_changes() -> None:
    waits = known(a_wish())
    assert decided(Ended("sub_1", None), waits).effect == Effect.EARLY
    assert decided(Priced("sub_1", "max", None), waits).effect == Effect.EARLY
    assert decided(Priced("sub_1", "pro", None), waits).effect == Effect.NONE, "it has only become active"


def test_another_price_moves_the_account_and_an_older_notice_does_not_move_it_back() -> None:
    first = decided(Priced("sub_1", "max", None), known(a_paid_wish(), holds="pro"), seconds=100)
    assert (first.effect, first.plan) == (Effect.PLAN_CHANGED, "max")
    assert first.wish is not None
    older = decided(Priced("sub_1", "plus", None), known(first.wish, holds="max"), seconds=90)
    assert (older.effect, older.plan) == (Effect.NONE, None)


@pytest.mark.parametrize(
    ("fact", "about", "effect"),
    [
        (Priced("sub_1", None, None), known(a_paid_wish(), holds="pro"), Effect.FOR_STAFF),
        (Priced("sub_1", "gone", None), known(a_paid_wish(), holds="pro"), Effect.FOR_STAFF),
        (Priced("sub_1", "max", None), known(a_paid_wish(), holds="plus"), Effect.FOR_STAFF),
        (Priced("sub_1", "max", None), known(a_paid_wish(payment_ended_at=NOON), holds="pro"), Effect.NONE),
        (Priced("sub_1", "pro", None), known(a_paid_wish(), holds="pro"), Effect.NONE),
        (None, known(a_wish()), Effect.NONE),
    ],
)
def test_a_price_that_says_nothing_about_this_account_moves_nothing(
    fact: Fact | None, about: Known, effect: Effect
) -> None:
    verdict = decided(fact, about)
    assert (verdict.effect, verdict.plan, verdict.wish) == (effect, None, None)


FACTS = st.one_of(
    st.builds(
        a_payment,
        amount=st.sampled_from([2900, 5000, 1, 0, None]),
        currency=st.sampled_from(["eur", "usd"]),
        upgrade=st.sampled_from([a_payment().upgrade, "another", None]),
        account=st.sampled_from([str(ANNA), "another"]),
        subscription=st.sampled_from(["sub_1", "sub_2", None]),
    ),
    st.builds(NotPaid, st.just("cs_1"), st.just("no")),
    st.builds(Ended, st.sampled_from(["sub_1", "sub_2"]), st.none()),
    st.builds(Priced, st.sampled_from(["sub_1", "sub_2"]), st.sampled_from(["plus", "pro", "max", None]), st.none()),
    st.none(),
)
NOTICES = st.lists(st.tuples(FACTS, st.integers(0, 300)), max_size=12)


@dataclass(slots=True)
class Account:
    """An account as the store keeps it between notices."""

    wish: Wish
    plan: str = "free"
    ended_early: bool = False
    taken: int = 0

    def take(self, fact: Fact | None, seconds: int) -> Verdict:
        self.taken += 1
        notice: Notice = a_notice(fact, number=self.taken, seconds=seconds)
        about = Known(self.wish, self.plan, CATALOGUE, was_early=self.ended_early)
        verdict = decide(notice, about, at=NOON + timedelta(minutes=5))
        self.wish, self.plan = verdict.wish or self.wish, verdict.plan or self.plan
        self.ended_early |= verdict.effect == Effect.EARLY
        return verdict


def is_good(fact: Fact | None) -> bool:
    return (
        isinstance(fact, Paid)
        and (fact.amount or 0) >= 2900
        and (fact.currency, fact.upgrade, fact.account) == ("eur", a_payment().upgrade, str(ANNA))
        and fact.subscription is not None
    )


@given(NOTICES)
def test_there_is_no_plan_without_a_good_payment_in_any_order(notices: list[tuple[Fact | None, int]]) -> None:
    account = Account(a_wish())
    has_paid = False
    for fact, seconds in notices:
        account.take(fact, seconds)
        has_paid = has_paid or is_good(fact)
        assert has_paid or account.plan == "free"
        assert account.wish.plan == "pro"


@given(NOTICES)
def test_once_its_subscription_has_ended_an_account_has_the_default_plan_for_good(
    notices: list[tuple[Fact | None, int]],
) -> None:
    account = Account(a_paid_wish(), plan="pro")
    account.take(Ended("sub_1", None), 400)
    for fact, seconds in notices:
        account.take(fact, seconds)
        assert account.plan == "free"


@given(NOTICES)
def test_what_is_told_twice_is_as_if_it_was_told_once(notices: list[tuple[Fact | None, int]]) -> None:
    once, twice = Account(a_wish()), Account(a_wish())
    for fact, seconds in notices:
        once.take(fact, seconds)
        twice.take(fact, seconds)
        twice.take(fact, seconds)
        assert (twice.plan, twice.wish.state) == (once.plan, once.wish.state)
