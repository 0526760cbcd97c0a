"""What a running router says of its targets, as people and programs read it."""

import pytest

from contracts.decisions import Knowledge, KnownTarget
from contracts.gateway import AttemptFinished, AttemptsFinished, FirstByte, TargetLoad
from contracts.router import Choose, Features
from router.overview import bucket_words, document, health_of, overview
from router.switchboard import Switchboard
from tests.unit.router.configurations import choose, configured
from tests.unit.router.traffic import a_file


def known(**fields: object) -> KnownTarget:
    values: dict[str, object] = {
        "target": "a",
        "success": 1.0,
        "attempts": 5,
        "failures_in_a_row": 0,
        "set_aside_for_seconds": None,
        "period_seconds": 0.0,
        "latency_seconds": None,
        "latency_age_seconds": 0.0,
    }
    return KnownTarget.model_validate(values | fields)


@pytest.mark.parametrize(
    ("fields", "health"),
    [
        ({}, "well"),
        ({"failures_in_a_row": 2}, "well, 2 failed in a row"),
        ({"set_aside_for_seconds": 12.34}, "set aside for 12.3 s"),
        ({"set_aside_for_seconds": 0.0}, "due for a probe"),
        ({"set_aside_for_seconds": 0.0, "is_probing": True}, "probing"),
    ],
)
def test_health_is_in_words(fields: dict[str, object], health: str) -> None:
    assert health_of(known(**fields)) == health


@pytest.mark.parametrize(
    ("bucket", "words"), [(0, "up to 2 k"), (2, "up to 64 k"), (3, "over 64 k"), (4, "up to 2 k, thinking")]
)
def test_a_bucket_is_named_by_its_size(bucket: int, words: str) -> None:
    assert bucket_words(bucket) == words


def a_busy_switchboard() -> Switchboard:
    switchboard = Switchboard(configured(a_file()), instance="router-7")
    loads = (
        TargetLoad(target="l1", in_flight=6, waiting=2, started=30),
        TargetLoad(target="s1", in_flight=1, waiting=0, started=10),
    )
    first_bytes = (FirstByte(target="l1", bucket=0, seconds=0.4),) * 3
    failed = AttemptFinished(target="s2", result="rate_limited", retry_after_seconds=20)
    report = AttemptsFinished(gateway="g", attempts=(failed,), first_bytes=first_bytes, loads=loads)
    switchboard.hear(report, now=50.0)
    for number in range(40):
        features = Features(difficulty=number / 40)
        switchboard.choose(choose(plan="free", alias="alias-free", number=number, features=features), now=50.0)
    return switchboard


def test_a_target_is_shown_with_health_times_and_load() -> None:
    text = overview(a_busy_switchboard().knowledge(now=51.0, with_pins=False))
    assert text.startswith("as router-7 sees it, profiles version 4")
    line = next(line for line in text.splitlines() if line.startswith("l1 "))
    assert line.split() == ["l1", "well", "100", "%", "0.40", "s", "1", "s", "6", "2", "30", "75", "%"]
    assert "set aside for 19.0 s" in text
    assert any(line.split()[:5] == ["l1", "up", "to", "2", "k"] for line in text.splitlines())


def test_a_profile_is_shown_with_its_threshold_share_and_budget() -> None:
    found = a_busy_switchboard().knowledge(now=51.0)
    share = document(found)["profiles"][0]
    assert share["alias"] == "alias-free"
    assert share["light"] + share["strong"] == 40
    assert share["strong_share"] == share["strong"] / 40
    assert (share["budget"], share["theta"]) == (0.3, found.thetas["alias-free"])
    assert "alias-free" in overview(found)


def test_the_count_of_a_profile_begins_anew_with_another_budget_and_goes_on_with_the_same() -> None:
    switchboard = a_busy_switchboard()
    switchboard.configure(configured(a_file()))
    assert document(switchboard.knowledge(now=51.0))["profiles"][0]["strong"] > 0
    other = a_file()
    other["profiles"]["alias-free"]["strong_budget"] = 0.5
    switchboard.configure(configured(other))
    share = document(switchboard.knowledge(now=51.0))["profiles"][0]
    assert (share["light"], share["strong"], share["strong_share"]) == (0, 0, None)


def test_what_is_told_without_pins_has_none() -> None:
    switchboard = Switchboard(configured(a_file()))
    served = AttemptFinished(target="l1", result="ok", affinity=("turn",))
    switchboard.hear(AttemptsFinished(gateway="g", attempts=(served,)), now=0.0)
    assert len(switchboard.knowledge(now=0.0).pins) == 1
    assert switchboard.knowledge(now=0.0, with_pins=False).pins == ()


def test_a_probe_that_is_out_is_told_until_it_is_given_up() -> None:
    switchboard = Switchboard(configured(a_file()))
    failed = AttemptFinished(target="s1", result="timed_out")
    switchboard.hear(AttemptsFinished(gateway="g", attempts=(failed,) * 3), now=0.0)
    switchboard.permit("s1", until=20.0)
    ask: Choose = choose(plan="pro", alias="alias-pro")
    switchboard.choose(ask, now=5.0)
    told = [
        next(target.is_probing for target in switchboard.knowledge(now=now).targets if target.target == "s1")
        for now in (5.1, 14.9, 15.1)
    ]
    assert told == [True, True, False]


def test_a_router_that_knows_nothing_yet_is_shown_all_the_same() -> None:
    text = overview(Knowledge(profiles_version=1, targets=(known(),), pins=(), thetas={}))
    assert "unknown" in text
