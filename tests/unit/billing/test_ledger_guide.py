"""The programs of the billing guide: they are run as they stand there, on what billing prints."""

import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from billing import listings, signing
from billing.domain.closes import Close, Group, LinesDigest, close_of
from billing.domain.lines import Line, Posted
from contracts.gateway import Cost
from devstack.repository import ROOT
from tests.routes import a_route_taken
from tests.unit.billing.lines import NOON, TODAY, an_entry, posted

PROGRAMS = dict(
    re.findall(r"```python\n(?=# (\w+)\.py)(.*?)```", (ROOT / "docs/ledger.md").read_text("utf-8"), re.DOTALL)
)


def run(program: str, *arguments: Path) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore::ResourceWarning", "-c", PROGRAMS[program], *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def some_lines() -> list[Posted]:
    cost = Cost(amount=Decimal("0.00012345678"), currency="EUR")
    return posted([an_entry(number, settled_by="Zoë", cost=cost) for number in range(1, 6)])


def test_the_check_of_lines_accepts_what_billing_prints(tmp_path: Path) -> None:
    lines = some_lines()
    (tmp_path / "lines.json").write_text(listings.ledger_json(lines), encoding="utf-8")
    assert run("check_lines", tmp_path / "lines.json") == (0, f"5 lines, the last one is {lines[-1].line.hash}\n", "")


def test_the_check_of_lines_accepts_lines_with_routes_as_they_are_printed_with_and_without_them(tmp_path: Path) -> None:
    bare = some_lines()
    lines = [*bare[:2], *(replace(line, route=a_route_taken()) for line in bare[2:])]
    assert listings.ledger_json(lines) == listings.ledger_json(bare), "copies of the program would refuse these"
    shown = listings.ledger_json(lines, with_routes=True)
    assert shown.count('"rule": "difficulty"') == 3
    for number, printed in enumerate((listings.ledger_json(lines), shown)):
        file = tmp_path / f"lines-{number}.json"
        file.write_text(printed, encoding="utf-8")
        assert run("check_lines", file) == (0, f"5 lines, the last one is {lines[-1].line.hash}\n", "")


def altered(line: Line, **given: object) -> Line:
    return replace(line, entry=replace(line.entry, **given))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "tamper",
    [
        lambda lines: [*lines[:2], replace(lines[2], line=altered(lines[2].line, prompts=0)), *lines[3:]],
        lambda lines: [*lines[:2], *lines[3:]],
        lambda lines: [lines[0], lines[2], lines[1], *lines[3:]],
        lambda lines: lines[1:],
        lambda lines: [*lines, lines[-1]],
    ],
    ids=["changed", "removed", "swapped", "first one removed", "doubled"],
)
def test_the_check_of_lines_names_what_was_tampered_with(
    tmp_path: Path, tamper: Callable[[list[Posted]], Sequence[Posted]]
) -> None:
    (tmp_path / "lines.json").write_text(listings.ledger_json(tamper(some_lines())), encoding="utf-8")
    code, out, err = run("check_lines", tmp_path / "lines.json")
    assert (code, out) == (1, "")
    assert "is not what was written" in err


def some_closes(key: signing.CloseKey) -> list[Close]:
    closes: list[Close] = []
    for days in range(3):
        group = Group("free", "completed", "settlement", "EUR", 1, 1, (1, 0, 2, 0), Decimal("0.1000000000"))
        digest = LinesDigest()
        digest.feed(["ab" * 32])
        day = TODAY + timedelta(days=days)
        before = closes[-1] if closes else None
        closes.append(close_of(day, [group], digest, before, signer=key, closed_at=NOON))
    return closes


def prepare(tmp_path: Path, closes: Sequence[Close], key: signing.CloseKey) -> tuple[Path, Path]:
    (tmp_path / "closes.json").write_text(listings.closes_json(closes), encoding="utf-8")
    # As `close-key public` prints it.
    (tmp_path / "close.pub").write_text(f"key {key.key_id}\n{key.public.pem}", encoding="utf-8")
    return tmp_path / "closes.json", tmp_path / "close.pub"


def test_the_check_of_closes_accepts_what_billing_prints(tmp_path: Path) -> None:
    key = signing.new_key(tmp_path / "key.pem")
    code, out, _ = run("check_closes", *prepare(tmp_path, some_closes(key), key))
    assert (code, out.startswith("all closed days are as they were signed")) == (0, True)


def test_the_check_of_closes_refuses_a_change_a_gap_and_a_foreign_signature(tmp_path: Path) -> None:
    key, other = signing.new_key(tmp_path / "key.pem"), signing.new_key(tmp_path / "other.pem")
    closes = some_closes(key)
    changed = [replace(closes[0], lines=2), *closes[1:]]
    for wrong in (changed, [closes[0], closes[2]]):
        code, _, err = run("check_closes", *prepare(tmp_path, wrong, key))
        assert (code, "is not what was signed" in err) == (1, True)
    code, _, err = run("check_closes", *prepare(tmp_path, closes, other))
    assert (code, "InvalidSignature" in err) == (1, True)
