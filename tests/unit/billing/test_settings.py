"""Settings of payments: all of them, or none."""

import pytest
from pydantic import ValidationError

from billing.app import check_prices
from billing.errors import PricesUnfit
from billing.settings import Settings
from chassis.process import settings_faults
from tests.unit.billing.wishes import CATALOGUE

ALL = {
    "BILLING_STRIPE_SECRET_KEY": "sk_test_x",
    "BILLING_STRIPE_WEBHOOK_SECRET": "whsec_x",
    "BILLING_STRIPE_PRICES": '{"pro": "price_pro"}',
}


def settings(monkeypatch: pytest.MonkeyPatch, **given: str) -> Settings:
    for name, value in {"BILLING_DATABASE_URL": "postgresql://x", **given}.items():
        monkeypatch.setenv(name, value)
    return Settings()


def test_without_stripe_staff_decides_and_with_all_three_stripe_does(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings(monkeypatch).stripe_prices is None
    whole = settings(monkeypatch, **ALL)
    assert (whole.stripe_prices, whole.stripe_api_url) == ({"pro": "price_pro"}, None)
    assert "sk_test_x" not in repr(whole)


@pytest.mark.parametrize("missing", list(ALL))
@pytest.mark.parametrize("is_empty", [True, False])
def test_what_is_missing_of_stripe_is_named(monkeypatch: pytest.MonkeyPatch, missing: str, is_empty: bool) -> None:
    empty = {missing: "{}" if missing.endswith("PRICES") else ""} if is_empty else {}
    with pytest.raises(ValidationError) as refused:
        settings(monkeypatch, **{name: value for name, value in ALL.items() if name != missing} | empty)
    (fault,) = settings_faults(refused.value, prefix="BILLING_")
    assert f"{missing} missing" in fault


@pytest.mark.parametrize("prices", ["pro", '{"pro"', '["price"]', '{"pro": 7}'])
def test_prices_are_a_json_object_of_names(monkeypatch: pytest.MonkeyPatch, prices: str) -> None:
    with pytest.raises(ValidationError) as refused:
        settings(monkeypatch, **ALL | {"BILLING_STRIPE_PRICES": prices})
    assert all(fault.startswith("BILLING_STRIPE_PRICES") for fault in settings_faults(refused.value, prefix="BILLING_"))


def test_a_price_for_what_is_no_plan_is_refused_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    check_prices(settings(monkeypatch, **ALL), CATALOGUE)
    wrong = settings(monkeypatch, **ALL | {"BILLING_STRIPE_PRICES": '{"gold": "price_x"}'})
    with pytest.raises(PricesUnfit, match="names gold; the plans are: free, plus, pro, max"):
        check_prices(wrong, CATALOGUE)
