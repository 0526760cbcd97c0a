"""Which targets can take a request: certainly, by estimate, and when none can."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.decisions import Exclusion
from contracts.router import Features, Need
from router.domain.capability import excluded, lacking
from router.profiles import Target


def target(**changes: Any) -> Target:
    return Target.model_validate({"base_url": "http://127.0.0.1/v1", "model": "m", **changes})


def without(what: str) -> Target:
    return target(dialect={f"takes_{what}": False})


@pytest.mark.parametrize("need", ["tools", "images", "schema"])
def test_a_target_without_what_a_request_needs_is_not_asked_even_if_none_has_it(need: Need) -> None:
    features = Features(needs=(need,))
    assert excluded({"a": without(need), "b": target()}, features, regions=()) == {"a": need}
    assert excluded({"a": without(need)}, features, regions=()) == {"a": need}
    assert excluded({"a": without(need)}, Features(), regions=()) == {}


def test_what_no_target_has_is_named_once() -> None:
    features = Features(needs=("images", "tools"))
    reasons = excluded({"a": without("images"), "b": without("images"), "c": without("tools")}, features, regions=())
    assert lacking(reasons.values()) == ("images", "tools")


def test_a_profile_of_a_region_uses_no_target_elsewhere_or_nowhere_in_particular() -> None:
    targets = {"eu": target(region="eu"), "us": target(region="us"), "any": target()}
    assert excluded(targets, Features(), regions=("eu",)) == {"us": "region", "any": "region"}
    assert excluded(targets, Features(), regions=()) == {}


def test_a_request_that_does_not_fit_goes_where_it_does_and_to_the_largest_when_none_is_large_enough() -> None:
    targets = {"small": target(context_window=8_000), "large": target(context_window=128_000), "open": target()}
    features = Features(input_tokens=7_000, output_tokens=2_000)
    assert excluded(targets, features, regions=()) == {"small": "context"}
    del targets["open"]
    huge = Features(input_tokens=200_000)
    assert excluded(targets, huge, regions=()) == {"small": "context"}


def test_a_longer_answer_than_a_target_gives_goes_elsewhere_if_there_is_an_elsewhere() -> None:
    short = target(parameters={"max_output_tokens": 1_000})
    features = Features(output_tokens=4_000)
    assert excluded({"a": short, "b": target()}, features, regions=()) == {"a": "output"}
    assert excluded({"a": short}, features, regions=()) == {}


def test_calls_in_parallel_are_a_wish() -> None:
    one_by_one = target(dialect={"takes_parallel_calls": False})
    features = Features(needs=("tools", "parallel_calls"))
    assert excluded({"a": one_by_one, "b": target()}, features, regions=()) == {"a": "parallel_calls"}
    assert excluded({"a": one_by_one}, features, regions=()) == {}


CERTAIN: set[Exclusion] = {"tools", "images", "schema", "region"}
needs: st.SearchStrategy[list[Need]] = st.lists(
    st.sampled_from(("tools", "images", "schema", "parallel_calls")), unique=True
)
targets = st.builds(
    lambda window, cap, flags: target(
        context_window=window,
        parameters={"max_output_tokens": cap},
        dialect={f"takes_{name}": flags[place] for place, name in enumerate(("tools", "images", "schema"))},
    ),
    st.none() | st.integers(1, 300_000),
    st.none() | st.integers(1, 50_000),
    st.tuples(st.booleans(), st.booleans(), st.booleans()),
)


@given(st.lists(targets, min_size=1, max_size=5), needs, st.integers(0, 400_000), st.none() | st.integers(1, 60_000))
def test_an_estimate_or_a_wish_never_leaves_a_request_without_any_target(
    found: list[Target], wanted: list[Need], input_tokens: int, output_tokens: int | None
) -> None:
    named = {f"t{number}": one for number, one in enumerate(found)}
    features = Features(needs=tuple(wanted), input_tokens=input_tokens, output_tokens=output_tokens)
    reasons = excluded(named, features, regions=())
    if len(reasons) == len(named):
        assert set(reasons.values()) <= CERTAIN
