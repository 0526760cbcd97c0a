"""The canonical form of a line and its hash: fixed for ever, so written out here as bytes."""

import hashlib
import json
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import pytest

from billing.domain.chain import GENESIS, Head, append, canonical_fields, canonical_json, document, line_hash, moment
from billing.domain.lines import Entry, Line, Posted, settlement_entry, settlement_of
from contracts.gateway import Cost, Timings, WindowAfter
from contracts.outcomes import Outcome
from tests.routes import a_route_taken
from tests.unit.billing.lines import NOON, TODAY, a_settlement, an_entry, posted

GOLDEN = (
    '{"account_id":"00000000-0000-0000-0000-000000000001","admitted_ms":"1.500","alias_asked":"smart-route-ultra",'
    '"alias_served":"smart-route-mini","attempts":1,"author":"","cached_input_tokens":0,"call":1,"corrects":null,'
    '"cost":"0.0000000000","cost_currency":"EUR","daily_limit":200,"daily_remaining":183,'
    '"daily_resets_at":"2026-03-01T00:00:00.000000Z","daily_used":17,"day":"2026-02-28","endpoint":"chat/completions",'
    '"error_code":null,"event_time":"2026-02-28T12:30:59.999999Z","first_content_ms":null,"format":1,'
    '"input_tokens":1234,"is_stream":false,"kind":"settlement","month":"2026-02-01","monthly_limit":null,'
    '"monthly_remaining":null,"monthly_resets_at":null,"monthly_used":null,"outcome":"completed","output_tokens":5,'
    '"plan":"free","plans_version":1,"posted_on":"2026-03-01",'
    '"previous_hash":"0000000000000000000000000000000000000000000000000000000000000000","prompts":1,"reason":"",'
    '"reasoning_tokens":0,"recorded_at":"2026-02-28T12:30:59.999999Z",'
    '"request_id":"00000000-0000-0000-0000-000000000064","revision":0,"sequence":1,"settled_by":"Zoë \\"1\\"\\n",'
    '"started_at":"2026-02-28T12:30:57.999999Z","stream_sequence":7,"target":"local",'
    '"token_id":"00000000-0000-0000-0000-000000000002","tokens_source":"provider","total_ms":"2999.999",'
    '"trace_id":"0af7651916cd43dd8448eb211c80319c","turn_id":"00000000-0000-0000-0000-000000000003"}'
)
GOLDEN_HASH = "abae5861507d3ee8f5b8da1f925f110a6967b9d3525cae17e34607047a8831dc"


def the_golden_line() -> Line:
    entry = an_entry(
        settled_by='Zoë "1"\n',
        timings=Timings(admitted_ms=1.5, total_ms=2999.9994),
        cost=Cost(amount=Decimal("-0.00000000001"), currency="EUR"),
        daily=WindowAfter(limit=200, used=17, remaining=183, resets_at=datetime(2026, 3, 1, tzinfo=UTC)),
    )
    (link,), _ = append(Head(), [entry], recorded_at=NOON, posted_on=TODAY)
    return link.line


def test_the_canonical_form_is_these_bytes_and_its_hash_this_one() -> None:
    line = the_golden_line()
    assert canonical_json(canonical_fields(line)).decode() == GOLDEN
    assert line.hash == line_hash(line) == hashlib.sha256(GOLDEN.encode()).hexdigest() == GOLDEN_HASH


def test_what_is_stored_is_what_was_hashed_and_the_hash() -> None:
    (link,), _ = append(Head(), [an_entry()], recorded_at=NOON, posted_on=TODAY)
    assert json.loads(document(link)) == {**canonical_fields(link.line), "hash": link.line.hash}


