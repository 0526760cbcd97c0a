"""The plan catalogue: what a file may say, and which alias is served."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from contracts.plans import Plan, PlanCatalogue
from tests.unit.router.configurations import plans

DESIGN = [
    ("free", "smart-route-mini", 200, 1_000),
    ("plus", "smart-route", 500, 5_000),
    ("business", "smart-route-focus", 1_000, 10_000),
    ("pro", "smart-route-deep", 3_000, 30_000),
    ("ultimate", "smart-route-ultra", 5_000, 70_000),
    ("max", "smart-route-turbo", 10_000, 100_000),
    ("unlimited", "smart-route-infinite", None, None),
]


def a_catalogue(**changes: Any) -> PlanCatalogue:
    return PlanCatalogue.model_validate(plans(names=("free", "plus", "pro")) | changes)


def with_plan(**changes: Any) -> dict[str, Any]:
    content = plans()
    content["plans"][0] |= changes
    return content


def test_the_shipped_plans_are_those_of_the_design() -> None:
    from chassis.watched import load

    file = Path(__file__).parents[3] / "deploy/config/plans.yaml"
    catalogue = load(file, PlanCatalogue)
    found = [(plan.name, plan.alias, plan.daily_prompts, plan.monthly_prompts) for plan in catalogue.plans]
    assert found == DESIGN
    assert catalogue.default_plan == "free"


@pytest.mark.parametrize(
    ("plan", "asked", "served"),
    [
        ("free", "alias-pro", "alias-free"),
        ("pro", "alias-free", "alias-free"),
        ("plus", "alias-plus", "alias-plus"),
        ("pro", "alias-pro", "alias-pro"),
    ],
)
def test_the_lower_of_plan_and_ask_is_served(plan: str, asked: str, served: str) -> None:
    assert a_catalogue().effective_alias(plan=plan, asked=asked) == served


@pytest.mark.parametrize(("plan", "asked"), [("gold", "alias-free"), ("free", "gpt-4")])
def test_an_unknown_plan_or_alias_is_a_key_error(plan: str, asked: str) -> None:
    with pytest.raises(KeyError):
        a_catalogue().effective_alias(plan=plan, asked=asked)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (with_plan(daily_promts=5), "daily_promts"),
        (with_plan(daily_prompts=-1), "daily_prompts"),
        (with_plan(name="pro"), "its own name"),
        (with_plan(alias="alias-pro"), "its own alias"),
        (with_plan(alias="Upper"), "alias"),
        (with_plan(turns={"calls_per_turn": 0}), "calls_per_turn"),
        (plans() | {"default_plan": "gold"}, "no plan of this file"),
        (plans() | {"version": 0}, "version"),
        (plans() | {"plans": []}, "plans"),
    ],
)
def test_a_catalogue_that_cannot_be_meant_is_refused(content: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        PlanCatalogue.model_validate(content)


def test_a_limit_has_to_be_written_down_even_if_there_is_none() -> None:
    content = plans()["plans"][0]
    del content["monthly_prompts"]
    with pytest.raises(ValidationError, match="monthly_prompts"):
        Plan.model_validate(content)


def test_plans_are_found_by_name_and_by_alias() -> None:
    catalogue = a_catalogue()
    found = catalogue.plan("pro")
    assert found is not None
    assert catalogue.plan_of_alias("alias-pro") is found
    assert catalogue.plan("gold") is None
    assert catalogue.plan_of_alias("gold") is None
