"""The collectors keep what services record, remove everything else, and choose by attributes that there are."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from opentelemetry.sdk.resources import Resource

from chassis import attributes
from gateway import tokens

FOLDER = Path(__file__).resolve().parents[2] / "deploy/telemetry"
RECORDED = {value for name, value in vars(attributes).items() if name.isupper()}
OF_PROCESSES = {"service.name", "service.version", "service.instance.id"} | set(Resource.create().attributes)


def config(name: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    return document


def test_the_agent_lets_through_what_services_record_and_nothing_else() -> None:
    allowed = config("agent")["processors"]["redaction"]["allowed_keys"]
    assert len(allowed) == len(set(allowed))
    assert set(allowed) == RECORDED | OF_PROCESSES


@pytest.mark.parametrize(
    "secret",
    [
        tokens.mint(),
        "sk-proj-abcdefghijklmnop1234",
        "whsec_abcdefghijklmnop1234",
        "Authorization: Bearer abcdefgh12345678",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
        "ada@example.com",
        "postgresql://quota:password@postgres/smartroute",
    ],
    ids=["service token", "provider key", "webhook secret", "header", "web token", "address", "database"],
)
def test_the_agent_masks_what_looks_like_a_secret(secret: str) -> None:
    blocked = config("agent")["processors"]["redaction"]["blocked_values"]
    assert any(re.search(pattern, secret) for pattern in blocked)


@pytest.mark.parametrize(
    "value",
    [
        "/v1/chat/completions",
        "gateway.v1.request_settled",
        "0199c7d2-5e10-7c44-8a31-77f0a4b1c902",
        "INSERT quota.reservations",
        "upstream_unavailable",
    ],
)
def test_the_agent_leaves_ordinary_values_as_they_are(value: str) -> None:
    blocked = config("agent")["processors"]["redaction"]["blocked_values"]
    assert not any(re.search(pattern, value) for pattern in blocked)


def test_the_sampler_chooses_by_attributes_that_services_record() -> None:
    text = (FOLDER / "sampler.yaml").read_text(encoding="utf-8")
    keys = set(re.findall(r"\{key: ([^,]+),", text))
    assert keys
    assert keys <= RECORDED


@pytest.mark.parametrize("name", ["agent", "sampler"])
def test_every_part_of_a_pipeline_is_configured_and_every_part_is_used(name: str) -> None:
    document = config(name)
    pipelines = document["service"]["pipelines"].values()
    for kind in ("receivers", "processors", "exporters"):
        assert {part for pipeline in pipelines for part in pipeline.get(kind, [])} == set(document[kind])
    assert set(document["service"]["extensions"]) == set(document["extensions"])
    assert all(pipeline["processors"][0] == "memory_limiter" for pipeline in pipelines if "processors" in pipeline)
