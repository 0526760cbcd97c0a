"""Sessions find their target again, targets that come and go move only their own sessions, and none is overrun."""

from collections import Counter
from collections.abc import Mapping, Sequence

from hypothesis import given
from hypothesis import strategies as st

from router.domain.placing import BOUND, LEAST_BOUND, places, ranking

TARGETS = ["a", "b", "c", "d"]
SESSIONS = [f"session {number}" for number in range(2_000)]


def place(session: str, targets: Sequence[str], in_flight: Mapping[str, int]) -> str:
    """The first of its places."""
    return places(session, targets, in_flight)[0]


names = st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=8, unique=True)


def test_a_session_has_one_target_whatever_the_order_that_they_are_named_in() -> None:
    assert place("s", TARGETS, {}) == place("s", TARGETS[::-1], {}) == ranking("s", TARGETS)[0]


def test_sessions_are_spread_evenly() -> None:
    counted = Counter(place(session, TARGETS, {}) for session in SESSIONS)
    assert all(400 < counted[target] < 600 for target in TARGETS)


def test_a_target_that_goes_moves_its_own_sessions_only() -> None:
    before = {session: place(session, TARGETS, {}) for session in SESSIONS}
    after = {session: place(session, ["a", "b", "d"], {}) for session in SESSIONS}
    assert {session for session in SESSIONS if before[session] != after[session]} == {
        session for session in SESSIONS if before[session] == "c"
    }


def test_a_target_with_more_than_its_share_passes_sessions_on_to_their_second_choice() -> None:
    session = next(session for session in SESSIONS if ranking(session, TARGETS)[:2] == ["b", "d"])
    assert place(session, TARGETS, {"b": 14, "a": 9, "c": 9, "d": 9}) == "b"
    assert place(session, TARGETS, {"b": 16, "a": 9, "c": 9, "d": 9}) == "d"
    assert place(session, TARGETS, {"b": LEAST_BOUND - 1}) == "b"


@given(st.text(max_size=40), names, st.data())
def test_there_is_always_a_place_and_never_an_overrun_one_while_another_has_room(
    session: str, targets: list[str], data: st.DataObject
) -> None:
    loads = {target: data.draw(st.integers(0, 60)) for target in targets}
    found = place(session, targets, loads)
    assert found in targets
    bound = max(BOUND * (sum(loads.values()) + 1) / len(targets), LEAST_BOUND)
    if min(loads.values()) < bound:
        assert loads[found] < bound + 1


def test_nobody_has_a_place_among_no_targets() -> None:
    assert places("s", [], {}) == []
