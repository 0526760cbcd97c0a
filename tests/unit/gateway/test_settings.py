"""Settings: checked when read, secret where secret."""

import pytest
from pydantic import ValidationError

from gateway.settings import DatabaseSettings, Settings

KEY = "k" * 32


@pytest.fixture(autouse=True)
def _nothing_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"GATEWAY_{name.upper()}", raising=False)


def test_a_gateway_starts_with_a_database_a_key_and_a_data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_DATABASE_URL", "postgresql://gateway:secret@db/smartroute")
    monkeypatch.setenv("GATEWAY_SIGNING_KEY", KEY)
    monkeypatch.setenv("GATEWAY_DATA_DIR", "/data")
    settings = Settings()
    assert (settings.port, settings.health_port) == (8080, 9080)
    assert "secret" not in repr(settings)
    assert KEY not in repr(settings)


def test_migrating_needs_no_more_than_a_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_DATABASE_URL", "postgresql://db/smartroute")
    assert DatabaseSettings().database_url.get_secret_value() == "postgresql://db/smartroute"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GATEWAY_SIGNING_KEY", "short"),
        ("GATEWAY_TOKEN_CACHE_SECONDS", "31"),
        ("GATEWAY_TOKEN_REFUSAL_CACHE_SECONDS", "1.1"),
        ("GATEWAY_PORT", "70000"),
        ("GATEWAY_BODY_TIMEOUT_SECONDS", "0"),
    ],
)
def test_a_value_out_of_bounds_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv("GATEWAY_DATABASE_URL", "postgresql://db/smartroute")
    monkeypatch.setenv("GATEWAY_SIGNING_KEY", KEY)
    monkeypatch.setenv("GATEWAY_DATA_DIR", "/data")
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError):
        Settings()
