"""What a browser keeps for us: opened by us alone, for one purpose, for a while."""

import pytest

from gateway.portal.identity.boxes import Box

KEY = b"k" * 32


class _Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def _box(*, key: bytes = KEY, purpose: str = "tests", clock: _Clock | None = None) -> Box:
    return Box(key, purpose=purpose, seconds=600, clock=clock or _Clock())


def test_a_box_is_opened_on_every_replica_and_reads_like_nothing() -> None:
    closed = _box().close({"state": "secret-canary"})
    assert _box().open(closed) == {"state": "secret-canary"}
    assert "canary" not in closed
    assert closed != _box().close({"state": "secret-canary"})


def test_a_box_of_another_key_or_purpose_stays_closed() -> None:
    closed = _box().close({"state": "s"})
    assert _box(key=b"x" * 32).open(closed) is None
    assert _box(purpose="others").open(closed) is None


def test_a_box_is_good_for_its_time() -> None:
    clock = _Clock()
    box = _box(clock=clock)
    closed = box.close({"state": "s"})
    clock.now += 599
    assert box.open(closed) == {"state": "s"}
    clock.now += 2
    assert box.open(closed) is None


def test_a_box_that_was_changed_stays_closed() -> None:
    closed = _box().close({"state": "s"})
    for position in range(len(closed)):
        other = "A" if closed[position] != "A" else "B"
        assert _box().open(closed[:position] + other + closed[position + 1 :]) is None


@pytest.mark.parametrize("text", [None, "", "A", "AAAA", "é", "not base64!", "A" * 10_000])
def test_what_is_no_box_stays_closed(text: str | None) -> None:
    assert _box().open(text) is None
