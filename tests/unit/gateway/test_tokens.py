"""Tokens as text."""

import string
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import tokens

BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase


def test_a_minted_token_has_prefix_secret_and_checksum() -> None:
    token = tokens.mint()
    assert len(token) == 8 + 32 + 6
    assert token.startswith("sr_live_")
    assert set(token[8:]) <= set(BASE62)
    assert tokens.is_well_formed(token.encode())


def test_the_checksum_is_the_crc_of_prefix_and_secret_in_base62() -> None:
    token = tokens.mint()
    value = 0
    for character in token[-6:]:
        value = value * 62 + BASE62.index(character)
    assert value == zlib.crc32(token[:-6].encode())


def test_no_two_tokens_are_alike() -> None:
    assert len({tokens.mint() for _ in range(1000)}) == 1000


@given(place=st.integers(0, 45), character=st.sampled_from(BASE62))
def test_one_wrong_character_is_noticed(place: int, character: str) -> None:
    token = tokens.mint()
    changed = token[:place] + character + token[place + 1 :]
    assert tokens.is_well_formed(changed.encode()) == (changed == token)


@given(st.binary(max_size=100))
def test_anything_else_is_refused_without_an_error(guess: bytes) -> None:
    assert not tokens.is_well_formed(guess)


@pytest.mark.parametrize("change", [str.upper, str.strip, lambda token: token + "0", lambda token: token[:-1]])
def test_only_the_exact_text_is_a_token(change: "object") -> None:
    token = tokens.mint()
    assert callable(change)
    changed = str(change(token))
    assert tokens.is_well_formed(changed.encode()) == (changed == token)


def test_the_digest_is_sha_256() -> None:
    assert tokens.digest(b"abc").hex().startswith("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
