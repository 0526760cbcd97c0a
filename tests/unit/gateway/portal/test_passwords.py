"""Which passwords are taken, and what hashing promises to who waits for it."""

import asyncio
import unicodedata

import pytest
from argon2 import PasswordHasher
from argon2.profiles import CHEAPEST, RFC_9106_LOW_MEMORY

from gateway.errors import ServiceUnavailable
from gateway.portal.identity import passwords
from gateway.portal.identity.passwords import AT_ONCE, WAITING_LIMIT, Passwords, PasswordWeak, check

EMAIL = "ada.lovelace@example.com"


def _quick() -> Passwords:
    return Passwords(PasswordHasher.from_parameters(CHEAPEST))


@pytest.mark.parametrize(
    "password", ["four words nobody guesses", "µ∆ß-тест-試験-12", "aaaaabbbbbcccccddddd", "x" * 255 + "y"]
)
def test_long_passwords_are_taken_whatever_they_are_made_of(password: str) -> None:
    check(password, email=EMAIL)


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("elevenchars", "at least 12"),
        ("x" * 256 + "y", "at most 256"),
        (EMAIL.upper(), "e-mail"),
        ("ada.lovelace", "e-mail"),
        ("Password1234", "guessers"),
        ("correct horse battery staple", "guessers"),
        ("SmartRoute1234", "guessers"),
        ("aaaaaaaaaaaa", "guessers"),
        ("abcabcabcabcab", "guessers"),
        ("678901234567", "guessers"),
        ("zyxwvutsrqponm", "guessers"),
    ],
)
def test_what_guessers_try_first_is_refused_with_a_reason(password: str, why: str) -> None:
    with pytest.raises(PasswordWeak, match=why):
        check(password, email=EMAIL)


async def test_a_password_is_the_same_however_its_characters_are_composed() -> None:
    hashes = _quick()
    composed = "früh übt sich, wer ein Meister"
    stored = await hashes.hash(composed)
    assert await hashes.verify(stored, unicodedata.normalize("NFD", composed))
    assert not await hashes.verify(stored, composed.replace("ü", "u"))


async def test_a_long_password_that_composes_to_an_allowed_one_is_right_again() -> None:
    hashes = _quick()
    typed = unicodedata.normalize("NFD", "ü" * 200 + "end")
    check(typed, email=EMAIL)
    assert await hashes.verify(await hashes.hash(typed), typed)


async def test_no_password_is_right_for_who_has_none() -> None:
    hashes = _quick()
    assert not await hashes.verify(None, "four words nobody guesses")
    assert not await hashes.verify("not a hash at all", "four words nobody guesses")


def test_it_takes_the_work_of_a_password_of_today_to_find_that_there_is_none() -> None:
    assert not Passwords().is_outdated(passwords._NOBODYS)


async def test_a_hash_is_argon2id_with_the_parameters_of_the_rfc() -> None:
    stored = await Passwords().hash("four words nobody guesses")
    assert stored.startswith("$argon2id$v=19$m=65536,t=3,p=4$")


async def test_a_hash_with_older_parameters_is_known_as_one() -> None:
    stored = await _quick().hash("four words nobody guesses")
    assert Passwords().is_outdated(stored)
    assert not Passwords().is_outdated(PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY).hash("x"))


async def test_the_event_loop_goes_on_while_a_password_is_hashed() -> None:
    hashing = asyncio.create_task(Passwords().hash("four words nobody guesses"))
    turns = 0
    while not hashing.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > AT_ONCE
    assert (await hashing).startswith("$argon2id$")


async def test_a_crowd_is_turned_away_before_it_waits_for_minutes() -> None:
    hashes = _quick()
    crowd = [asyncio.create_task(hashes.hash("four words nobody guesses")) for _ in range(WAITING_LIMIT)]
    await asyncio.sleep(0)
    with pytest.raises(ServiceUnavailable):
        await hashes.hash("one too many for today")
    for each in crowd[1:]:
        each.cancel()
    results = await asyncio.gather(*crowd, return_exceptions=True)
    assert str(results[0]).startswith("$argon2id$")


def test_the_list_has_only_passwords_that_the_length_would_let_through() -> None:
    assert len(passwords._COMMONEST) > 200
    assert all(len(each) >= passwords.SHORTEST for each in passwords._COMMONEST)
