"""What is kept of a decision: all that it was made from, small enough for the bus, and never its text."""

from datetime import UTC, datetime
from typing import Any, cast

from chassis.bus import Bus
from contracts import cloudevents
from contracts.decisions import REQUESTS_ROUTED, RequestsRouted
from contracts.router import Choose, Features
from router.profiles import MAX_TARGETS
from router.recording import MOST_AT_ONCE, Recorder, decision_of
from router.switchboard import Decided, Switchboard
from tests.unit.router.configurations import choose, configured, profiles
from tests.unit.router.traffic import a_file

LIMIT_OF_THE_BUS = 1024**2


def decided(document: dict[str, Any], ask: Choose) -> Decided:
    found: list[Decided] = []
    Switchboard(configured(document), on_decision=found.append).choose(ask, now=0.0)
    return found[0]


def the_largest() -> dict[str, Any]:
    """As many targets with as long names as there may be."""
    names = [f"target-{number:02}-".ljust(63, "x") for number in range(MAX_TARGETS)]
    prices = {"currency": "USD", "input_per_million": "0.123456", "output_per_million": "1.234567"}
    targets = {name: {"base_url": "http://127.0.0.1/v1", "model": "m", "prices": prices} for name in names}
    document = profiles(targets=targets, order=tuple(names))
    document["profiles"]["alias-pro"] = {"light": names, "strong": names, "strong_budget": 0.123}
    return document


def test_a_full_message_of_the_largest_decisions_is_below_the_limit_of_the_bus() -> None:
    features = Features(request_class="other_language", difficulty=0.12345678901234567, needs=("images", "schema"))
    ask = choose(affinity=("a" * 64, "b" * 64, "c" * 64), session="c" * 64, features=features, served_by="d" * 63)
    one = decision_of(decided(the_largest(), ask), datetime.now(UTC), instance="router-7c9f8d6b5-abcde")
    payload = RequestsRouted(decisions=(one,) * MOST_AT_ONCE)
    assert len(cloudevents.wrap(REQUESTS_ROUTED, payload, event_id="1", source="/test")) < 0.9 * LIMIT_OF_THE_BUS


async def test_the_share_that_is_recorded_is_up_to_the_request_id_so_replicas_agree() -> None:
    recorders = [Recorder(cast(Bus, None), share=0.25) for _ in range(2)]
    for number in range(1_000):
        for recorder in recorders:
            recorder.add(decided(profiles(), choose(number=number)))
    first, second = ([one.ask.request_id for one in recorder.gathered] for recorder in recorders)
    assert first == second
    assert 200 < len(first) < 300


def test_a_record_says_tiers_currency_and_budget() -> None:
    one = decision_of(decided(a_file(), choose(plan="free", alias="alias-pro")), datetime.now(UTC), instance="r")
    by_name = {seen.target: seen for seen in one.seen}
    assert (one.alias, one.budget, one.decided_by) == ("alias-free", 0.3, "r")
    assert (by_name["l1"].tiers, by_name["s1"].tiers) == (("light",), ("strong",))
    assert by_name["l1"].currency == "USD"


def test_a_record_of_an_order_has_neither_tiers_nor_budget() -> None:
    one = decision_of(decided(a_file(), choose()), datetime.now(UTC), instance="r")
    assert one.budget is None
    assert {seen.tiers for seen in one.seen} == {()}
    assert {seen.target: seen.currency for seen in one.seen}["s3"] is None


def test_a_record_of_a_refusal_has_no_route_and_the_reasons() -> None:
    document = a_file(**{"alias-pro": {"light": ["l3"]}})
    one = decision_of(decided(document, choose(features=Features(needs=("images",)))), datetime.now(UTC), instance="r")
    assert (one.route, one.order) == (None, ())
    assert [seen.excluded for seen in one.seen] == ["images"]
