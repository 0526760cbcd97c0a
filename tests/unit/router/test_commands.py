"""The commands that need no bus, as an operator runs them."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from router.__main__ import main
from router.history import made_at
from tests.unit.router.configurations import plans, write
from tests.unit.router.traffic import a_file

BOTH: dict[str, Any] = {"light": ["l1", "l2", "l3"], "strong": ["s1", "s2"], "strong_budget": 0.3}


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ROUTER_PLANS_FILE", str(write(tmp_path / "plans.yaml", plans())))
    monkeypatch.setenv("ROUTER_PROFILES_FILE", str(write(tmp_path / "profiles.yaml", a_file())))
    return tmp_path


def run(*arguments: object) -> int:
    return main([str(one) for one in arguments])


def test_check_takes_the_configured_file_or_another(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check") == 0
    assert "profiles version 4" in capsys.readouterr().out
    assert run("check", write(files / "other.yaml", {**a_file(), "version": 9})) == 0
    assert "profiles version 9" in capsys.readouterr().out


def test_check_warns_and_passes(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check") == 0
    assert "warning: l2: has no `context_window`" in capsys.readouterr().out


def test_check_without_plans_says_so_and_checks_the_profiles(
    files: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROUTER_PLANS_FILE", str(files / "none.yaml"))
    assert run("check") == 0
    said = capsys.readouterr()
    assert "checked without plans" in said.err
    assert "alias-free\n" in said.out


def test_check_fails_with_the_reasons_of_both_files(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (files / "plans.yaml").write_text("version: [")
    write(files / "bad.yaml", {**a_file(), "version": 0})
    assert run("check", files / "bad.yaml") == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "plans.yaml" in said.err
    assert "bad.yaml: version" in said.err


def test_check_fails_for_a_plan_that_nothing_serves(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(files / "plans.yaml", plans(names=("free", "pro", "gold")))
    assert run("check") == 1
    assert "alias-gold" in capsys.readouterr().err


def test_diff_ends_as_diff_does(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = write(files / "other.yaml", {**a_file(**{"alias-free": {**BOTH, "may_hedge": True}}), "version": 5})
    assert run("diff", files / "profiles.yaml", files / "profiles.yaml") == 0
    assert capsys.readouterr().out == ""
    assert run("diff", files / "profiles.yaml", other) == 1
    said = capsys.readouterr()
    assert "alias alias-free: may_hedge no → yes" in said.out
    assert said.err == ""
    assert run("diff", files / "profiles.yaml", files / "none.yaml") == 2
    assert "none.yaml" in capsys.readouterr().err


def test_diff_warns_of_a_version_that_was_not_raised(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = write(files / "other.yaml", a_file(**{"alias-free": {**BOTH, "may_hedge": True}}))
    assert run("diff", files / "profiles.yaml", other) == 1
    assert "version is not raised" in capsys.readouterr().err


def explained(files: Path, capsys: pytest.CaptureFixture[str], *arguments: object) -> Any:
    assert run("explain", files / "profiles.yaml", "--json", *arguments) == 0
    return json.loads(capsys.readouterr().out)


def test_explain_tells_where_an_imagined_request_goes_and_why(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("--plan", "free", "--alias", "alias-pro", "--difficulty", "0.4", "--class", "code", "--input-tokens", 500)
    assert run("explain", files / "profiles.yaml", *asked) == 0
    said = capsys.readouterr().out
    assert said.startswith("alias-pro is served as alias-free\n")
    assert "reaches θ 0.150" in said
    assert "What would change it:" in said


def test_explain_as_json_has_targets_with_their_factors(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = explained(files, capsys, "--alias", "alias-free", "--difficulty", "0.1")
    assert (found["alias"], found["tier"], found["rule"]) == ("alias-free", "light", "difficulty")
    assert found["estimate"] == 0.05
    assert [target["target"] for target in found["targets"][:3]] == found["order"]
    assert found["targets"][0]["terms"]["latency_seconds"] == 0.5


def test_explain_takes_needs_locks_sessions_and_failures(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    free = ("--alias", "alias-free")
    images = explained(files, capsys, *free, "--needs", "images,tools")
    assert {target["target"]: target["excluded"] for target in images["targets"]}["l3"] == "images"
    bound = explained(files, capsys, *free, "--lock", "model", "--served-by", "s1", "--failing", "s1")
    assert (bound["rule"], bound["order"]) == ("tool_loop", ["s2", "s1"])
    session = explained(files, capsys, *free, "--session", "abc", "--session-tier", "strong")
    assert (session["rule"], session["placement"]) == ("session", "affinity")


def test_explain_ends_with_one_when_there_is_no_target(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("--alias", "alias-free", "--lock", "target", "--served-by", "gone")
    assert run("explain", files / "profiles.yaml", *asked) == 1
    assert "cannot be asked" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--alias", "alias-gold"), "no profile `alias-gold`"),
        (("--alias", "alias-gold", "--plan", "pro"), "no alias `alias-gold`"),
        (("--alias", "alias-pro", "--plan", "gold"), "no plan `gold`"),
        (("--alias", "alias-pro", "--class", "poems"), "`poems` is nothing for --class"),
        (("--alias", "alias-pro", "--needs", "legs"), "`legs` is nothing for --needs"),
        (("--alias", "alias-pro", "--lock", "door"), "`door` is nothing for --lock"),
        (("--alias", "alias-pro", "--failing", "x9"), "no target `x9` in the profile"),
    ],
)
def test_explain_says_what_it_cannot_be_asked(
    files: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], reason: str
) -> None:
    assert run("explain", files / "profiles.yaml", *arguments) == 2
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ("decisions",),
        ("decisions", "--request", UUID(int=1), "--last", 3),
        ("decisions", "--request", "00000000-0000-4000-8000-000000000000"),
        ("replay", "--profiles", "none.yaml", "--day", "yesterday"),
        ("replay", "--profiles", "none.yaml", "--day", "2026-03-01"),
    ],
)
def test_what_cannot_be_asked_of_the_record_ends_with_two(files: Path, arguments: tuple[object, ...]) -> None:
    assert run(*arguments) == 2


def test_an_id_of_version_seven_tells_when_its_request_was_made() -> None:
    # The example of RFC 9562, appendix A.6.
    assert made_at(UUID("017f22e2-79b0-7cc3-98c4-dc0c0c07398f")) == datetime(2022, 2, 22, 19, 22, 22, tzinfo=UTC)
    assert made_at(UUID("00000000-0000-4000-8000-000000000000")) is None
