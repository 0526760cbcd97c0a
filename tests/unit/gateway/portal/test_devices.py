"""Cookies that we sign say something about one user, to us alone, and nothing when they were changed."""

from http.cookies import SimpleCookie

import pytest

from gateway.portal.identity.devices import (
    DEVICE_COOKIE,
    SIGN_UP_COOKIE,
    device_cookie,
    device_of,
    has_signed_up,
    sign_up_cookie,
)

KEY = b"a key that is long enough for a test"


def _value(header: str, name: str) -> str:
    return SimpleCookie(header)[name].value


def test_a_device_is_known_for_the_user_who_signed_in_with_it_and_for_nobody_else() -> None:
    header = device_cookie(KEY, "ada@example.com")
    value = _value(header, DEVICE_COOKIE)
    assert device_of(KEY, value, email="ada@example.com") is not None
    assert device_of(KEY, value, email="eve@example.com") is None
    assert device_of(b"another key that is long enough too", value, email="ada@example.com") is None
    assert "ada" not in header


@pytest.mark.parametrize("value", [None, "", ".", "a.b", "a" * 22 + ".", "é.é", "a" * 22 + ".ü"])
def test_what_is_no_cookie_of_ours_is_no_device(value: str | None) -> None:
    assert device_of(KEY, value, email="ada@example.com") is None


def test_each_device_has_a_counter_of_its_own() -> None:
    values = [_value(device_cookie(KEY, "ada@example.com"), DEVICE_COOKIE) for _ in range(2)]
    assert len({device_of(KEY, value, email="ada@example.com") for value in values}) == 2


def test_the_browser_that_asked_for_an_account_is_known_by_its_link() -> None:
    value = _value(sign_up_cookie(KEY, b"1" * 32, seconds=60), SIGN_UP_COOKIE)
    assert has_signed_up(KEY, value, link_digest=b"1" * 32)
    assert not has_signed_up(KEY, value, link_digest=b"2" * 32)
    assert not has_signed_up(KEY, None, link_digest=b"1" * 32)
