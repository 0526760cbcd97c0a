"""What a close says, and that nothing in it can be changed unnoticed."""

from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from billing import signing
from billing.domain.chain import GENESIS
from billing.domain.closes import Close, Group, LinesDigest, close_digest, close_of, days_to_close, totals_of
from billing.errors import CannotClose, KeyRefused
from tests.unit.billing.lines import NOON

DAY = date(2026, 2, 28)


def a_group(plan: str = "free", outcome: str = "completed", **given: object) -> Group:
    group = Group(plan, outcome, "settlement", "USD", 2, 2, (10, 1, 5, 0), Decimal("0.0000000001"))
    return replace(group, **given)  # type: ignore[arg-type]


GROUPS = [
    a_group(),
    a_group("pro", currency="EUR"),
    a_group(outcome="expired", currency=None, prompts=0, cost=Decimal("0.0000000000")),
    a_group(kind="credit_note", lines=1, prompts=-1, currency=None, cost=Decimal("0.0000000000")),
]


def a_digest(lines: int) -> LinesDigest:
    digest = LinesDigest()
    digest.feed(f"{number:064x}" for number in range(lines))
    return digest


class Signer:
    key_id = "0123456789abcdef"

    def sign(self, digest: str) -> str:
        return f"signed {digest}"


def a_close(before: Close | None = None, groups: Sequence[Group] = GROUPS) -> Close:
    return close_of(DAY, groups, a_digest(7), before, signer=Signer(), closed_at=NOON)


def test_totals_are_those_of_all_lines_and_again_by_plan_outcome_and_kind() -> None:
    totals = totals_of(GROUPS)
    assert (totals["lines"], totals["prompts"]) == (7, 3)
    assert totals["tokens"] == {"input": 40, "cached_input": 4, "output": 20, "reasoning": 0}
    assert totals["cost"] == {"EUR": "0.0000000001", "USD": "0.0000000001"}
    by = [totals["by_plan"], totals["by_outcome"], totals["by_kind"]]
    assert [{key: value["lines"] for key, value in each.items()} for each in by] == [  # type: ignore[attr-defined]
        {"free": 5, "pro": 2},
        {"completed": 5, "expired": 2},
        {"credit_note": 1, "settlement": 6},
    ]


def test_the_order_of_groups_does_not_matter() -> None:
    assert a_close() == a_close(groups=GROUPS[::-1])


def test_an_empty_day_has_a_close_too() -> None:
    close = close_of(DAY, [], LinesDigest(), None, signer=Signer(), closed_at=NOON)
    assert (close.lines, close.totals["lines"], close.totals["cost"], close.previous_digest) == (0, 0, {}, GENESIS)


def test_a_close_carries_the_digest_of_the_one_before_and_signs_its_own() -> None:
    first = a_close()
    second = a_close(first)
    assert (first.previous_digest, second.previous_digest) == (GENESIS, first.digest)
    assert first.digest != second.digest
    assert second.signature == f"signed {second.digest}"


@pytest.mark.parametrize("name", [field.name for field in fields(Close) if field.name not in ("digest", "signature")])
def test_every_field_of_a_close_is_part_of_its_digest(name: str) -> None:
    close = a_close()
    later = NOON + timedelta(microseconds=1)
    others: dict[str, object] = {"day": DAY + timedelta(days=1), "lines": 8, "totals": {}, "closed_at": later}
    changed = replace(close, **{name: others.get(name, "other")})  # type: ignore[arg-type]
    assert close_digest(close) == close.digest
    assert close_digest(changed) != close.digest


def test_sums_that_are_not_of_the_digested_lines_are_refused() -> None:
    with pytest.raises(CannotClose, match="7 lines were added up, 6 digested"):
        close_of(DAY, GROUPS, a_digest(6), None, signer=Signer(), closed_at=NOON)


def test_days_are_closed_in_order_and_without_a_gap_and_never_today() -> None:
    today = DAY + timedelta(days=3)
    assert list(days_to_close(first=DAY, closed=None, today=today)) == [DAY + timedelta(days=n) for n in range(3)]
    assert list(days_to_close(first=None, closed=DAY, today=today)) == [DAY + timedelta(days=n) for n in (1, 2)]
    assert list(days_to_close(first=None, closed=None, today=today)) == []
    assert list(days_to_close(first=today, closed=None, today=today)) == []


def test_a_key_signs_what_only_its_public_half_confirms(tmp_path: Path) -> None:
    key, other = signing.new_key(tmp_path / "key.pem"), signing.new_key(tmp_path / "other.pem")
    signature = key.sign("ab" * 32)
    assert key.public.is_signed("ab" * 32, signature)
    assert not key.public.is_signed("ac" * 32, signature)
    assert not other.public.is_signed("ab" * 32, signature)
    assert not key.public.is_signed("ab" * 32, "no hex")
    assert signing.read_key(tmp_path / "key.pem").key_id == key.key_id != other.key_id
    assert (tmp_path / "key.pem").stat().st_mode & 0o777 == 0o600


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    signing.new_key(tmp_path / "key.pem")
    with pytest.raises(KeyRefused, match="never overwritten"):
        signing.new_key(tmp_path / "key.pem")


@pytest.mark.parametrize("mode", [0o604, 0o620, 0o602, 0o601])
def test_a_key_that_others_can_reach_is_refused(tmp_path: Path, mode: int) -> None:
    signing.new_key(tmp_path / "key.pem")
    (tmp_path / "key.pem").chmod(mode)
    with pytest.raises(KeyRefused, match="chmod 600"):
        signing.read_key(tmp_path / "key.pem")


def test_a_key_that_the_group_can_read_is_taken(tmp_path: Path) -> None:
    signing.new_key(tmp_path / "key.pem")
    (tmp_path / "key.pem").chmod(0o440)
    assert signing.read_key(tmp_path / "key.pem")


@pytest.mark.parametrize(
    "content", [b"", b"no key", b"-----BEGIN PRIVATE KEY-----\nMC4CAQ==\n-----END PRIVATE KEY-----\n"]
)
def test_a_file_without_a_key_is_refused_without_a_word_of_its_content(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "key.pem").write_bytes(content)
    (tmp_path / "key.pem").chmod(0o600)
    with pytest.raises(KeyRefused, match="not an unencrypted private key in PEM") as refused:
        signing.read_key(tmp_path / "key.pem")
    assert "no key" not in str(refused.value)


def test_a_missing_setting_or_file_is_named() -> None:
    with pytest.raises(KeyRefused, match="BILLING_CLOSE_KEY_FILE names no key"):
        signing.required_key(None)
    with pytest.raises(KeyRefused, match="No such file"):
        signing.required_key(Path("/nowhere/key.pem"))
