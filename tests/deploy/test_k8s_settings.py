"""What processes are told: what they do not read, need, or take is noticed."""

from pathlib import Path

import pytest

from tests.deploy.k8s import told
from tests.deploy.k8s.broken import broken, config_map_of, container, without
from tests.deploy.k8s.rendering import Document, Rendered


def _with(rendered: Rendered, service: str, variable: str, value: str) -> Rendered:
    name = config_map_of(rendered, service)
    return broken(rendered, "ConfigMap", name, lambda found: found["data"].update({variable: value}))


def test_a_variable_that_no_settings_have_is_noticed(production: Rendered) -> None:
    found = list(told.settings(_with(production, "quota", "QUOTA_LEASE", "50")))
    assert found == ["Deployment/quota: QUOTA_LEASE is no setting"]


def test_a_variable_of_another_service_is_noticed(production: Rendered) -> None:
    found = list(told.settings(_with(production, "quota", "ROUTER_LOG_LEVEL", "INFO")))
    assert found == ["Deployment/quota: ROUTER_LOG_LEVEL is no setting"]


def test_variables_of_telemetry_are_everybodys(production: Rendered) -> None:
    assert list(told.settings(_with(production, "quota", "OTEL_TRACES_SAMPLER_ARG", "0.1"))) == []


def test_a_required_variable_that_is_not_set_is_noticed(production: Rendered) -> None:
    name = config_map_of(production, "gateway")
    found = list(
        told.settings(broken(production, "ConfigMap", name, lambda found: found["data"].pop("GATEWAY_DATA_DIR")))
    )
    assert found == ["Deployment/gateway: GATEWAY_DATA_DIR is not set"]


def test_a_required_secret_that_nobody_makes_is_noticed(production: Rendered) -> None:
    def forget(found: dict[str, dict[str, dict[str, dict[str, dict[str, str]]]]]) -> object:
        return found["spec"]["target"]["template"]["data"].pop("GATEWAY_SIGNING_KEY")

    found = list(told.settings(broken(production, "ExternalSecret", "gateway", forget)))
    assert found == ["Deployment/gateway: GATEWAY_SIGNING_KEY is not set"]


@pytest.mark.parametrize(
    ("service", "variable", "value"),
    [
        ("gateway", "GATEWAY_GRACE_SECONDS", "ten minutes"),
        ("gateway", "GATEWAY_PUBLIC_URL", "smart-route.example.com"),
        ("gateway", "GATEWAY_TRUSTED_PROXIES", "10.0.0.1/8"),
        ("quota", "QUOTA_LOG_LEVEL", "LOUD"),
        ("billing", "BILLING_STRIPE_PRICES", "pro=price_1"),
    ],
)
def test_a_value_that_a_service_refuses_is_noticed(
    production: Rendered, service: str, variable: str, value: str
) -> None:
    found = list(told.settings(_with(production, service, variable, value)))
    assert any(fault.startswith(f"Deployment/{service}: {variable}: ") for fault in found)


def test_a_command_that_a_service_does_not_have_is_noticed(production: Rendered) -> None:
    run = broken(production, "Deployment", "router", lambda found: container(found).update(args=["run"]))
    assert list(told.settings(run)) == ["Deployment/router: router: `run` is nothing that router can do"]


def test_profiles_that_the_router_refuses_are_noticed(production: Rendered, tmp_path: Path) -> None:
    misspelt = broken(
        production,
        "ConfigMap",
        "profiles",
        lambda found: found["data"].update(
            {"profiles.yaml": found["data"]["profiles.yaml"].replace("  large:", "  big:")}
        ),
    )
    (fault,) = told.files(misspelt, tmp_path)
    assert fault.startswith("ConfigMap/profiles: ")


def test_an_alias_without_a_profile_is_noticed(production: Rendered, tmp_path: Path) -> None:
    def forget(found: Document) -> None:
        lines = found["data"]["profiles.yaml"].splitlines()
        found["data"]["profiles.yaml"] = "\n".join(line for line in lines if "smart-route-ultra:" not in line)

    found = list(told.files(broken(production, "ConfigMap", "profiles", forget), tmp_path))
    assert found == ["ConfigMap/profiles: no profile for alias smart-route-ultra of the plans"]


def test_plans_that_are_not_there_are_noticed(production: Rendered, tmp_path: Path) -> None:
    found = list(told.files(without(production, "ConfigMap", "plans"), tmp_path))
    assert found == ["ConfigMap/plans: is missing"]


def test_a_bus_user_without_a_password_is_noticed(production: Rendered) -> None:
    fewer = broken(production, "ExternalSecret", "nats-passwords", lambda found: found["spec"]["data"].pop(0))
    assert list(told.users(fewer)) == ["StatefulSet/nats: NATS_GATEWAY_PASSWORD is not given"]


def test_the_gateway_of_production_writes_mails_and_knows_its_proxies(production: Rendered) -> None:
    deployment = production.find("Deployment", "gateway")
    assert deployment is not None
    variables = told.variables(production, container(deployment))
    assert {"GATEWAY_SMTP_URL", "GATEWAY_MAIL_FROM", "GATEWAY_PUBLIC_URL", "GATEWAY_TRUSTED_PROXIES"} <= set(variables)
