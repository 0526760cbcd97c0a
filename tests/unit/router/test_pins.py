"""A turn stays with its target while that is well."""

from contracts.gateway import AttemptFinished, AttemptsFinished, FirstByte
from contracts.router import Chosen
from router.pins import Pin, Pins
from router.switchboard import Switchboard
from tests.unit.router.configurations import choose, configuration


def targets(switchboard: Switchboard, *, affinity: tuple[str, ...] = (), now: float = 0.0) -> list[str]:
    reply = switchboard.choose(choose(affinity=affinity), now=now)
    assert isinstance(reply, Chosen)
    return [candidate.target for candidate in reply.candidates]


def well(target: str, *affinity: str) -> AttemptFinished:
    return AttemptFinished(target=target, result="ok", status=200, affinity=affinity)


def fold(switchboard: Switchboard, attempt: AttemptFinished, *, now: float) -> None:
    switchboard.hear(AttemptsFinished(gateway="g", attempts=(attempt,)), now=now)


def broken(switchboard: Switchboard, target: str, *, now: float) -> None:
    for _ in range(3):
        fold(switchboard, AttemptFinished(target=target, result="broken"), now=now)


def test_what_a_target_has_served_comes_to_it_again_and_nothing_else_does() -> None:
    switchboard = Switchboard(configuration())
    fold(switchboard, well("far", "turn", "session"), now=0.0)
    assert targets(switchboard, affinity=("turn",)) == ["far", "near"]
    assert targets(switchboard, affinity=("another turn", "session")) == ["far", "near"]
    assert targets(switchboard, affinity=("another turn",)) == ["near", "far"]
    assert targets(switchboard) == ["near", "far"]


def test_the_turn_counts_before_the_session() -> None:
    switchboard = Switchboard(configuration())
    fold(switchboard, well("far", "session"), now=0.0)
    fold(switchboard, well("near", "turn"), now=0.0)
    assert targets(switchboard, affinity=("turn", "session")) == ["near", "far"]


def test_a_target_that_is_set_aside_holds_nobody_and_gets_its_turns_back_when_it_is_well() -> None:
    switchboard = Switchboard(configuration())
    fold(switchboard, well("far", "turn"), now=0.0)
    broken(switchboard, "far", now=0.0)
    assert targets(switchboard, affinity=("turn",), now=0.5) == ["near", "far"]
    switchboard.permit("far", until=11.0)
    assert targets(switchboard, now=1.5) == ["far", "near"]  # the probe
    begun = FirstByte(target="far", bucket=0, seconds=0.1)
    switchboard.hear(AttemptsFinished(gateway="g", attempts=(), first_bytes=(begun,)), now=1.6)
    assert targets(switchboard, affinity=("turn",), now=1.7) == ["far", "near"]


def test_a_pinned_request_is_no_probe() -> None:
    switchboard = Switchboard(configuration())
    fold(switchboard, well("far", "turn"), now=0.0)
    broken(switchboard, "near", now=0.0)
    switchboard.permit("near", until=11.0)
    assert targets(switchboard, affinity=("turn",), now=1.5)[0] == "far"
    assert targets(switchboard, now=1.5) == ["near", "far"]  # the probe was still due


def test_the_longest_unused_keys_are_forgotten() -> None:
    pins = Pins(most=2)
    pins.note(("a",), "near", now=1.0)
    pins.note(("b",), "near", now=2.0)
    pins.note(("a",), "far", now=3.0)
    pins.note(("c",), "near", now=4.0)
    assert (len(pins), pins.find(("b",)), pins.find(("b", "a"))) == (2, None, Pin("far", 3.0))


def test_another_replica_goes_on_from_the_newest_pins_and_keeps_its_own() -> None:
    running, starting = Pins(), Pins()
    running.note(("a", "b"), "near", now=100.0)
    running.note(("b",), "far", now=107.0)
    starting.note(("a",), "elsewhere", now=3.0)
    starting.take_over(running.newest(now=110.0), now=5.0)
    assert starting.find(("b",)) == Pin("far", 2.0)
    assert starting.find(("a",)) == Pin("elsewhere", 3.0)
