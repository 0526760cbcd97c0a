"""The comparison of stream, ledger and quota: equal books are equal, and every kind of difference is named."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from billing.domain.differences import Difference, Kind, Report
from billing.domain.lines import Settlement
from billing.store.audit_queries import SAID_LATER
from chassis.bus import publish
from contracts.gateway import REQUEST_SETTLED, RequestSettled
from contracts.outcomes import Outcome
from devstack.pytest_plugin import FreshDatabase
from tests.service.billing.billing_process import a_settlement, settle
from tests.service.billing.books import Books, books, named

COMPLETED, EMPTY = Outcome.COMPLETED, Outcome.EMPTY


@dataclass(frozen=True, slots=True)
class Scene:
    """Three accounts with requests of all sorts; `account` has five, of which the last one was not charged."""

    books: Books
    account: UUID
    requests: tuple[RequestSettled, ...]
    lines: tuple[int, ...]


@pytest_asyncio.fixture
async def house(fresh_database: FreshDatabase, nats_url: str) -> AsyncIterator[Books]:
    async with books(await fresh_database("quota", "billing"), nats_url) as opened:
        yield opened


@pytest_asyncio.fixture
async def scene(house: Books) -> Scene:
    await house.spend(uuid4(), COMPLETED, Outcome.UPSTREAM_BROKEN)
    account = uuid4()
    requests = await house.spend(account, COMPLETED, EMPTY, COMPLETED, Outcome.CLIENT_GONE_LATE, EMPTY)
    await house.spend(uuid4(), COMPLETED)
    assert (await house.compare()).result == "equal"
    ids = {line["request_id"]: line["id"] for line in await house.lines()}
    return Scene(house, account, tuple(requests), tuple(int(str(ids[each.request_id])) for each in requests))


def _one(report: Report, kind: Kind, **figures: object) -> Difference:
    (found,) = [
        each
        for each in report.differences
        if each.kind is kind and all(each.figures.get(name) == value for name, value in figures.items())
    ]
    return found


async def test_books_that_nobody_touched_are_equal(scene: Scene) -> None:
    report = await scene.books.compare()
    assert (report.result, report.differences, report.notes) == ("equal", [], [])
    assert {name: report.figures[name] for name in ("messages", "requests", "lines", "days")} == {
        "messages": 8,
        "requests": 8,
        "lines": 8,
        "days": 1,
    }


async def test_a_changed_amount_is_named_with_its_line_its_account_and_its_window(scene: Scene) -> None:
    await scene.books.tamper(f"UPDATE billing.ledger SET prompts = 0 WHERE id = {scene.lines[2]}")
    report = await scene.books.compare()
    assert named(report) == ["hash_differs", "line_differs", "used_differs"]
    line = _one(report, Kind.LINE_DIFFERS)
    assert (line.line, line.account_id, line.request_id) == (
        scene.lines[2],
        scene.account,
        scene.requests[2].request_id,
    )
    assert line.figures == {"prompts": "stream 1 ledger 0"}
    assert (_one(report, Kind.HASH_DIFFERS).line, _one(report, Kind.HASH_DIFFERS).sequence) == (scene.lines[2], 3)
    day, month = (each for each in report.differences if each.kind is Kind.USED_DIFFERS)
    assert (day.window, day.day, day.account_id) == ("day", scene.requests[2].day, scene.account)
    assert (month.window, month.day) == ("month", scene.requests[2].month)
    assert day.figures == month.figures == {"ledger": 2, "quota": 3}


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("input_tokens", "input_tokens + 1"),
        ("cost", "1, cost_currency = 'USD'"),
        ("outcome", "'empty'"),
        ("day", "day - 40"),
        ("recorded_at", "recorded_at + interval '1 second'"),
        ("target", "NULL"),
        ("started_at", "NULL"),
    ],
)
async def test_no_column_of_a_line_can_be_changed_unnoticed(scene: Scene, column: str, value: str) -> None:
    await scene.books.tamper(f"UPDATE billing.ledger SET {column} = {value} WHERE id = {scene.lines[0]}")
    found = _one(await scene.books.compare(), Kind.HASH_DIFFERS)
    assert (found.line, found.request_id) == (scene.lines[0], scene.requests[0].request_id)


async def test_a_deleted_line_is_named_as_a_gap_and_as_a_request_without_its_line(scene: Scene) -> None:
    await scene.books.tamper(f"DELETE FROM billing.ledger WHERE id = {scene.lines[1]}")
    report = await scene.books.compare()
    assert named(report) == ["line_missing", "sequence_broken", "settled_differs"]
    assert _one(report, Kind.LINE_MISSING).request_id == scene.requests[1].request_id
    gap = _one(report, Kind.SEQUENCE_BROKEN)
    assert (gap.account_id, gap.figures) == (scene.account, {"after": 1, "found": 3})
    assert _one(report, Kind.SETTLED_DIFFERS).figures == {"ledger": 4, "quota": 5}


async def test_a_deleted_last_line_is_named_also_when_its_head_was_set_back(scene: Scene) -> None:
    await scene.books.tamper(
        f"DELETE FROM billing.ledger WHERE id = {scene.lines[4]}",
        f"""UPDATE billing.ledger_heads AS h SET sequence = l.sequence, hash = l.hash FROM billing.ledger AS l
            WHERE l.id = {scene.lines[3]} AND h.account_id = l.account_id""",
    )
    report = await scene.books.compare()
    assert named(report) == ["head_differs", "line_missing", "settled_differs"]
    assert _one(report, Kind.LINE_MISSING).request_id == scene.requests[4].request_id
    assert _one(report, Kind.HEAD_DIFFERS).figures["verified_earlier"] == 5


async def test_an_account_whose_lines_are_all_gone_is_named(scene: Scene) -> None:
    await scene.books.tamper(f"DELETE FROM billing.ledger WHERE account_id = '{scene.account}'")
    report = await scene.books.compare()
    assert len([each for each in report.differences if each.kind is Kind.LINE_MISSING]) == 5
    assert _one(report, Kind.HEAD_DIFFERS).account_id == scene.account


async def test_two_lines_with_each_others_contents_are_both_named(scene: Scene) -> None:
    first, second = scene.lines[0], scene.lines[1]
    await scene.books.tamper(
        f"""UPDATE billing.ledger AS l SET prompts = o.prompts, outcome = o.outcome FROM billing.ledger AS o
            WHERE (l.id, o.id) IN (({first}, {second}), ({second}, {first}))"""
    )
    report = await scene.books.compare()
    assert named(report) == ["hash_differs", "line_differs"], "the sums are what they were"
    assert {each.line for each in report.differences if each.kind is Kind.LINE_DIFFERS} == {first, second}
    assert {each.line for each in report.differences if each.kind is Kind.HASH_DIFFERS} == {first, second}


async def test_two_lines_in_each_others_places_are_both_named(scene: Scene) -> None:
    first, second = scene.lines[1], scene.lines[2]
    await scene.books.tamper(
        f"UPDATE billing.ledger SET sequence = -1 WHERE id = {first}",
        f"UPDATE billing.ledger SET sequence = 2 WHERE id = {second}",
        f"UPDATE billing.ledger SET sequence = 3 WHERE id = {first}",
    )
    report = await scene.books.compare()
    assert named(report) == ["hash_differs", "link_broken"]
    assert {each.line for each in report.differences if each.kind is Kind.HASH_DIFFERS} == {first, second}


async def test_a_line_that_was_added_with_a_perfect_chain_has_no_message(scene: Scene) -> None:
    forged = a_settlement(account_id=scene.account)
    recorded = await scene.books.store.ledger.record([Settlement(forged, 8)])
    assert recorded.lines == 1
    report = await scene.books.compare()
    assert named(report) == ["line_without_message", "settled_differs", "used_differs"]
    assert _one(report, Kind.LINE_WITHOUT_MESSAGE).request_id == forged.request_id


async def test_a_line_that_was_doubled_with_a_perfect_chain_is_named(scene: Scene) -> None:
    (original,) = [
        line for line in await scene.books.store.ledger.lines_of(scene.requests[0].request_id, account_id=scene.account)
    ]
    names = [name for name in original.entry.__slots__]  # every column that an entry fills
    columns = ", ".join(names)
    values = ", ".join("7" if name == "revision" else name for name in names)
    await scene.books.tamper(
        f"""INSERT INTO billing.ledger ({columns}, sequence, recorded_at, posted_on, previous_hash, hash)
            SELECT {values}, 6, recorded_at, posted_on, previous_hash, hash FROM billing.ledger
            WHERE id = {original.id}"""
    )
    report = await scene.books.compare()
    assert {"line_doubled", "link_broken", "hash_differs", "head_differs", "used_differs"} <= set(named(report))
    assert _one(report, Kind.LINE_DOUBLED).request_id == scene.requests[0].request_id


async def test_a_chain_that_was_written_anew_is_named_by_what_was_verified_before(scene: Scene) -> None:
    line_id = scene.lines[4]
    await scene.books.tamper(f"UPDATE billing.ledger SET settled_by = 'gateway-2' WHERE id = {line_id}")
    (broken,) = [each for each in (await scene.books.compare()).differences if each.kind is Kind.HASH_DIFFERS]
    content = broken.figures["content"]
    await scene.books.tamper(
        f"UPDATE billing.ledger SET hash = '{content}' WHERE id = {line_id}",
        f"UPDATE billing.ledger_heads SET hash = '{content}' WHERE account_id = '{scene.account}'",
    )
    report = await scene.books.compare()
    assert named(report) == ["line_differs", "rewritten"]
    assert _one(report, Kind.REWRITTEN).line == line_id


async def test_a_line_of_the_wrong_message_is_named(scene: Scene) -> None:
    """The first settlement was never folded; the second one has the line."""
    books_ = scene.books
    held = await books_.held(scene.account)
    await books_.tamper(f"UPDATE billing.ledger SET stream_sequence = 99 WHERE id = {scene.lines[0]}")
    await settle(books_.bus, held)
    report = await books_.compare()
    other = _one(report, Kind.LINE_OF_ANOTHER_MESSAGE)
    assert (other.request_id, other.figures) == (scene.requests[0].request_id, {"line_of": 99})


async def test_a_window_that_quota_counts_differently_is_named_on_both_grounds(scene: Scene) -> None:
    await scene.books.tamper(
        f"UPDATE quota.windows SET used = used + 2 WHERE account_id = '{scene.account}' AND kind = 'day'"
    )
    report = await scene.books.compare()
    assert named(report) == ["counters_differ", "used_differs"]
    assert _one(report, Kind.USED_DIFFERS).figures == {"ledger": 3, "quota": 5}
    day, month = (each for each in report.differences if each.kind is Kind.COUNTERS_DIFFER)
    assert (day.window, day.figures) == ("day", {"window_used": 5, "charged_reservations": 3})
    assert (month.window, month.figures) == ("month", {"window_used": 3, "sum_of_days": 5})


async def test_a_prompt_that_quota_holds_without_a_reservation_is_named(scene: Scene) -> None:
    await scene.books.tamper(
        f"UPDATE quota.windows SET reserved = 1 WHERE account_id = '{scene.account}' AND kind = 'day'"
    )
    day, month = (await scene.books.compare()).differences
    assert (day.kind, day.figures) == (Kind.COUNTERS_DIFFER, {"window_reserved": 1, "open_reservations": 0})
    assert (month.kind, month.figures) == (
        Kind.COUNTERS_DIFFER,
        {"window_reserved": 0, "sum_of_days_reserved": 1},
    )


async def test_an_open_reservation_is_nobodys_difference_until_its_lease_is_long_over(scene: Scene) -> None:
    await scene.books.held(scene.account)
    assert (await scene.books.compare()).result == "equal"
    await scene.books.tamper(
        "UPDATE quota.reservations SET lease_until = now() - interval '2 minutes' WHERE outcome IS NULL"
    )
    report = await scene.books.compare()
    assert named(report) == ["reservations_overdue"]
    assert report.differences[0].account_id == scene.account


async def test_a_settlement_that_nobody_reserved_is_a_difference_between_ledger_and_quota(scene: Scene) -> None:
    stranger = a_settlement()
    await settle(scene.books.bus, stranger)
    report = await scene.books.compare()
    assert named(report) == ["settled_differs", "used_differs"]
    assert {each.account_id for each in report.differences} == {stranger.account_id}


async def test_a_message_that_was_deleted_leaves_a_line_without_message(scene: Scene) -> None:
    sequence = (await scene.books.lines())[4]["stream_sequence"]
    assert isinstance(sequence, int)
    await scene.books.bus.client.jsm().delete_msg("REQUESTS", sequence)
    report = await scene.books.compare()
    assert named(report) == ["line_without_message"]
    assert report.differences[0].stream_sequence == sequence


async def test_lines_whose_messages_have_aged_away_are_not_missed(scene: Scene) -> None:
    jsm = scene.books.bus.client.jsm()
    await jsm.purge_stream("REQUESTS", seq=5)
    report = await scene.books.compare()
    assert report.result == "equal"
    assert any("begins at message 5" in note for note in report.notes)


async def test_a_charged_prompt_beyond_the_limit_is_named(scene: Scene) -> None:
    books_ = scene.books
    held = await books_.held(scene.account)
    assert held.daily is not None
    limit = held.daily.limit or 0
    over = held.model_copy(update={"daily": held.daily.model_copy(update={"used": limit + 1})})
    await settle(books_.bus, over)
    report = await books_.compare()
    assert named(report) == ["limit_exceeded"]
    (found,) = report.differences
    assert (found.request_id, found.window, found.figures) == (
        held.request_id,
        "day",
        {"used": limit + 1, "limit": limit},
    )


async def test_a_window_with_more_charged_prompts_than_any_line_allows_is_named(house: Books) -> None:
    account = uuid4()
    held = [await house.held(account) for _ in range(3)]
    told = []
    for each in held:
        assert each.daily is not None
        told.append(each.model_copy(update={"daily": each.daily.model_copy(update={"limit": 2, "used": 1})}))
    await settle(house.bus, *told)
    report = await house.compare()
    assert named(report) == ["limit_exceeded"]
    assert report.differences[0].figures == {"charged": 3, "limit": 2}


async def test_a_winner_that_came_late_is_no_difference_and_a_forged_reversal_is_one(house: Books) -> None:
    """The first settlement of the stream arrives behind the second one: a reversal and a new line put it right."""
    held = await house.held(uuid4())
    expired = held.model_copy(update={"outcome": Outcome.EXPIRED})
    await house.store.ledger.record([Settlement(expired, 2)])
    await settle(house.bus, held)
    await publish(house.bus, REQUEST_SETTLED, expired, event_id=f"expired:{held.request_id}", timeout_seconds=5)
    report = await house.compare()
    assert (report.result, report.differences) == ("equal", [])
    assert [line["kind"] for line in await house.lines()] == ["settlement", "reversal", "settlement"]

    await house.tamper("UPDATE billing.ledger SET input_tokens = 0 WHERE kind = 'reversal'")
    assert named(await house.compare()) == ["hash_differs", "reversal_differs"]


async def test_what_staff_put_right_is_billed_otherwise_but_was_used_all_the_same(scene: Scene) -> None:
    for command in (
        ("credit", str(scene.requests[0].request_id), "--prompts", "1"),
        ("correct", str(scene.requests[2].request_id), "--output-tokens", "-3"),
    ):
        code, _, err = await scene.books.billing.command(*command, "--reason", "a test", "--author", "anna")
        assert (code, err) == (0, "")
    report = await scene.books.compare()
    assert (report.result, report.figures["lines"]) == ("equal", 10)


async def test_lines_of_release_0_1_are_compared_in_what_it_recorded(house: Books) -> None:
    account = uuid4()
    await house.spend(account, COMPLETED, EMPTY)
    await house.billing.wait_for_lines(2)
    unsaid = [column for column in sorted(SAID_LATER) if column != "settled_by"]
    await house.tamper(
        f"UPDATE billing.ledger SET settled_by = '', {', '.join(f'{column} = NULL' for column in unsaid)}"
    )
    await house.backdate(days=0)
    report = await house.compare()
    assert (report.result, report.differences) == ("equal", [])
    await house.tamper("UPDATE billing.ledger SET output_tokens = 8 WHERE sequence = 1")
    assert named(await house.compare()) == ["hash_differs", "line_differs"]


async def test_only_the_day_and_the_account_that_were_asked_for_are_compared(scene: Scene) -> None:
    books_ = scene.books
    stranger = a_settlement()
    await settle(books_.bus, stranger)
    today = stranger.day
    assert named(await books_.compare(day=today)) == ["settled_differs", "used_differs"]
    assert (await books_.compare(day=today - timedelta(days=40))).result == "equal"
    assert (await books_.compare(account_id=scene.account)).result == "equal"
    assert (await books_.compare(day=today, account_id=stranger.account_id)).result == "different"


async def test_there_are_no_false_differences_while_load_runs(house: Books) -> None:
    """Whole and incremental comparisons in the middle of everything; nothing is ever in the way, and all agree."""
    accounts = [uuid4() for _ in range(6)]
    stopping = asyncio.Event()
    outcomes = (COMPLETED, EMPTY, Outcome.CLIENT_GONE_LATE, Outcome.EXPIRED)
    spent = 0

    async def customer(number: int) -> None:
        nonlocal spent
        while not stopping.is_set() and spent < 900:
            await house.spend(accounts[number % len(accounts)], outcomes[spent % len(outcomes)])
            spent += 1

    minutely = house.minutely(every_seconds=0.01)
    async with asyncio.TaskGroup() as group:
        for number in range(12):
            group.create_task(customer(number))
        reports: list[Report | None] = []
        for _ in range(5):
            await asyncio.sleep(0.1)
            reports.append(await house.compare())
            reports.append(await minutely.once())
        stopping.set()
    assert [report.differences for report in reports if report is not None] == [[]] * 10
    assert spent > 100
    last = await house.compare()
    assert (last.result, last.figures["requests"]) == ("equal", spent)
