"""Plans that are kept for a silent router: for the same kind, not for long, never another target for what is bound."""

from uuid import UUID

import pytest

from contracts.router import Candidate, Choose, Chosen, Features, Lock, Need, Placement, Route
from gateway.remembered import KEEP_PLANS_SECONDS, Plans, Served


def ask(
    *,
    plan: str = "free",
    alias: str = "m",
    tokens: int = 100,
    output: int | None = None,
    needs: tuple[Need, ...] = (),
    lock: Lock = "none",
    served_by: str | None = None,
) -> Choose:
    features = Features(input_tokens=tokens, output_tokens=output, needs=needs)
    return Choose(request_id=UUID(int=1), plan=plan, alias=alias, features=features, lock=lock, served_by=served_by)


def chosen(*targets: str, placement: Placement = "order", window: int | None = None) -> Chosen:
    route = Route(
        profiles_version=1,
        request_class="chat",
        tier="light",
        rule="budget",
        placement=placement,
        candidates=len(targets),
        considered=4,
    )
    candidates = tuple(
        Candidate(target=target, base_url="http://x", model="m", key=None, context_window=window) for target in targets
    )
    return Chosen(
        alias="m",
        plans_version=1,
        profiles_version=1,
        candidates=candidates,
        first_byte_seconds=tuple(float(place) for place in range(1, len(targets) + 1)),
        route=route,
    )


def names(found: Chosen | None) -> tuple[str, ...] | None:
    return tuple(candidate.target for candidate in found.candidates) if found is not None else None


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_plan_is_found_for_the_same_kind_and_says_that_it_is_an_earlier_one() -> None:
    plans = Plans()
    plans.keep(ask(), chosen("a", "b"))
    found = plans.find(ask(tokens=1900))
    assert names(found) == ("a", "b")
    assert found is not None
    assert found.route is not None
    assert found.route.rule == "last_plan"
    assert found.first_byte_seconds == (1.0, 2.0)


@pytest.mark.parametrize(
    "other",
    [
        ask(plan="pro"),
        ask(alias="n"),
        ask(tokens=2001),
        ask(output=2000),
        ask(needs=("tools",)),
    ],
    ids=["plan", "alias", "input", "output", "needs"],
)
def test_another_kind_of_request_has_no_plan(other: Choose) -> None:
    plans = Plans()
    plans.keep(ask(), chosen("a"))
    assert plans.find(other) is None


def test_the_order_of_needs_does_not_matter() -> None:
    plans = Plans()
    plans.keep(ask(needs=("tools", "images")), chosen("a"))
    assert names(plans.find(ask(needs=("images", "tools")))) == ("a",)


def test_a_plan_is_ten_minutes_good() -> None:
    clock = Clock()
    plans = Plans(clock=clock)
    plans.keep(ask(), chosen("a"))
    clock.now = KEEP_PLANS_SECONDS
    assert plans.find(ask()) is not None
    clock.now += 0.1
    assert plans.find(ask()) is None


def test_only_so_many_are_kept_and_the_newest_stay() -> None:
    plans = Plans(most=3)
    for number in range(10):
        plans.keep(ask(alias=f"m{number}"), chosen("a"))
    assert len(plans) == 3
    assert [plans.find(ask(alias=f"m{number}")) is not None for number in (6, 7, 9)] == [False, True, True]


def test_a_probe_and_what_was_bound_are_no_plans_for_others() -> None:
    plans = Plans()
    plans.keep(ask(), chosen("failing", "b", placement="probe"))
    plans.keep(ask(lock="model"), chosen("a"))
    assert len(plans) == 0


def test_a_target_that_is_too_small_for_this_request_is_left_out() -> None:
    plans = Plans()
    plans.keep(ask(tokens=3000), chosen("a", "b", window=8000))
    assert names(plans.find(ask(tokens=7000, output=1000))) == ("a", "b")
    assert plans.find(ask(tokens=7000, output=1001)) is None


@pytest.mark.parametrize("lock", ["model", "target"])
def test_what_is_bound_goes_to_who_served_it_or_nowhere(lock: Lock) -> None:
    plans = Plans()
    plans.keep(ask(), chosen("a", "b"))
    plans.keep(ask(tokens=50_000), chosen("c"))
    found = plans.find(ask(lock=lock, served_by="b"))
    assert names(found) == ("b",)
    assert found is not None
    assert found.first_byte_seconds == (2.0,)
    assert names(plans.find(ask(lock=lock, served_by="c"))) == ("c",)
    assert plans.find(ask(lock=lock, served_by=None)) is None
    assert plans.find(ask(lock=lock, served_by="gone")) is None
    assert plans.find(ask(lock=lock, served_by="b", alias="other")) is None


def test_who_served_a_turn_last_is_known_and_the_oldest_are_forgotten() -> None:
    served = Served(most=2)
    first, second, third = (UUID(int=number) for number in (1, 2, 3))
    served.note(first, "a")
    served.note(second, "a")
    served.note(first, "b")
    served.note(third, "c")
    assert [served.target_of(turn) for turn in (first, second, third)] == ["b", None, "c"]
    assert len(served) == 2


def test_a_plan_for_streams_serves_whole_answers_too_without_its_times() -> None:
    plans = Plans()
    timed = chosen("a", "b").model_copy(update={"first_byte_seconds": (3.0, 4.0), "hedge_after_seconds": 1.5})
    plans.keep(ask(), timed)
    whole = ask().model_copy(update={"is_stream": False})
    found, same = plans.find(whole), plans.find(ask())
    assert found is not None
    assert same is not None
    assert (found.candidates, found.first_byte_seconds, found.hedge_after_seconds) == (timed.candidates, (), None)
    assert same.hedge_after_seconds == 1.5
    plans.keep(whole, chosen("c"))
    assert plans.find(whole) != found
