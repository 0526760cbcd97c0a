"""What one replica answers, while targets fail and recover and the configuration changes."""

import timeit
from typing import Any

from contracts.gateway import AttemptFinished, AttemptsFinished, FirstByte
from contracts.router import Chosen, Unroutable
from router.fleet import Change
from router.switchboard import Switchboard
from tests.unit.router.configurations import TARGETS, choose, configuration


def a_switchboard(**of_profiles: Any) -> Switchboard:
    return Switchboard(configuration(**of_profiles))


def order(switchboard: Switchboard, *, now: float, plan: str = "pro", asked: str = "alias-pro") -> list[str]:
    reply = switchboard.choose(choose(plan=plan, alias=asked), now=now)
    assert isinstance(reply, Chosen)
    return [candidate.target for candidate in reply.candidates]


def fold(switchboard: Switchboard, attempt: AttemptFinished, *, now: float) -> Change | None:
    changes = switchboard.hear(AttemptsFinished(gateway="g", attempts=(attempt,)), now=now)
    return changes[0][0] if changes else None


def fail(switchboard: Switchboard, target: str, *, now: float, times: int = 3) -> list[Change | None]:
    return [fold(switchboard, AttemptFinished(target=target, result="timed_out"), now=now) for _ in range(times)]


def permit(switchboard: Switchboard, target: str, *, now: float) -> None:
    """What the permits of the fleet do when this replica was the first to ask."""
    assert switchboard.wanted_probes(now) == (target,)
    switchboard.permit(target, until=now + 10)


def test_an_answer_names_the_effective_alias_both_versions_and_the_targets_in_order() -> None:
    reply = a_switchboard(version=7).choose(choose(plan="free", alias="alias-pro"), now=0.0)
    assert isinstance(reply, Chosen)
    assert (reply.alias, reply.plans_version, reply.profiles_version) == ("alias-free", 1, 7)
    assert [(c.target, c.base_url, c.model, c.key) for c in reply.candidates] == [
        (name, target["base_url"], target["model"], target["key"]) for name, target in TARGETS.items()
    ]


def test_an_unknown_alias_and_an_unknown_plan_are_told_apart() -> None:
    switchboard = a_switchboard()
    assert switchboard.choose(choose(plan="free", alias="gpt-4"), now=0.0) == Unroutable(reason="unknown_alias")
    assert switchboard.choose(choose(plan="gold", alias="alias-pro"), now=0.0) == Unroutable(reason="unknown_plan")


def test_a_failing_target_goes_last_at_once_even_in_answers_that_were_kept() -> None:
    switchboard = a_switchboard()
    assert order(switchboard, now=0.0) == ["near", "far"]
    assert fail(switchboard, "near", now=0.0) == [None, None, Change("near", 1.0)]
    assert order(switchboard, now=0.1) == ["far", "near"]


def test_nobody_probes_without_a_permit_and_exactly_one_request_does_with_it() -> None:
    switchboard = a_switchboard()
    fail(switchboard, "near", now=0.0)
    assert switchboard.wanted_probes(0.99) == ()
    assert order(switchboard, now=1.0) == ["far", "near"]
    permit(switchboard, "near", now=1.0)
    assert switchboard.wanted_probes(1.0) == ()
    assert [order(switchboard, now=now) for now in (1.0, 1.0, 1.1)] == [
        ["near", "far"],
        ["far", "near"],
        ["far", "near"],
    ]


def test_one_probe_is_sent_for_all_profiles_together() -> None:
    switchboard = a_switchboard()
    fail(switchboard, "near", now=0.0)
    permit(switchboard, "near", now=1.0)
    assert order(switchboard, now=1.0, asked="alias-pro") == ["near", "far"]
    assert order(switchboard, now=1.0, asked="alias-free") == ["far", "near"]


def test_a_permit_that_was_not_used_in_time_is_lost() -> None:
    switchboard = a_switchboard()
    fail(switchboard, "near", now=0.0)
    permit(switchboard, "near", now=1.0)
    assert switchboard.wanted_probes(11.0) == ("near",)
    assert order(switchboard, now=11.0) == ["far", "near"]


