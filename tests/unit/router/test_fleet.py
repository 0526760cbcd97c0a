"""What a replica makes of the reports of all gateways."""

from typing import Any

import pytest

from contracts.gateway import AttemptFinished, AttemptsFinished, FirstByte, TargetLoad
from router.fleet import ECHO_SECONDS, SILENT_SECONDS, Change, Fleet


def load(target: str = "a", *, in_flight: int = 0, waiting: int = 0, started: int = 0, **oldest: float) -> TargetLoad:
    ages = {int(name.removeprefix("of_")): age for name, age in oldest.items()}
    return TargetLoad(target=target, in_flight=in_flight, waiting=waiting, oldest_seconds=ages, started=started)


def report(gateway: str = "g1", **fields: Any) -> AttemptsFinished:
    return AttemptsFinished(gateway=gateway, attempts=fields.pop("attempts", ()), **fields)


def first_bytes(target: str, seconds: float, *, times: int = 1, bucket: int = 0) -> tuple[FirstByte, ...]:
    return (FirstByte(target=target, bucket=bucket, seconds=seconds),) * times


def test_the_loads_of_all_gateways_are_added_and_a_newer_report_replaces_an_older_one() -> None:
    fleet = Fleet(["a", "b"])
    fleet.hear(report("g1", loads=(load(in_flight=5, waiting=2),)), now=0.0)
    fleet.hear(report("g2", loads=(load(in_flight=3, waiting=1), load("b", in_flight=1))), now=0.1)
    seen = fleet.see("a", now=0.2)
    assert (seen.in_flight, seen.waiting, fleet.see("b", now=0.2).in_flight) == (8, 3, 1)
    fleet.hear(report("g1", loads=(load(in_flight=1),)), now=0.3)
    assert fleet.see("a", now=0.3).in_flight == 4
    fleet.hear(report("g2", loads=()), now=0.4)
    assert (fleet.see("a", now=0.4).in_flight, fleet.see("b", now=0.4).in_flight) == (1, 0)


def test_a_gateway_that_is_heard_of_no_more_counts_no_more() -> None:
    fleet = Fleet(["a"])
    fleet.hear(report("dead", loads=(load(in_flight=9, waiting=9, of_0=1.0),)), now=0.0)
    assert fleet.see("a", now=SILENT_SECONDS - 0.1).latency_seconds > 3.0
    gone = fleet.see("a", now=SILENT_SECONDS + 1.1)
    assert (gone.in_flight, gone.waiting) == (0, 0)
    assert gone.latency_seconds < 1.0


def test_a_target_that_failed_is_tried_again_after_a_while_without_any() -> None:
    fleet = Fleet(["a"])
    fleet.hear(report(attempts=(AttemptFinished(target="a", result="http_error", status=503),) * 2), now=10.0)
    assert fleet.see("a", now=10.0).success == pytest.approx(0.81)
    assert fleet.see("a", now=400.0).success > 0.99


def test_a_report_without_loads_changes_none() -> None:
    fleet = Fleet(["a"])
    fleet.hear(report(loads=(load(in_flight=2),)), now=0.0)
    fleet.hear(report(), now=0.1)
    assert fleet.see("a", now=0.1).in_flight == 2


def test_a_silent_target_grows_dearer_by_the_second_before_anything_has_timed_out() -> None:
    fleet = Fleet(["a", "b"])
    fleet.hear(report(first_bytes=first_bytes("a", 0.3, times=40)), now=0.0)
    fleet.hear(report(loads=(load(in_flight=1, waiting=1, of_0=0.1),)), now=0.0)
    assert fleet.see("a", now=0.1).latency_seconds < 0.5
    assert fleet.see("a", now=2.0).latency_seconds == pytest.approx(2.1)


def test_the_oldest_attempt_of_all_gateways_counts() -> None:
    fleet = Fleet(["a"])
    fleet.hear(report("g1", loads=(load(in_flight=1, waiting=1, of_0=5.0),)), now=10.0)
    fleet.hear(report("g2", loads=(load(in_flight=1, waiting=1, of_0=1.0),)), now=10.0)
    assert fleet.see("a", now=11.0).latency_seconds == pytest.approx(6.0)


def test_own_decisions_count_until_gateways_tell_of_them() -> None:
    fleet = Fleet(["a"])
    fleet.sent("a", now=0.0)
    fleet.sent("a", now=0.0)
    assert (fleet.see("a", now=0.01).waiting, fleet.see("a", now=0.01).in_flight) == (2, 2)
    fleet.hear(report(loads=(load(in_flight=1, waiting=1, started=1),)), now=0.02)
    assert fleet.see("a", now=0.03).in_flight == 2
    assert fleet.see("a", now=ECHO_SECONDS + 0.04).in_flight == 1


