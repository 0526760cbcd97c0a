"""The viewer of traces: what it and the services are told."""

from pathlib import Path

import pytest

from devstack import settings, traces
from devstack.errors import StartFailed


def installed(place: Path) -> Path:
    """A folder that looks as if the viewer was in it."""
    program = place / "bin/phoenix"
    program.parent.mkdir(parents=True)
    program.touch()
    return program


@pytest.mark.parametrize(("value", "chosen"), [("1", True), ("0", False), ("", False)])
def test_it_is_started_for_those_who_choose_it(value: str, chosen: bool) -> None:
    assert settings.read({"TRACES": value}).traces is chosen
    assert not settings.read({}).traces


def test_services_send_it_every_trace_and_no_metrics() -> None:
    told = traces.environment(6006)
    assert told["OTEL_EXPORTER_OTLP_ENDPOINT"] == traces.url(6006) == "http://127.0.0.1:6006"
    assert (told["OTEL_TRACES_SAMPLER"], told["OTEL_METRICS_EXPORTER"]) == ("parentbased_always_on", "none")


def test_it_is_for_this_machine_only_keeps_its_data_here_and_tells_nobody(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(traces.PLACE, str(tmp_path / "place"))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://elsewhere.example")
    viewer = installed(tmp_path / "place")
    program = traces.program(6006, 6007, data=tmp_path / "data", logs=tmp_path)
    assert program.command == (str(viewer), "serve")
    assert program.environment["PHOENIX_HOST"] == "127.0.0.1"
    assert program.environment["PHOENIX_WORKING_DIR"] == str(tmp_path / "data")
    assert program.environment["PHOENIX_TELEMETRY_ENABLED"] == "false"
    assert not [name for name in program.environment if name.startswith("OTEL_")]


def test_without_it_the_start_says_how_it_is_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(traces.PLACE, str(tmp_path))
    with pytest.raises(StartFailed, match="TRACES=1"):
        traces.program(6006, 6007, data=tmp_path / "data", logs=tmp_path)
