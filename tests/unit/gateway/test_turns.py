"""Ids of tool calls: verifiable anywhere, forgeable nowhere."""

import base64
import re
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from contracts.quota import Continued
from gateway.turns import LENGTH, MAX_PLACE, PREFIX, ToolCall, ToolCallIds

ACCOUNT, OTHER = UUID(int=1), UUID(int=2)
IDS = ToolCallIds(b"k" * 32)

places = st.integers(0, MAX_PLACE)


@given(st.uuids(), st.uuids(), places, places)
def test_an_id_tells_its_turn_and_position_to_whoever_has_the_key(
    turn_id: UUID, account_id: UUID, call: int, place: int
) -> None:
    made = ToolCall(turn_id, call, place)
    value = IDS.mint(made, account_id=account_id)
    assert re.fullmatch(r"[A-Za-z0-9_-]{40}", value)
    assert ToolCallIds(b"k" * 32).verify(value, account_id=account_id) == made


def test_the_same_call_has_the_same_id_and_another_one_another() -> None:
    minted = [IDS.mint(ToolCall(UUID(int=9), call, place), account_id=ACCOUNT) for call in (1, 2) for place in (0, 1)]
    assert len(set(minted)) == 4
    assert IDS.mint(ToolCall(UUID(int=9), 1, 0), account_id=ACCOUNT) == minted[0]


def test_an_id_of_another_account_or_another_key_does_not_verify() -> None:
    value = IDS.mint(ToolCall(UUID(int=9), 1, 0), account_id=ACCOUNT)
    assert IDS.verify(value, account_id=OTHER) is None
    assert ToolCallIds(b"x" * 32).verify(value, account_id=ACCOUNT) is None


def test_the_previous_key_is_still_accepted_and_no_longer_used() -> None:
    old = IDS.mint(ToolCall(UUID(int=9), 1, 0), account_id=ACCOUNT)
    rotated = ToolCallIds(b"n" * 32, previous_key=b"k" * 32)
    assert rotated.verify(old, account_id=ACCOUNT) is not None
    assert rotated.mint(ToolCall(UUID(int=9), 1, 0), account_id=ACCOUNT) != old


@given(st.integers(0, LENGTH - 1), st.characters(codec="utf-8"))
def test_no_character_of_an_id_can_be_changed(place: int, character: str) -> None:
    value = IDS.mint(ToolCall(UUID(int=9), 1, 0), account_id=ACCOUNT)
    changed = value[:place] + character + value[place + 1 :]
    assert (IDS.verify(changed, account_id=ACCOUNT) is not None) is (changed == value)


@given(st.text(max_size=60))
def test_anything_else_is_no_id_of_ours(value: str) -> None:
    assert IDS.verify(value, account_id=ACCOUNT) is None
    assert IDS.verify(PREFIX + value, account_id=ACCOUNT) is None


def test_positions_beyond_the_last_are_the_last() -> None:
    value = IDS.mint(ToolCall(UUID(int=9), MAX_PLACE + 5, MAX_PLACE + 5), account_id=ACCOUNT)
    assert IDS.verify(value, account_id=ACCOUNT) == ToolCall(UUID(int=9), MAX_PLACE, MAX_PLACE)


def test_padding_or_another_spelling_of_the_same_bytes_is_refused() -> None:
    value = IDS.mint(ToolCall(UUID(int=9), 1, 0), account_id=ACCOUNT)
    raw = base64.urlsafe_b64decode(value[len(PREFIX) :] + "=")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    spellings = [
        value[:-1] + last
        for last in alphabet
        if base64.urlsafe_b64decode((value[:-1] + last)[len(PREFIX) :] + "=") == raw
    ]
    assert len(spellings) == 4
    assert [spelling for spelling in spellings if IDS.verify(spelling, account_id=ACCOUNT)] == [value]


def minted(*calls: ToolCall, account_id: UUID = ACCOUNT) -> list[str]:
    return [IDS.mint(call, account_id=account_id) for call in calls]


def test_answered_calls_of_one_turn_continue_it_from_the_latest_call() -> None:
    turn = UUID(int=9)
    answered = minted(ToolCall(turn, 2, 0), ToolCall(turn, 3, 1), ToolCall(turn, 3, 0))
    assert IDS.continued(answered, account_id=ACCOUNT) == Continued(turn_id=turn, answers=3)


def test_one_id_that_is_not_ours_or_of_another_turn_makes_it_a_new_turn() -> None:
    good = minted(ToolCall(UUID(int=9), 1, 0))
    assert IDS.continued([], account_id=ACCOUNT) is None
    assert IDS.continued([*good, "call_of_somebody"], account_id=ACCOUNT) is None
    assert IDS.continued([*good, *minted(ToolCall(UUID(int=8), 1, 0))], account_id=ACCOUNT) is None
    assert IDS.continued([*good, *minted(ToolCall(UUID(int=9), 1, 1), account_id=OTHER)], account_id=ACCOUNT) is None
    assert IDS.continued(good, account_id=OTHER) is None


@given(st.integers(0, LENGTH - 1), st.sampled_from("AZaz09-_"))
def test_twenty_forged_variants_and_more_continue_nothing(place: int, letter: str) -> None:
    (good,) = minted(ToolCall(UUID(int=9), 1, 0))
    forged = good[:place] + letter + good[place + 1 :]
    if forged != good:
        assert IDS.continued([forged], account_id=ACCOUNT) is None
