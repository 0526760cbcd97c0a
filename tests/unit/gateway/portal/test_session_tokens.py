"""What the token of a session follows from."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from gateway import tokens
from gateway.portal.session_tokens import derived

KEY = b"a-signing-key-that-is-long-enough-for-a-test"
SECRET = "a-cookie-of-a-session"
NOW = datetime(2026, 11, 28, 15, 40, tzinfo=UTC)


def test_every_gateway_makes_the_same_token_within_an_hour() -> None:
    made = {derived(KEY, SECRET, now=NOW.replace(minute=minute)).text for minute in range(60)}
    assert len(made) == 1


def test_the_next_hour_has_another_token() -> None:
    assert derived(KEY, SECRET, now=NOW).text != derived(KEY, SECRET, now=NOW + timedelta(minutes=20)).text


def test_another_session_and_another_key_have_other_tokens() -> None:
    made = {
        derived(KEY, SECRET, now=NOW).text,
        derived(KEY, SECRET + "x", now=NOW).text,
        derived(KEY + b"x", SECRET, now=NOW).text,
    }
    assert len(made) == 3


@given(st.timedeltas(timedelta(0), timedelta(days=3650)))
def test_it_is_good_for_an_hour_at_least_and_for_two_at_most(after: timedelta) -> None:
    left = derived(KEY, SECRET, now=NOW + after).expires_at - NOW - after
    assert timedelta(hours=1) < left <= timedelta(hours=2)


@given(st.binary(min_size=32, max_size=32))
def test_a_derived_token_looks_like_any_other(seed: bytes) -> None:
    assert tokens.is_well_formed(tokens.derived(seed).encode())


def test_the_text_is_in_no_representation() -> None:
    minted = derived(KEY, SECRET, now=NOW)
    assert minted.text not in repr(minted)
