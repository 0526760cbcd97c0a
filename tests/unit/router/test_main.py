"""The command line, and the files that it checks and describes."""

from pathlib import Path

import pytest

from contracts.plans import PlanCatalogue
from router.__main__ import FILES, File, main, schema
from tests.unit.router.configurations import plans, profiles, write

CONFIG = Path(__file__).parents[3] / "deploy/config"


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ROUTER_PLANS_FILE", str(write(tmp_path / "plans.yaml", plans())))
    monkeypatch.setenv("ROUTER_PROFILES_FILE", str(write(tmp_path / "profiles.yaml", profiles())))
    return tmp_path


def test_check_config_prints_each_alias_with_its_targets(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-config"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[lines.index("alias-free (plan free)") + 1] == "  in order  near, far"
    assert "far     https://far.example.com/v1  large  chat    env:FAR_KEY" in lines


def test_check_config_names_profiles_that_no_plan_uses(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(files / "profiles.yaml", profiles(names=("free", "pro", "gold")))
    assert main(["check-config"]) == 0
    assert "no plan uses: alias-gold" in capsys.readouterr().out


def test_check_config_fails_with_every_reason(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(files / "plans.yaml", plans(names=("free", "pro", "gold", "max")))
    assert main(["check-config"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "alias-gold" in said.err
    assert "alias-max" in said.err


@pytest.mark.parametrize("command", ["check-config", "serve", "targets"])
def test_a_setting_that_is_wrong_is_named_as_the_variable_it_is(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ROUTER_HEALTH_PORT", "many")
    assert main([command]) == 1
    assert "ROUTER_HEALTH_PORT" in capsys.readouterr().err


def test_a_command_that_is_none_is_told_as_misuse(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chek"]) == 2
    assert "No such command" in capsys.readouterr().err


def test_the_schema_command_prints_the_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "profiles"]) == 0
    assert capsys.readouterr().out == schema(FILES["profiles"])


def test_every_file_with_a_schema_can_be_named() -> None:
    assert {file.value for file in File} == FILES.keys()


def test_the_shipped_files_pass(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("ROUTER_PLANS_FILE", str(CONFIG / "plans.yaml"))
    monkeypatch.setenv("ROUTER_PROFILES_FILE", str(CONFIG / "profiles.yaml"))
    assert main(["check-config"]) == 0


@pytest.mark.parametrize("file", sorted(FILES))
def test_the_schemas_for_editors_are_those_of_today(file: str) -> None:
    command = f"python -m router schema {file} > deploy/config/{file}.schema.json"
    assert (CONFIG / f"{file}.schema.json").read_text() == schema(FILES[file]), f"stale, run: {command}"


@pytest.mark.parametrize("file", sorted(FILES))
def test_the_shipped_files_tell_editors_their_schema(file: str) -> None:
    first = (CONFIG / f"{file}.yaml").read_text().splitlines()[0]
    assert first == f"# yaml-language-server: $schema={file}.schema.json"


def test_the_schema_of_plans_is_the_one_that_services_check() -> None:
    assert FILES["plans"] is PlanCatalogue