def test_a_probe_without_result_is_given_up_after_ten_seconds() -> None:
    switchboard = a_switchboard()
    fail(switchboard, "near", now=0.0)
    permit(switchboard, "near", now=1.0)
    assert order(switchboard, now=1.0) == ["near", "far"]
    assert switchboard.wanted_probes(10.9) == ()
    permit(switchboard, "near", now=11.0)
    assert order(switchboard, now=11.0) == ["near", "far"]


def test_a_successful_probe_restores_the_configured_order() -> None:
    switchboard = a_switchboard()
    fail(switchboard, "near", now=0.0)
    permit(switchboard, "near", now=1.0)
    order(switchboard, now=1.0)
    begun = FirstByte(target="near", bucket=0, seconds=0.3)
    report = AttemptsFinished(gateway="g", attempts=(), first_bytes=(begun,))
    assert [change for change, _ in switchboard.hear(report, now=1.3)] == [Change("near", None)]
    assert [order(switchboard, now=1.3) for _ in range(2)] == [["near", "far"]] * 2


def test_a_failed_probe_waits_twice_as_long() -> None:
    switchboard = a_switchboard()
    fail(switchboard, "near", now=0.0)
    permit(switchboard, "near", now=1.0)
    order(switchboard, now=1.0)
    assert fail(switchboard, "near", now=1.5, times=1) == [Change("near", 2.0)]
    assert order(switchboard, now=3.4) == ["far", "near"]
    permit(switchboard, "near", now=3.5)
    assert order(switchboard, now=3.5) == ["near", "far"]


def test_many_refused_keys_at_once_are_one_change() -> None:
    switchboard = a_switchboard()
    refused = AttemptFinished(target="far", result="refused_key", status=401)
    assert [fold(switchboard, refused, now=now) for now in (0.0, 0.1, 0.2)] == [Change("far", 60.0), None, None]


def test_a_prolonged_time_holds_for_answers_that_were_kept() -> None:
    switchboard = a_switchboard()
    fail(switchboard, "near", now=0.0)
    order(switchboard, now=0.5)
    late = AttemptFinished(target="near", result="rate_limited", retry_after_seconds=30.0)
    assert fold(switchboard, late, now=0.6) is None
    assert order(switchboard, now=5.0) == ["far", "near"]


def test_a_target_that_the_file_does_not_know_is_ignored() -> None:
    switchboard = a_switchboard()
    assert fail(switchboard, "elsewhere", now=0.0) == [None, None, None]
    assert set(switchboard.health) == {"near", "far"}


def test_a_new_configuration_is_in_the_next_answer() -> None:
    switchboard = a_switchboard()
    order(switchboard, now=0.0)
    switchboard.configure(configuration(version=2, order=("far", "near")))
    reply = switchboard.choose(choose(plan="pro", alias="alias-pro"), now=0.0)
    assert isinstance(reply, Chosen)
    assert reply.profiles_version == 2
    assert [candidate.target for candidate in reply.candidates] == ["far", "near"]


def test_health_survives_a_reload_of_the_file_unless_the_target_itself_changed() -> None:
    switchboard = a_switchboard()
    fail(switchboard, "near", now=0.0)
    fail(switchboard, "far", now=0.0)
    repaired = {**TARGETS, "far": {**TARGETS["far"], "key": "env:NEW_KEY"}}
    switchboard.configure(configuration(version=2, targets=repaired))
    assert {name: health.is_set_aside for name, health in switchboard.health.items()} == {"near": True, "far": False}


def test_choosing_costs_microseconds() -> None:
    switchboard = a_switchboard()
    runs = 2_000
    ask = choose()
    seconds = min(timeit.repeat(lambda: switchboard.choose(ask, now=0.0), number=runs, repeat=3))
    assert seconds / runs < 250e-6
