"""What is sealed comes back to the same account and the same target, and to nobody else."""

import base64
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from gateway.sealing import PREFIX, Sealing

ACCOUNT, OTHER = UUID(int=1), UUID(int=2)
KEY, NEXT_KEY = b"k" * 32, b"n" * 32
SEALING = Sealing(KEY)


@given(st.text(), st.uuids(), st.text(max_size=40))
def test_every_replica_with_the_key_reads_what_one_has_sealed(state: str, account_id: UUID, target: str) -> None:
    sealed = SEALING.of(account_id, target).seal(state)
    assert Sealing(KEY).of(account_id, target).unseal(sealed) == state


def test_the_seal_tells_nothing_and_is_never_the_same_twice() -> None:
    seal = SEALING.of(ACCOUNT, "target")
    first, second = seal.seal("thoughts about the provider"), seal.seal("thoughts about the provider")
    assert first != second
    assert b"thoughts" not in base64.urlsafe_b64decode(first.removeprefix(PREFIX))


def test_another_account_another_target_and_another_key_read_nothing() -> None:
    sealed = SEALING.of(ACCOUNT, "target").seal("state")
    assert SEALING.of(OTHER, "target").unseal(sealed) is None
    assert SEALING.of(ACCOUNT, "other").unseal(sealed) is None
    assert SEALING.of(ACCOUNT).unseal(sealed) is None
    assert Sealing(NEXT_KEY).of(ACCOUNT, "target").unseal(sealed) is None


def test_after_a_change_of_keys_the_previous_one_still_reads() -> None:
    sealed = SEALING.of(ACCOUNT, "target").seal("state")
    assert Sealing(NEXT_KEY, previous_key=KEY).of(ACCOUNT, "target").unseal(sealed) == "state"
    assert SEALING.of(ACCOUNT, "target").unseal(Sealing(NEXT_KEY).of(ACCOUNT, "target").seal("state")) is None


@given(st.integers(min_value=len(PREFIX), max_value=60), st.integers(min_value=1, max_value=255))
def test_a_changed_seal_is_none(place: int, change: int) -> None:
    sealed = SEALING.of(ACCOUNT, "target").seal("a state of some length")
    raw = bytearray(sealed.encode())
    raw[place % len(raw)] ^= change
    changed = raw.decode("latin-1")
    if changed != sealed:
        assert SEALING.of(ACCOUNT, "target").unseal(changed) is None


@given(st.text())
def test_what_was_never_sealed_is_none(text: str) -> None:
    assert SEALING.of(ACCOUNT, "target").unseal(text) is None
    assert SEALING.of(ACCOUNT, "target").unseal(PREFIX + text) is None