def test_a_route_stands_beside_what_was_hashed_and_changes_no_byte_of_it() -> None:
    entry = an_entry(route=a_route_taken())
    (link,), head = append(Head(), [entry], recorded_at=NOON, posted_on=TODAY)
    (bare,), same = append(Head(), [an_entry()], recorded_at=NOON, posted_on=TODAY)
    assert (link.canonical, head) == (bare.canonical, same)
    stored = document(link, a_route_taken())
    assert stored.startswith(link.canonical[:-1].decode() + ",")
    route = a_route_taken().model_dump(mode="json")
    assert json.loads(stored) == {**canonical_fields(link.line), "hash": link.line.hash, "route": route}


OTHER: dict[type, object] = {
    str: "other",
    int: 4711,
    bool: True,
    UUID: UUID(int=9),
    Decimal: Decimal("9.1230000000"),
    datetime: NOON + timedelta(microseconds=1),
    type(TODAY): TODAY + timedelta(days=1),
    type(None): "other",
}


@pytest.mark.parametrize("name", [field.name for field in fields(Entry)])
def test_every_field_of_an_entry_is_part_of_the_hash(name: str) -> None:
    line = the_golden_line()
    changed = replace(line, entry=replace(line.entry, **{name: OTHER[type(getattr(line.entry, name))]}))  # type: ignore[arg-type]
    assert line_hash(changed) != line.hash


@pytest.mark.parametrize("name", ["sequence", "recorded_at", "posted_on", "previous_hash"])
def test_the_place_of_a_line_is_part_of_its_hash(name: str) -> None:
    line = the_golden_line()
    assert line_hash(replace(line, **{name: OTHER[type(getattr(line, name))]})) != line.hash  # type: ignore[arg-type]


def test_lines_follow_one_another_without_a_gap_each_with_the_hash_of_the_one_before() -> None:
    first, head = append(Head(), [an_entry(1), an_entry(2)], recorded_at=NOON, posted_on=TODAY)
    second, last = append(head, [an_entry(3)], recorded_at=NOON, posted_on=TODAY)
    lines = [link.line for link in (*first, *second)]
    assert [line.sequence for line in lines] == [1, 2, 3]
    assert [line.previous_hash for line in lines] == [GENESIS, lines[0].hash, lines[1].hash]
    assert last == Head(3, lines[2].hash)


def test_moments_of_any_offset_are_shown_in_utc_with_microseconds() -> None:
    assert moment(datetime(2026, 3, 1, 1, tzinfo=timezone(timedelta(hours=2)))) == "2026-02-28T23:00:00.000000Z"


@pytest.mark.parametrize("timings", [Timings(total_ms=float("inf")), Timings(total_ms=float("nan"))])
def test_a_time_that_is_no_number_is_refused(timings: Timings) -> None:
    with pytest.raises(ArithmeticError):
        an_entry(timings=timings)


@pytest.mark.parametrize("outcome", list(Outcome))
def test_a_settlement_can_be_read_back_from_its_line(outcome: Outcome) -> None:
    settlement = a_settlement(
        9,
        outcome,
        timings=Timings(admitted_ms=1.5, first_content_ms=7.25, total_ms=12.125),
        cost=Cost(amount=Decimal("0.0000000001"), currency="USD"),
        monthly=WindowAfter(limit=None, used=3, remaining=None, resets_at=NOON),
        settled_by="quota-1",
        route=a_route_taken(),
    )
    (link,), _ = append(Head(), [settlement_entry(settlement)], recorded_at=NOON, posted_on=TODAY)
    assert settlement_of(Posted(1, link.line, settlement.settled.route)) == settlement


def test_a_line_of_release_0_1_says_when_it_began_by_its_request_id() -> None:
    at = datetime(2026, 2, 28, 12, 30, 58, 250_000, tzinfo=UTC)
    uuid7 = UUID(int=(int(at.timestamp() * 1000) << 80) | (7 << 76) | (2 << 62) | 5)
    (line,) = posted([replace(an_entry(request_id=uuid7), started_at=None, admitted_ms=None, total_ms=None)])
    settled = settlement_of(line).settled
    assert settled.started_at == at
    assert settled.timings == Timings(total_ms=1749.999)
