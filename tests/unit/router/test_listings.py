"""What is told of a configuration: who serves what, what is probably a mistake, what changes between two files."""

from typing import Any

import pytest

from contracts.plans import PlanCatalogue
from router.differences import differences, is_silent
from router.listings import configuration_text, percent, table
from router.profiles import Profiles
from router.smells import smells
from tests.unit.router.configurations import plans
from tests.unit.router.traffic import a_file

PLANS = PlanCatalogue.model_validate(plans())
BOTH: dict[str, Any] = {"light": ["l1", "l2"], "strong": ["s1", "s2"], "strong_budget": 0.3}
EURO = {"currency": "EUR", "input_per_million": "1", "output_per_million": "2"}


def a_clean_file(**changes: Any) -> dict[str, Any]:
    """Without anything to warn of."""
    document = a_file(**changes)
    for target in document["targets"].values():
        target.setdefault("context_window", 100_000)
    return document


def read(document: dict[str, Any]) -> Profiles:
    return Profiles.model_validate(document)


def test_an_alias_is_shown_with_its_plan_tiers_budget_and_all_that_it_goes_by() -> None:
    file = a_file(**{"alias-free": {**BOTH, "price_weight": 2, "affinity": "none", "may_hedge": True}})
    lines = configuration_text(read(file), PLANS).splitlines()
    place = lines.index("alias-free (plan free)")
    assert lines[place + 1 : place + 4] == [
        "  light     l1, l2",
        "  strong    s1, s2  (30 % of the requests)",
        "  price weight 2; affinity none; hedges; first byte within 6 times p95, at least 3 s; all regions",
    ]


def test_a_target_is_shown_with_address_model_window_price_and_capacity() -> None:
    lines = configuration_text(read(a_file()), None).splitlines()
    assert "alias-free" in lines
    row = next(line for line in lines if line.startswith("l2 "))
    assert row.split() == ["l2", "https://l2.example.com/v1", "small", "chat", "0.2/0.4", "USD", "8", "no", "key"]


def test_a_table_leaves_out_a_column_with_nothing_in_it() -> None:
    assert table(("a", "b", "c"), [("1", "", "3"), ("1", "", "4")]) == ["a  c", "1  3", "1  4"]


@pytest.mark.parametrize(("share", "shown"), [(0.25, "25 %"), (0.125, "12.5 %"), (1, "100 %"), (0, "0 %")])
def test_shares_are_percents(share: float, shown: str) -> None:
    assert percent(share) == shown


def test_a_clean_file_has_no_smells() -> None:
    pro = {"targets": ["s1", "s3", "l1", "l2"]}
    assert (
        smells(read(a_clean_file(**{"alias-free": {**BOTH, "light": ["l1", "l2", "l3"]}, "alias-pro": pro})), PLANS)
        == []
    )


@pytest.mark.parametrize(
    ("profile", "smell"),
    [
        ({**BOTH, "light": ["l1", "s1"]}, "s1 in both tiers"),
        ({"light": ["l1"], "may_hedge": True}, "has one target"),
        ({"strong": ["s1", "s3"]}, "s3 of the strong tier without prices"),
        ({"light": ["l1", "l2"], "regions": ["eu"]}, "every request is refused"),
        ({"light": ["l3"]}, "no target of the light tier takes tools"),
        ({"light": ["l1", "s2"]}, "prices of the light tier in EUR and USD"),
    ],
)
def test_what_is_probably_a_mistake_is_warned_of(profile: dict[str, Any], smell: str) -> None:
    document = a_clean_file(**{"alias-free": profile})
    document["targets"]["l3"]["dialect"] = {"takes_tools": False}
    document["targets"]["s2"]["prices"] = EURO
    found = [one for one in smells(read(document), PLANS) if one.startswith("alias-free")]
    assert any(smell in one for one in found), found


@pytest.mark.parametrize("profile", [{"strong": ["s1", "s3"], "price_weight": 0}, {"targets": ["s1", "s3"]}])
def test_prices_that_nobody_asks_for_are_no_smell(profile: dict[str, Any]) -> None:
    assert not [one for one in smells(read(a_clean_file(**{"alias-free": profile})), PLANS) if "prices" in one]


def test_a_target_of_a_region_that_is_not_asked_for_is_warned_of() -> None:
    document = a_clean_file(**{"alias-free": {"light": ["l1", "l2"], "regions": ["eu"]}})
    document["targets"]["l1"]["region"] = "eu"
    assert "alias-free: l2 never serve: not in eu" in smells(read(document), PLANS)


def test_targets_without_window_and_unused_ones_and_profiles_are_warned_of() -> None:
    document = a_clean_file(
        **{"alias-free": {"light": ["l1"]}, "alias-pro": {"light": ["l1"]}, "alias-gold": {"light": ["l1"]}}
    )
    del document["targets"]["l1"]["context_window"]
    found = smells(read(document), PLANS)
    assert [one.split(":")[0] for one in found if "context_window" in one] == ["l1"]
    assert "targets that no profile uses: l2, l3, s1, s2, s3" in found
    assert "profiles that no plan uses: alias-gold" in found


def test_equal_files_have_no_differences() -> None:
    assert differences(read(a_file()), read(a_file())) == []
    assert not is_silent(read(a_file()), read(a_file()))


def test_differences_are_told_by_alias_and_by_target_and_never_with_a_key() -> None:
    old = a_file(**{"alias-free": BOTH})
    new = a_file(**{"alias-free": {**BOTH, "light": ["l2", "l3"], "strong_budget": 0.5, "may_hedge": True}})
    old["targets"]["l1"]["key"], new["targets"]["l1"]["key"] = "env:OLD_SECRET", "env:NEW_SECRET"
    new["targets"]["s1"]["dialect"] = {"takes_tools": False}
    new["targets"]["s1"]["prices"] = EURO
    new["profiles"]["alias-gold"] = {"light": ["l1"]}
    del new["profiles"]["alias-pro"]
    new["profiles"]["alias-free"]["strong"] = ["s2", "s1"]
    found = differences(read(old), read(new))
    assert set(found) == {
        "alias alias-free: light +l3 -l1",
        "alias alias-free: strong in another order: s1, s2 → s2, s1",
        "alias alias-free: strong_budget 30 % → 50 %",
        "alias alias-free: may_hedge no → yes",
        "alias alias-gold: new, light l1",
        "alias alias-pro: gone",
        "target l1: key is another one",
        "target s1: dialect.takes_tools yes → no",
        "target s1: prices.currency USD → EUR",
        "target s1: prices.input_per_million 2.5 → 1",
        "target s1: prices.output_per_million 10 → 2",
    }
    assert is_silent(read(old), read(new))
    assert not is_silent(read(old), read({**new, "version": 5}))


def test_prices_that_come_and_go_are_told() -> None:
    new = a_file()
    new["targets"]["s3"]["prices"] = EURO
    found = differences(read(a_file()), read(new))
    assert "target s3: prices.currency none → EUR" in found
    assert len(differences(read(new), read(a_file()))) == len(found)
