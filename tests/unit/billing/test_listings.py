"""What staff sees: whole values, aligned, nothing read as markup."""

import csv
import io
import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from uuid import UUID, uuid4

from billing import listings
from billing.domain.corrections import Decision, credit_note
from billing.domain.lines import Posted
from billing.domain.subscriptions import Grant, Standing, Subscription
from billing.store import Conflict
from contracts.gateway import Cost
from contracts.outcomes import Outcome
from tests.routes import a_route_taken
from tests.unit.billing.lines import ANNA, NOON, a_settlement, an_entry, posted


def a_line(number: int, *, outcome: Outcome = Outcome.COMPLETED, **given: object) -> Posted:
    given = {"request_id": UUID(int=number), "trace_id": 'a, "b"', **given}
    (line,) = posted([an_entry(number, outcome, **given)], first_id=number)
    return line


def test_the_table_is_aligned_and_counts_what_was_charged() -> None:
    lines = [a_line(1), a_line(10, outcome=Outcome.EXPIRED, target=None)]
    header, first, second, summary = listings.ledger_table(lines).splitlines()
    assert len({row.index("free") for row in (first, second)}) == 1
    assert first.index(str(ANNA)) == header.index("account")
    assert "2026-02-28 12:30:59" in first
    assert first.endswith("local")
    assert second.endswith("-")
    assert "settlement" in first
    assert "author" not in header
    assert summary == "2 lines, 1 prompt charged"


def test_a_correction_shows_what_it_names_who_made_it_and_why() -> None:
    (line,) = posted([an_entry()])
    note = credit_note(line, [line], 1, decision=Decision("bert", "[red]cut off"), at=NOON)
    header, _, credited, summary = listings.ledger_table(posted([line.entry, note])).splitlines()
    assert header.split()[-3:] == ["corrects", "author", "reason"]
    assert credited.split()[-4:] == ["1", "bert", "[red]cut", "off"]
    assert summary == "2 lines, 0 prompts charged"


def test_a_name_is_never_read_as_markup_nor_shortened() -> None:
    name = "[bold]Anna[/bold] " + "x" * 200
    table = listings.subscriptions_table([Standing(Subscription(ANNA, name, "pro", 2, NOON), ())])
    assert name in table
    assert table.splitlines()[-1] == "1 account"


def test_a_pending_change_stands_beside_the_plan_that_holds() -> None:
    now = Subscription(ANNA, "Anna", "free", 1, NOON)
    standing = Standing(now, (replace(now, plan="pro", revision=2, effective_at=NOON + timedelta(days=1)),))
    assert "pro from 2026-03-01 12:30:59" in listings.subscriptions_table([standing])
    (document,) = json.loads(listings.subscriptions_json([standing]))
    assert (document["plan"], document["pending"][0]["plan"], document["pending"][0]["revision"]) == ("free", "pro", 2)


def test_json_and_csv_hold_every_field_in_its_canonical_form() -> None:
    line = a_line(7, cost=Cost(amount=Decimal("0.5"), currency="USD"))
    (as_json,) = json.loads(listings.ledger_json([line]))
    (as_csv,) = csv.DictReader(io.StringIO(listings.ledger_csv([line])))
    assert list(as_json) == list(as_csv) == list(listings.LEDGER_FIELDS)
    assert as_json["trace_id"] == as_csv["trace_id"] == 'a, "b"'
    assert (as_json["error_code"], as_csv["error_code"]) == (None, "")
    assert (as_json["day"], as_csv["input_tokens"], as_json["cost"]) == ("2026-02-28", "1234", "0.5000000000")
    assert (as_json["id"], as_json["hash"]) == (7, line.line.hash)


def test_routes_are_shown_to_those_who_ask_for_them_beside_all_that_is_hashed() -> None:
    lines = [replace(a_line(7), route=a_route_taken(None)), a_line(8)]
    as_json = json.loads(listings.ledger_json(lines, with_routes=True))
    as_csv = list(csv.DictReader(io.StringIO(listings.ledger_csv(lines, with_routes=True))))
    header, *rows, _ = listings.ledger_table(lines, with_routes=True).splitlines()
    told = a_route_taken(None).model_dump(mode="json")
    assert [each["route"] for each in as_json] == [told, None]
    assert (json.loads(as_csv[0]["route"]), as_csv[1]["route"]) == (told, "")
    assert list(as_json[0]) == list(as_csv[0]) == [*listings.LEDGER_FIELDS, "route"]
    assert header.endswith("route")
    assert rows[0].endswith("code: strong by difficulty, affinity, - of 3")
    assert rows[1].endswith("-")
    for bare in (listings.ledger_json(lines), listings.ledger_csv(lines), listings.ledger_table(lines)):
        assert "difficulty" not in bare
        assert "route" not in bare.replace("smart-route", "")


def test_a_conflict_stands_beside_the_settlement_that_was_first() -> None:
    loser = a_settlement(9, Outcome.EXPIRED, settled_by="quota-1")
    conflict = Conflict(9, loser.settled.model_dump(mode="json"), NOON, a_line(7, settled_by="gateway-2"))
    _, row, summary = listings.conflicts_table([conflict]).splitlines()
    assert row.split()[-6:] == ["expired", "quota-1", "9", "completed", "gateway-2", "7"]
    assert summary == "1 settlement kept without effect"
    (document,) = json.loads(listings.conflicts_json([conflict]))
    assert (document["settlement"]["outcome"], document["line"], document["line_outcome"]) == (
        "expired",
        7,
        "completed",
    )


def test_a_grant_shows_its_span_and_why() -> None:
    grant = Grant(uuid4(), ANNA, 500, NOON, NOON + timedelta(days=1), "anna", "outage")
    assert "2026-02-28 12:30:59  2026-03-01 12:30:59  anna   outage" in listings.grants_table([grant])
    (document,) = json.loads(listings.grants_json([grant]))
    assert (document["prompts"], document["starts_at"]) == (500, NOON.isoformat())


def test_nothing_found_is_an_empty_list_and_says_so() -> None:
    shown = [listings.ledger_json([]), listings.subscriptions_json([]), listings.grants_json([])]
    shown += [listings.closes_json([]), listings.conflicts_json([])]
    assert [json.loads(each) for each in shown] == [[]] * 5
    assert listings.ledger_table([]).endswith("0 lines, 0 prompts charged")
