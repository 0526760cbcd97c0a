"""The commands of operators against routers that run: decisions found again, live targets, a day replayed."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from contracts.gateway import AttemptFinished, AttemptsFinished, FirstByte, TargetLoad
from contracts.router import Chosen
from devstack.nats import RunningNats
from tests import commands
from tests.service.router.fleet_of_routers import routers
from tests.unit.router.configurations import write
from tests.unit.router.traffic import a_file


def today() -> str:
    return datetime.now(UTC).date().isoformat()


def a_report() -> AttemptsFinished:
    loads = (
        TargetLoad(target="l1", in_flight=9, waiting=3, started=30),
        TargetLoad(target="s1", in_flight=2, waiting=0, started=10),
    )
    first_bytes = (FirstByte(target="l1", bucket=0, seconds=0.4), FirstByte(target="s1", bucket=2, seconds=1.5))
    failed = AttemptFinished(target="s2", result="rate_limited", retry_after_seconds=50)
    return AttemptsFinished(gateway="g", attempts=(failed,), first_bytes=first_bytes, loads=loads)


async def test_a_decision_is_found_by_its_request_alone(nats_url: str, tmp_path: Path) -> None:
    async with routers(nats_url, tmp_path) as fleet:
        replies = await fleet.choose(120)
        await fleet.kept(at_least=2)
        request, reply = fleet.asked[77], replies[77]
        assert isinstance(reply, Chosen)
        assert reply.route is not None
        shown = await fleet.command("decisions", "--request", request)
        [found] = (await fleet.command("decisions", "--request", request, "--json")).json
    assert shown.code == 0, shown.err
    assert f"request {request}" in shown.out
    assert f"rule={reply.route.rule}; placement={reply.route.placement}; target=…/3" in shown.out
    assert found["order"] == [candidate.target for candidate in reply.candidates]
    assert found["rule_sentence"] in shown.out


async def test_a_decision_that_is_not_there_is_said_so(nats_url: str, tmp_path: Path) -> None:
    async with routers(nats_url, tmp_path, count=1) as fleet:
        await fleet.choose(3)
        await fleet.kept()
        other = await fleet.command("decisions", "--request", "017f22e2-79b0-7cc3-98c4-dc0c0c07398f")
        random = uuid4()
        without_time = await fleet.command("decisions", "--request", random)
        since = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
        with_time = await fleet.command("decisions", "--request", random, "--since", since)
    assert (other.code, without_time.code, with_time.code) == (2, 2, 2)
    assert "kept for 7 days at the most, and the record begins at 20" in other.err
    assert "give --since" in without_time.err
    assert f"no decision of {random}" in with_time.err


async def test_an_id_without_a_time_is_found_between_two_moments(nats_url: str, tmp_path: Path) -> None:
    async with routers(nats_url, tmp_path, count=1) as fleet:
        await fleet.choose(20)
        request = uuid4()
        await fleet.choose(1, request_id=request)
        await fleet.choose(20)
        await fleet.kept()
        now = datetime.now(UTC)
        stretch = ("--since", now - timedelta(minutes=5), "--until", now + timedelta(minutes=5))
        found = (await fleet.command("decisions", "--request", request, *stretch, "--json")).json
    assert [one["ask"]["request_id"] for one in found] == [str(request)]


async def test_the_newest_decisions_are_listed(nats_url: str, tmp_path: Path) -> None:
    async with routers(nats_url, tmp_path, count=1) as fleet:
        assert (await fleet.command("decisions", "--last", 3)).out == "nothing was decided yet\n"
        unknown = await fleet.command("decisions", "--request", "017f22e2-79b0-7cc3-98c4-dc0c0c07398f")
        assert (unknown.code, "the record is empty" in unknown.err) == (2, True)
        await fleet.choose(10)
        await fleet.kept()
        listed = await fleet.command("decisions", "--last", 4)
        as_json = (await fleet.command("decisions", "--last", 4, "--json")).json
    assert len(listed.out.splitlines()) == 5
    assert [one["ask"]["request_id"] for one in as_json] == [str(request) for request in fleet.asked[-4:]]


async def test_targets_shows_what_gateways_reported(nats_url: str, tmp_path: Path) -> None:
    async with routers(nats_url, tmp_path) as fleet:
        await fleet.tell(a_report())
        shown = await fleet.command("targets")
        found = (await fleet.command("targets", "--json")).json
    assert shown.code == 0, shown.err
    by_name: dict[str, Any] = {target["target"]: target for target in found["targets"]}
    assert (by_name["l1"]["in_flight"], by_name["l1"]["waiting"], by_name["l1"]["starts_last_minute"]) == (9, 3, 30)
    assert by_name["l1"]["share"] == 0.75
    assert by_name["s1"]["first_byte"][0]["requests"] == "up to 64 k"
    assert by_name["s2"]["health"].startswith("set aside for 4")
    assert by_name["l2"]["health"] == "well"
    assert "set aside for 4" in shown.out
    assert found["told_by"] in ("router-0", "router-1")


async def test_targets_shows_how_a_budget_is_spent(nats_url: str, tmp_path: Path) -> None:
    async with routers(nats_url, tmp_path, count=1) as fleet:
        await fleet.choose(200, affinity=(), session=None, plan="free")
        [profile] = (await fleet.command("targets", "--json")).json["profiles"]
    assert (profile["alias"], profile["budget"]) == ("alias-free", 0.3)
    assert profile["light"] + profile["strong"] == 200
    assert profile["strong_share"] == pytest.approx(0.3, abs=0.1)


async def test_without_a_router_or_a_bus_it_is_said_that_none_answers(nats_server: RunningNats, nats_url: str) -> None:
    environment = {"ROUTER_NATS_URL": nats_url}
    alone = await commands.run("router", "targets", environment=environment)
    assert (alone.code, alone.out) == (3, "")
    assert "no router answers" in alone.err
    await nats_server.child.halt()
    for arguments, code in ((("targets",), 3), (("decisions", "--last", "1"), 2)):
        away = await commands.run("router", *arguments, environment=environment)
        assert away.code == code
        assert "Traceback" not in away.err


async def test_a_replay_with_the_file_in_force_changes_nothing(nats_url: str, tmp_path: Path) -> None:
    async with routers(nats_url, tmp_path) as fleet:
        for _ in range(4):
            await fleet.tell(a_report())
            await fleet.choose(100)
    same = await fleet.command("replay", "--profiles", tmp_path / "profiles.yaml", "--day", today())
    found = (await fleet.command("replay", "--profiles", tmp_path / "profiles.yaml", "--day", today(), "--json")).json
    assert (found["decisions"], found["same"]) == (400, 400)
    assert "unchanged: 400 (100 %)" in same.out


async def test_a_replay_tells_what_another_file_would_have_made_of_the_day(nats_url: str, tmp_path: Path) -> None:
    async with routers(nats_url, tmp_path) as fleet:
        await fleet.choose(400)
    free = {"light": ["l1"], "strong": ["s1", "s2"], "strong_budget": 0.8}
    other = write(tmp_path / "other.yaml", {**a_file(**{"alias-free": free}), "version": 5})
    asked = ("replay", "--profiles", other, "--day", today())
    found = (await fleet.command(*asked, "--json")).json
    shown = await fleet.command(*asked)
    only = (await fleet.command(*asked, "--alias", "alias-pro", "--json")).json
    free_report, pro = found["aliases"]["alias-free"], found["aliases"]["alias-pro"]
    assert pro["decisions"] == pro["same"] == only["decisions"] == 100
    assert free_report["before"]["budget"] == 0.3
    assert free_report["after"]["strong_share"] > free_report["before"]["strong_share"] + 0.2
    assert free_report["after"]["cost"]["USD"] > free_report["before"]["cost"]["USD"]
    assert "tier light → strong" in shown.out


async def test_a_replay_of_another_day_reads_nothing_of_this_one(nats_url: str, tmp_path: Path) -> None:
    async with routers(nats_url, tmp_path, count=1) as fleet:
        await fleet.choose(5)
    yesterday = (datetime.now(UTC).date() - timedelta(days=1)).isoformat()
    found = await fleet.command("replay", "--profiles", tmp_path / "profiles.yaml", "--day", yesterday, "--json")
    assert found.json["decisions"] == 0
