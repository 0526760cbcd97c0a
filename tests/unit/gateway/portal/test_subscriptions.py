"""Which plans are larger, and where a visitor may be sent to pay."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest

from chassis.watched import Watched
from contracts.billing import Upgrade
from contracts.plans import PlanCatalogue
from devstack.repository import PLANS
from gateway.portal.subscriptions import larger_plans, payment_page


def upgrade(url: str | None, *, state: str = "pending") -> Upgrade:
    values = {"upgrade_id": uuid4(), "plan": "pro", "state": state, "requested_at": datetime(2026, 11, 28, tzinfo=UTC)}
    return Upgrade.model_validate({**values, "payment_url": url})


@pytest.mark.parametrize(
    "url", ["https://checkout.stripe.com/c/pay/cs_test_a1#fid", "http://127.0.0.1:4242/pay", "http://localhost:1/"]
)
def test_a_payment_page_is_at_a_secure_address_or_on_this_machine(url: str) -> None:
    assert payment_page(upgrade(url)) == url


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "http://pay.example/",
        "//pay.example/",
        "/plans",
        "https:///x",
        "http://127.0.0.1.pay.example/",
        "https://[broken/",
        "",
    ],
)
def test_nobody_is_sent_anywhere_else(url: str) -> None:
    assert payment_page(upgrade(url)) is None


def test_only_a_pending_wish_is_paid() -> None:
    assert payment_page(upgrade("https://pay.example/", state="approved")) is None
    assert payment_page(upgrade(None)) is None
    assert payment_page(None) is None


def test_larger_plans_are_those_above_in_the_catalogue() -> None:
    catalogue = Watched(PLANS, PlanCatalogue).value
    assert larger_plans(catalogue, than="ultimate") == ["max", "unlimited"]
    assert larger_plans(catalogue, than="unlimited") == []
    assert larger_plans(catalogue, than="of-old-times") == catalogue.names
