"""Settings of mails and of OpenID sign-in: whole or absent, and refused without being quoted."""

import pytest
from pydantic import ValidationError

from chassis.process import settings_faults
from gateway.portal.identity.urls import is_safe_url
from gateway.settings import PortalSettings

OIDC = {
    "GATEWAY_OIDC_ISSUER": "https://id.example/realm",
    "GATEWAY_OIDC_CLIENT_ID": "smart-route",
    "GATEWAY_OIDC_CLIENT_SECRET": "hunter2hunter2",
}


@pytest.fixture(autouse=True)
def _nothing_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PortalSettings.model_fields:
        monkeypatch.delenv(f"GATEWAY_{name.upper()}", raising=False)


def _faults(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> list[str]:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError) as caught:
        PortalSettings()
    return settings_faults(caught.value, prefix="GATEWAY_")


def test_neither_mails_nor_a_provider_are_needed() -> None:
    settings = PortalSettings()
    assert (settings.smtp_url, settings.oidc_issuer) == (None, None)


def test_a_relay_needs_a_sender(monkeypatch: pytest.MonkeyPatch) -> None:
    faults = _faults(monkeypatch, {"GATEWAY_SMTP_URL": "smtp://user:hunter2@relay"})
    assert [fault.partition(":")[0] for fault in faults] == ["GATEWAY_MAIL_FROM"]


@pytest.mark.parametrize(
    "variables",
    [
        {"GATEWAY_SMTP_URL": "http://user:hunter2@relay", "GATEWAY_MAIL_FROM": "us@example.com"},
        {"GATEWAY_SMTP_URL": "smtp://user:hunter2@relay", "GATEWAY_MAIL_FROM": "Smart Route"},
        {"GATEWAY_MAIL_FROM": "us@example.com\nBcc: eve@example.com"},
    ],
)
def test_a_relay_or_sender_that_cannot_be_used_is_refused_without_being_quoted(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    faults = _faults(monkeypatch, variables)
    assert len(faults) == 1
    assert "hunter2" not in faults[0]


@pytest.mark.parametrize("left_out", OIDC)
def test_a_provider_that_is_given_by_half_is_refused(monkeypatch: pytest.MonkeyPatch, left_out: str) -> None:
    faults = _faults(monkeypatch, {name: value for name, value in OIDC.items() if name != left_out})
    assert len(faults) == 1
    assert "given together" in faults[0]
    assert "hunter2" not in faults[0]


def test_a_whole_provider_is_taken_and_its_secret_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in OIDC.items():
        monkeypatch.setenv(name, value)
    assert "hunter2" not in repr(PortalSettings())


@pytest.mark.parametrize("url", ["https://id.example", "https://id.example:8443/realm", "http://127.0.0.1:20000"])
def test_encrypted_and_loopback_addresses_are_safe(url: str) -> None:
    assert is_safe_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://id.example",
        "https://user@id.example",
        "https://id.example/?a=b",
        "https://id.example/#a",
        "https://",
        "ftp://id.example",
        "https://id.example:port",
        "https://id.example/\n",
        "",
    ],
)
def test_other_addresses_are_not(url: str) -> None:
    assert not is_safe_url(url)
