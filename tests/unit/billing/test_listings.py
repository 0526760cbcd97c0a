"""What staff sees: whole values, aligned, nothing read as markup."""

import csv
import io
import json
from datetime import UTC, datetime
from uuid import UUID

from billing.domain import Subscription
from billing.listings import ledger_csv, ledger_json, ledger_table, subscriptions_json, subscriptions_table
from billing.tables import LedgerRow

ANNA = UUID(int=1)
NOON = datetime(2026, 2, 28, 12, 30, 59, 999_999, tzinfo=UTC)


def a_line(number: int, *, prompts: int = 1, target: str | None = "local") -> LedgerRow:
    return LedgerRow(
        id=number,
        request_id=UUID(int=number),
        account_id=ANNA,
        token_id=UUID(int=2),
        turn_id=UUID(int=3),
        call=1,
        outcome="completed" if prompts else "expired",
        prompts=prompts,
        plan="free",
        plans_version=1,
        alias_asked="smart-route-ultra",
        alias_served="smart-route-mini",
        endpoint="chat/completions",
        is_stream=False,
        target=target,
        attempts=1,
        input_tokens=1234,
        cached_input_tokens=0,
        output_tokens=5,
        reasoning_tokens=0,
        tokens_source="provider",
        day=NOON.date(),
        month=NOON.date().replace(day=1),
        event_time=NOON,
        recorded_at=NOON,
        stream_sequence=number,
        error_code=None,
        trace_id='a, "b"',
    )


def test_the_table_is_aligned_and_counts_what_was_charged() -> None:
    header, first, second, summary = ledger_table([a_line(1), a_line(10, prompts=0, target=None)]).splitlines()
    assert len({row.index("free") for row in (first, second)}) == 1
    assert first.index(str(ANNA)) == header.index("account")
    assert "2026-02-28 12:30:59" in first
    assert first.endswith("local")
    assert second.endswith("-")
    assert summary == "2 lines, 1 prompt charged"


def test_a_name_is_never_read_as_markup_nor_shortened() -> None:
    name = "[bold]Anna[/bold] " + "x" * 200
    table = subscriptions_table([Subscription(ANNA, name, "pro", 2, NOON)])
    assert name in table
    assert table.splitlines()[-1] == "1 account"


def test_json_and_csv_hold_every_column() -> None:
    (as_json,) = json.loads(ledger_json([a_line(7)]))
    (as_csv,) = csv.DictReader(io.StringIO(ledger_csv([a_line(7)])))
    assert list(as_json) == list(as_csv) == list(LedgerRow.model_fields)
    assert as_json["trace_id"] == as_csv["trace_id"] == 'a, "b"'
    assert (as_json["error_code"], as_csv["error_code"]) == (None, "")
    assert (as_json["day"], as_csv["input_tokens"]) == ("2026-02-28", "1234")


def test_nothing_found_is_an_empty_list_and_says_so() -> None:
    assert json.loads(ledger_json([])) == json.loads(subscriptions_json([])) == []
    assert ledger_table([]).endswith("0 lines, 0 prompts charged")
