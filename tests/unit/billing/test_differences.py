"""A difference is named, told apart from others, found again, and documented."""

import json
import re
from datetime import UTC, date, datetime
from uuid import UUID

from billing.domain.differences import (
    Difference,
    Kind,
    Report,
    from_json,
    gone,
    recheck,
    without_doubles,
)
from devstack.repository import ROOT

ACCOUNT, OTHER, REQUEST = UUID(int=1), UUID(int=2), UUID(int=3)
DAY = date(2026, 2, 28)

WINDOW = Difference(Kind.USED_DIFFERS, account_id=ACCOUNT, window="day", day=DAY, figures={"ledger": 2, "quota": 3})
LINE = Difference(
    Kind.LINE_DIFFERS,
    account_id=ACCOUNT,
    request_id=REQUEST,
    line=7,
    sequence=4,
    stream_sequence=12,
    figures={"prompts": "stream 1 ledger 0"},
)


def test_it_reads_as_a_sentence_with_every_name_that_it_has() -> None:
    assert str(WINDOW) == f"used_differs: account {ACCOUNT} window day day 2026-02-28: ledger 2, quota 3"
    assert str(LINE) == (
        f"line_differs: account {ACCOUNT} request {REQUEST} line 7 sequence 4 message 12: prompts stream 1 ledger 0"
    )
    assert str(Difference(Kind.CLOSE_MISSING, day=DAY)) == "close_missing: day 2026-02-28"


def test_what_is_kept_is_what_was_found() -> None:
    for difference in (WINDOW, LINE, Difference(Kind.CLOSE_MISSING, day=DAY)):
        assert from_json(json.loads(json.dumps(difference.as_json()))) == difference


def test_the_same_difference_with_other_figures_is_the_same() -> None:
    later = Difference(Kind.USED_DIFFERS, account_id=ACCOUNT, window="day", day=DAY, figures={"ledger": 9, "quota": 8})
    month = Difference(Kind.USED_DIFFERS, account_id=ACCOUNT, window="month", day=DAY.replace(day=1))
    assert gone([WINDOW, LINE], [later]) == [LINE]
    assert gone([WINDOW, month], [later]) == [month]
    assert without_doubles([WINDOW, LINE, later]) == [WINDOW, LINE]


def test_counters_of_one_window_can_differ_in_two_ways() -> None:
    used = Difference(Kind.COUNTERS_DIFFER, account_id=ACCOUNT, window="day", day=DAY, figures={"a": 1, "b": 2})
    reserved = Difference(Kind.COUNTERS_DIFFER, account_id=ACCOUNT, window="day", day=DAY, figures={"c": 1, "d": 2})
    assert without_doubles([used, reserved]) == [used, reserved]


def test_what_differed_is_looked_at_again_where_it_was_found() -> None:
    other = Difference(Kind.LINE_OF_ANOTHER_MESSAGE, request_id=REQUEST, stream_sequence=20, figures={"line_of": 15})
    chain = Difference(Kind.HASH_DIFFERS, account_id=OTHER, request_id=REQUEST, line=9, sequence=2)
    close = Difference(Kind.CLOSE_FORGED, day=DAY.replace(day=1))
    again = recheck([WINDOW, LINE, other, chain, close])
    assert list(again.sequences) == [12, 15, 20]
    assert list(again.days) == [DAY]
    assert list(again.accounts) == [OTHER]
    assert list(again.closes) == [DAY.replace(day=1)]
    assert recheck([]) == recheck(())


def test_a_report_is_one_json_object() -> None:
    at = datetime(2026, 3, 1, tzinfo=UTC)
    report = Report("test", DAY, ACCOUNT, at, at, 1, 20, "different", 1, [WINDOW], ["a note"], {"messages": 20})
    told = json.loads(report.as_json())
    assert (told["result"], told["found"], told["day"], told["notes"]) == ("different", 1, "2026-02-28", ["a note"])
    assert told["differences"] == [WINDOW.as_json()]


def test_every_kind_is_documented_and_every_documented_one_exists() -> None:
    text = (ROOT / "docs/reconciliation.md").read_text(encoding="utf-8")
    section = text.partition("\n## Differences\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    assert sorted(rows) == sorted(kind.value for kind in Kind)
