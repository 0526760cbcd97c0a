"""What is sealed comes back to the same account and the same target, and to nobody else; we can tell whose it is."""

import base64
import os
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.sealing import ANY_TARGET, FIRST_PREFIX, PREFIX, Sealing

ACCOUNT, OTHER = UUID(int=1), UUID(int=2)
KEY, NEXT_KEY = b"k" * 32, b"n" * 32
SEALING = Sealing(KEY)


def sealed_before(state: str, account_id: UUID, target: str, *, key: bytes = KEY) -> str:
    """As it was sealed by the version before: account and target as associated data."""
    cipher = AESGCM(HKDF(SHA256(), 32, salt=None, info=b"smart-route sealed state v1").derive(key))
    nonce = os.urandom(12)
    sealed = nonce + cipher.encrypt(nonce, state.encode(), account_id.bytes + target.encode())
    return "sr1." + base64.urlsafe_b64encode(sealed).decode()


@given(st.text(), st.uuids(), st.text(max_size=200))
def test_every_replica_with_the_key_reads_what_one_has_sealed(state: str, account_id: UUID, target: str) -> None:
    sealed = SEALING.of(account_id, target).seal(state)
    assert Sealing(KEY).of(account_id, target).unseal(sealed) == state


@given(st.text(), st.uuids(), st.text(max_size=200))
def test_every_replica_with_the_key_tells_whose_state_it_is(state: str, account_id: UUID, target: str) -> None:
    assume(target != ANY_TARGET)
    assert Sealing(KEY).target_of(account_id, SEALING.of(account_id, target).seal(state)) == target


def test_the_seal_tells_nothing_and_is_never_the_same_twice() -> None:
    seal = SEALING.of(ACCOUNT, "target")
    first, second = seal.seal("thoughts about the provider"), seal.seal("thoughts about the provider")
    assert first != second
    opened = base64.urlsafe_b64decode(first.removeprefix(PREFIX))
    assert b"thoughts" not in opened
    assert b"target" not in opened


@given(st.text(st.characters(codec="ascii"), max_size=61), st.text(st.characters(codec="ascii"), max_size=61))
def test_the_length_of_a_seal_does_not_tell_the_target(one: str, other: str) -> None:
    assert len(SEALING.of(ACCOUNT, one).seal("state")) == len(SEALING.of(ACCOUNT, other).seal("state"))


@given(st.uuids(), st.uuids(), st.text(max_size=9), st.text(max_size=9))
def test_another_account_or_another_target_reads_nothing(one: UUID, other: UUID, target: str, another: str) -> None:
    sealed = SEALING.of(one, target).seal("state")
    assert (SEALING.of(other, target).unseal(sealed) is None) is (one != other)
    assert (SEALING.of(one, another).unseal(sealed) is None) is (target != another)


def test_another_account_and_another_key_tell_no_target() -> None:
    sealed = SEALING.of(ACCOUNT, "target").seal("state")
    assert SEALING.target_of(OTHER, sealed) is None
    assert Sealing(NEXT_KEY).target_of(ACCOUNT, sealed) is None
    assert Sealing(NEXT_KEY).of(ACCOUNT, "target").unseal(sealed) is None


def test_what_belongs_to_no_single_target_has_none_and_is_read_by_no_target() -> None:
    sealed = SEALING.of(ACCOUNT).seal("a summary")
    assert (SEALING.target_of(ACCOUNT, sealed), SEALING.of(ACCOUNT).unseal(sealed)) == (None, "a summary")
    assert SEALING.of(ACCOUNT, "target").unseal(sealed) is None
    assert SEALING.of(ACCOUNT).unseal(SEALING.of(ACCOUNT, "target").seal("state")) is None


def test_thoughts_that_are_mere_text_bind_nobody_and_are_read_by_their_target_only() -> None:
    sealed = SEALING.of(ACCOUNT, "target", binds=False).seal("thoughts")
    assert (SEALING.target_of(ACCOUNT, sealed), SEALING.of(ACCOUNT, "target").unseal(sealed)) == (None, "thoughts")
    assert SEALING.of(ACCOUNT, "other").unseal(sealed) is None
    assert len(sealed) == len(SEALING.of(ACCOUNT, "target").seal("thoughts"))


def test_after_a_change_of_keys_the_previous_one_still_reads() -> None:
    sealed, changed = SEALING.of(ACCOUNT, "target").seal("state"), Sealing(NEXT_KEY, previous_key=KEY)
    assert (changed.of(ACCOUNT, "target").unseal(sealed), changed.target_of(ACCOUNT, sealed)) == ("state", "target")
    assert SEALING.of(ACCOUNT, "target").unseal(Sealing(NEXT_KEY).of(ACCOUNT, "target").seal("state")) is None


@pytest.mark.parametrize("sealing", [SEALING, Sealing(NEXT_KEY, previous_key=KEY)])
def test_what_was_sealed_before_seals_told_their_target_is_still_read(sealing: Sealing) -> None:
    sealed = sealed_before("state", ACCOUNT, "target")
    assert sealing.of(ACCOUNT, "target").unseal(sealed) == "state"
    assert sealing.target_of(ACCOUNT, sealed) is None
    assert sealing.of(ACCOUNT, "other").unseal(sealed) is None
    assert sealing.of(OTHER, "target").unseal(sealed) is None


def test_a_seal_of_one_version_does_not_pass_for_one_of_the_other() -> None:
    before, now = sealed_before("state", ACCOUNT, ""), SEALING.of(ACCOUNT, "").seal("state")
    for changed in (PREFIX + before.removeprefix(FIRST_PREFIX), FIRST_PREFIX + now.removeprefix(PREFIX)):
        assert (SEALING.of(ACCOUNT, "").unseal(changed), SEALING.target_of(ACCOUNT, changed)) == (None, None)


@given(st.integers(min_value=0, max_value=200), st.integers(min_value=1, max_value=255))
def test_a_changed_seal_is_none(place: int, change: int) -> None:
    sealed = SEALING.of(ACCOUNT, "target").seal("a state of some length")
    raw = bytearray(sealed.encode())
    raw[place % len(raw)] ^= change
    changed = raw.decode("latin-1")
    if changed != sealed:
        assert SEALING.of(ACCOUNT, "target").unseal(changed) is None
        assert SEALING.target_of(ACCOUNT, changed) is None


def test_a_seal_has_one_spelling() -> None:
    """The last character of base64 may carry bits that no byte is made of."""
    for length in range(3):
        sealed = SEALING.of(ACCOUNT, "target").seal("x" * length)
        spellings = [sealed[:-1] + last for last in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_="]
        spellings += [sealed.rstrip("=")[:-1] + last + "=" * sealed.count("=") for last in "ABCDEFGHgwQkK"]
        good = [one for one in spellings if SEALING.of(ACCOUNT, "target").unseal(one) is not None]
        assert set(good) <= {sealed}


@given(st.text())
def test_what_was_never_sealed_is_none(text: str) -> None:
    for prefix in ("", PREFIX, FIRST_PREFIX):
        assert SEALING.of(ACCOUNT, "target").unseal(prefix + text) is None
        assert SEALING.target_of(ACCOUNT, prefix + text) is None


@given(st.binary(), st.binary(), st.uuids(), st.uuids())
def test_a_pseudonym_stands_for_one_value_of_one_account(value: bytes, other: bytes, one: UUID, two: UUID) -> None:
    same = SEALING.pseudonym(one, value) == Sealing(KEY).pseudonym(two, other)
    assert same is ((one, value) == (two, other))
    assert Sealing(NEXT_KEY).pseudonym(one, value) != SEALING.pseudonym(one, value)
