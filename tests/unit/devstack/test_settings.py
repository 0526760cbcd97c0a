"""SMARTROUTE_* variables are checked before anything starts, and every refusal says what to do."""

from pathlib import Path

import pytest

from devstack import settings
from devstack.errors import BadSetting
from devstack.settings import Choices, Upstream


def test_nothing_needs_to_be_set() -> None:
    assert settings.read({}) == Choices(Path.cwd() / ".smartroute")


def test_every_choice_is_read() -> None:
    choices = settings.read(
        {
            "SMARTROUTE_PORT": "9000",
            "SMARTROUTE_DATA_DIR": "/data/sr",
            "SMARTROUTE_REPLICAS": "gateway=2, quota=3",
            "SMARTROUTE_UPSTREAM_URL": "https://api.example.com/v1/",
            "SMARTROUTE_UPSTREAM_MODEL": "gpt-x",
            "SMARTROUTE_UPSTREAM_KEY": "secret",
            "SMARTROUTE_NATS_URL": "nats://10.0.0.1:4222",
            "SMARTROUTE_DATABASE_URL": "postgresql://admin:x@10.0.0.2/sr",
            "VERBOSE": "1",
        }
    )
    assert choices == Choices(
        Path("/data/sr"),
        port=9000,
        replicas={"gateway": 2, "quota": 3},
        upstream=Upstream("https://api.example.com/v1", "gpt-x", "secret"),
        nats_url="nats://10.0.0.1:4222",
        database_url="postgresql://admin:x@10.0.0.2/sr",
        verbose=True,
    )
    assert not choices.wants_local_model


def test_an_empty_variable_counts_as_not_set() -> None:
    assert settings.read({"SMARTROUTE_PORT": " ", "SMARTROUTE_UPSTREAM_URL": ""}).wants_local_model


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"SMARTROUTE_PORT": "http"}, "a number from 1 to 65535"),
        ({"SMARTROUTE_PORT": "65536"}, "a number from 1 to 65535"),
        ({"SMARTROUTE_PORT": "٨٠"}, "a number from 1 to 65535"),
        ({"SMARTROUTE_REPLICAS": "gateways=2"}, '"gateways=2"'),
        ({"SMARTROUTE_REPLICAS": "gateway=0"}, '"gateway=0"'),
        ({"SMARTROUTE_REPLICAS": "gateway=two"}, '"gateway=two"'),
        ({"SMARTROUTE_REPLICAS": "gateway"}, '"gateway"'),
        ({"SMARTROUTE_UPSTREAM_URL": "api.example.com"}, "http://"),
        ({"SMARTROUTE_UPSTREAM_URL": "https://api.example.com/v1"}, "SMARTROUTE_UPSTREAM_MODEL"),
        ({"SMARTROUTE_UPSTREAM_KEY": "k"}, "SMARTROUTE_UPSTREAM_URL is not set"),
        ({"SMARTROUTE_NATS_URL": "localhost"}, "nats://"),
        ({"SMARTROUTE_DATABASE_URL": "mysql://x"}, "postgresql://"),
        ({"SMARTROUTE_PROFILES": "/nowhere/profiles.yaml"}, "no such file"),
        ({"SMARTROUTE_PROT": "8080"}, "Did you mean SMARTROUTE_PORT?"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_with_a_hint(environ: dict[str, str], words: str) -> None:
    with pytest.raises(BadSetting) as refusal:
        settings.read(environ)
    assert words in str(refusal.value)
    assert next(iter(environ)) in str(refusal.value)


def test_secrets_are_neither_in_the_refusal_nor_in_the_representation() -> None:
    with pytest.raises(BadSetting) as refusal:
        settings.read({"SMARTROUTE_DATABASE_URL": "mysql://me:canary@host/db"})
    assert "canary" not in str(refusal.value)
    choices = settings.read(
        {
            "SMARTROUTE_DATABASE_URL": "postgresql://me:canary@host/db",
            "SMARTROUTE_NATS_URL": "nats://me:canary@host",
            "SMARTROUTE_UPSTREAM_URL": "http://h",
            "SMARTROUTE_UPSTREAM_MODEL": "m",
            "SMARTROUTE_UPSTREAM_KEY": "canary",
        }
    )
    assert "canary" not in repr(choices)
