"""A turn stays with its target while that is well."""

from contracts.gateway import AttemptFinished
from contracts.router import Chosen
from router.pins import Pins
from router.switchboard import Switchboard
from tests.unit.router.configurations import configuration


def targets(switchboard: Switchboard, *, affinity: tuple[str, ...] = (), now: float = 0.0) -> list[str]:
    reply = switchboard.choose(plan="pro", asked="alias-pro", now=now, affinity=affinity)
    assert isinstance(reply, Chosen)
    return [candidate.target for candidate in reply.candidates]


def well(target: str, *affinity: str) -> AttemptFinished:
    return AttemptFinished(target=target, result="ok", status=200, affinity=affinity)


def broken(switchboard: Switchboard, target: str, *, now: float) -> None:
    for _ in range(3):
        switchboard.fold(AttemptFinished(target=target, result="broken"), now=now)


def test_what_a_target_has_served_comes_to_it_again_and_nothing_else_does() -> None:
    switchboard = Switchboard(configuration())
    switchboard.fold(well("far", "turn", "session"), now=0.0)
    assert targets(switchboard, affinity=("turn",)) == ["far", "near"]
    assert targets(switchboard, affinity=("another turn", "session")) == ["far", "near"]
    assert targets(switchboard, affinity=("another turn",)) == ["near", "far"]
    assert targets(switchboard) == ["near", "far"]


def test_the_turn_counts_before_the_session() -> None:
    switchboard = Switchboard(configuration())
    switchboard.fold(well("far", "session"), now=0.0)
    switchboard.fold(well("near", "turn"), now=0.0)
    assert targets(switchboard, affinity=("turn", "session")) == ["near", "far"]


def test_a_target_that_is_set_aside_holds_nobody_and_gets_its_turns_back_when_it_is_well() -> None:
    switchboard = Switchboard(configuration())
    switchboard.fold(well("far", "turn"), now=0.0)
    broken(switchboard, "far", now=0.0)
    assert targets(switchboard, affinity=("turn",), now=0.5) == ["near", "far"]
    assert targets(switchboard, now=1.5) == ["far", "near"]  # the probe
    switchboard.fold(well("far"), now=1.6)
    assert targets(switchboard, affinity=("turn",), now=1.7) == ["far", "near"]


def test_a_pinned_request_is_no_probe() -> None:
    switchboard = Switchboard(configuration())
    switchboard.fold(well("far", "turn"), now=0.0)
    broken(switchboard, "near", now=0.0)
    assert targets(switchboard, affinity=("turn",), now=1.5)[0] == "far"
    assert targets(switchboard, now=1.5) == ["near", "far"]  # the probe was still due


def test_the_longest_unused_keys_are_forgotten() -> None:
    pins = Pins(most=2)
    pins.note(("a",), "near")
    pins.note(("b",), "near")
    pins.note(("a",), "far")
    pins.note(("c",), "near")
    assert (len(pins), pins.target_of(("b",)), pins.target_of(("b", "a"))) == (2, None, "far")