def test_a_time_waited_in_vain_makes_a_target_slower_and_never_quicker() -> None:
    fleet = Fleet(["a"])
    fleet.hear(report(first_bytes=first_bytes("a", 2.0)), now=0.0)
    in_vain = FirstByte(target="a", bucket=0, seconds=0.2, is_censored=True)
    fleet.hear(report(first_bytes=(in_vain,)), now=0.0)
    assert fleet.see("a", now=0.0).latency_seconds == 2.0
    fleet.hear(report(first_bytes=(in_vain.model_copy(update={"seconds": 7.0}),)), now=0.0)
    assert fleet.see("a", now=0.0).latency_seconds == 7.0


def test_long_prompts_do_not_make_a_target_look_slow() -> None:
    fleet = Fleet(["a"])
    fleet.hear(report(first_bytes=first_bytes("a", 0.4, times=30)), now=0.0)
    fleet.hear(report(first_bytes=first_bytes("a", 4.0, times=200, bucket=3)), now=0.0)
    assert fleet.see("a", now=0.0).latency_seconds < 0.8


def test_starts_are_counted_for_a_minute() -> None:
    fleet = Fleet(["a"])
    for second in range(90):
        fleet.hear(report(loads=(load(started=2),)), now=float(second))
    assert fleet.see("a", now=89.5).starts_last_minute == 120
    assert fleet.see("a", now=200.0).starts_last_minute == 0


def test_a_first_byte_is_proof_enough_for_a_probe_and_not_for_what_began_before() -> None:
    fleet = Fleet(["a"])
    failed = AttemptFinished(target="a", result="broken")
    changes = fleet.hear(report(attempts=(failed,) * 3), now=0.0)
    assert [change for change, _ in changes] == [Change("a", 1.0)]
    fleet.hear(report(first_bytes=first_bytes("a", 0.3)), now=0.5)
    assert fleet.see("a", now=0.5).is_failing
    fleet.hear(report(first_bytes=first_bytes("a", 0.3)), now=1.1)
    assert not fleet.see("a", now=1.1).is_failing


def test_an_answer_that_was_asked_for_again_says_nothing_of_the_health_of_who_gave_it() -> None:
    fleet = Fleet(["a"])
    fleet.hear(report(attempts=(AttemptFinished(target="a", result="broken"),) * 3), now=0.0)
    again = AttemptFinished(target="a", result="ok", fault="resubmitted")
    fleet.hear(report(attempts=(again,)), now=5.0)
    assert fleet.see("a", now=5.0).is_failing


@pytest.mark.parametrize(
    "news",
    [
        AttemptFinished(target="a", result="ok", status=400),
        AttemptFinished(target="a", result="ok", status=200, first_byte_ms=300.0),
    ],
    ids=["it refuses a request", "a gateway of the release before"],
)
def test_a_target_that_answers_a_probe_in_another_way_is_taken_back_too(news: AttemptFinished) -> None:
    fleet = Fleet(["a"])
    fleet.hear(report(attempts=(AttemptFinished(target="a", result="broken"),) * 3), now=0.0)
    fleet.hear(report(attempts=(news,)), now=1.5)
    assert not fleet.see("a", now=1.5).is_failing


def test_a_replica_that_starts_knows_what_another_one_has_learnt() -> None:
    running, starting = Fleet(["a", "b"]), Fleet(["b", "a", "new"])
    running.hear(report(attempts=(AttemptFinished(target="a", result="broken"),) * 3), now=100.0)
    running.hear(report(first_bytes=first_bytes("b", 1.5, times=50)), now=100.0)
    starting.take_over(running.known(now=100.5), now=7.0)
    assert starting.see("a", now=7.0).is_failing
    assert starting.health["a"].until == pytest.approx(7.5)
    assert starting.see("b", now=7.0).latency_seconds == pytest.approx(running.see("b", now=100.5).latency_seconds)
    assert starting.p95("b", 0) == running.p95("b", 0)


def test_reports_of_targets_that_the_file_does_not_know_are_ignored() -> None:
    fleet = Fleet(["a"])
    fleet.hear(
        report(
            attempts=(AttemptFinished(target="x", result="broken"),),
            first_bytes=first_bytes("x", 9.0),
            loads=(load("x", in_flight=3, started=3),),
        ),
        now=0.0,
    )
    assert set(fleet.health) == {"a"}
    assert fleet.see("a", now=0.0).in_flight == 0


def test_a_gateway_of_the_release_before_tells_first_bytes_with_the_end() -> None:
    fleet = Fleet(["a"])
    older = AttemptFinished(target="a", result="ok", first_byte_ms=3_000.0)
    fleet.hear(report(attempts=(older,)), now=0.0)
    assert fleet.see("a", now=0.0).latency_seconds == 3.0
