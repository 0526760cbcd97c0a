"""What profiles.yaml may say, and what it may not."""

from typing import Any

import pytest
from pydantic import ValidationError

from router.profiles import Profiles, Target
from tests.unit.router.configurations import profiles

# What only the router goes by.
ROUTERS_OWN = {"model_family", "is_reasoning", "region", "capacity", "requests_per_minute"}


def a_target(**changes: Any) -> dict[str, Any]:
    return {"base_url": "https://api.example.com/v1", "model": "m", **changes}


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ftp://api.example.com/v1", "http:// or https://"),
        ("api.example.com/v1", "http:// or https://"),
        ("http:///v1", "with a host"),
        ("https://user:secret@api.example.com/v1", "credentials"),
        ("https://user@api.example.com/v1", "credentials"),
        ("https://api.example.com/v1?key=secret", "no query"),
        ("https://api.example.com/v1#x", "no query"),
        ("https://api.example.com:port/v1", "[Pp]ort"),
        ("https://api.example.com:99999/v1", "[Pp]ort"),
        ("https://api.example.com/v1\n", "spaces"),
        ("https://api.exam ple.com/v1", "spaces"),
    ],
)
def test_a_base_url_that_cannot_be_called_is_refused(url: str, reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        Target.model_validate(a_target(base_url=url))


@pytest.mark.parametrize("url", ["http://127.0.0.1:8081/v1", "https://[::1]:8443/v1", "https://api.example.com"])
def test_a_base_url_with_scheme_and_host_is_taken(url: str) -> None:
    assert Target.model_validate(a_target(base_url=url)).base_url == url


def test_a_slash_at_the_end_of_a_base_url_is_taken_off() -> None:
    assert Target.model_validate(a_target(base_url="https://api.example.com/v1/")).base_url.endswith("/v1")


@pytest.mark.parametrize("key", ["sk-live-secret", "env:", "env:1KEY", "env:A B", "file:relative", "file:", "ENV:KEY"])
def test_a_key_that_is_no_reference_is_refused(key: str) -> None:
    with pytest.raises(ValidationError, match="key"):
        Target.model_validate(a_target(key=key))


@pytest.mark.parametrize("key", [None, "env:PROVIDER_KEY", "file:/run/secrets/provider"])
def test_a_key_is_a_reference_or_absent(key: str | None) -> None:
    assert Target.model_validate(a_target(key=key)).candidate("t").key == key


@pytest.mark.parametrize(
    "changes",
    [
        {"base_ulr": "x"},
        {"parameters": {"dorp": []}},
        {"timeouts": {"connect": 1}},
        {"timeouts": {"connect_seconds": 0}},
        {"parameters": {"max_output_tokens": 0}},
        {"parameters": {"drop": ["messages"]}},
        {"parameters": {"rename": {"model": "deployment"}}},
        {"model": ""},
    ],
)
def test_a_misspelt_or_impossible_setting_of_a_target_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Target.model_validate(a_target(**changes))


def test_a_candidate_carries_all_that_the_file_says() -> None:
    target = Target.model_validate(
        a_target(
            parameters={
                "drop": ["logprobs"],
                "rename": {"max_tokens": "max_completion_tokens"},
                "max_output_tokens": 9,
            },
            timeouts={"connect_seconds": 1, "first_byte_seconds": 2, "silence_seconds": 3},
        )
    )
    found = target.candidate("name").model_dump(mode="json")
    assert found == {"target": "name", "key": None, **target.model_dump(mode="json", exclude=ROUTERS_OWN)}


def test_a_profile_that_names_an_unknown_target_is_refused_by_name() -> None:
    with pytest.raises(ValidationError, match="profile `alias-free` names `nowhere`"):
        Profiles.model_validate(profiles(order=("nowhere",)))


def test_a_profile_that_names_a_target_twice_is_refused() -> None:
    with pytest.raises(ValidationError, match="twice"):
        Profiles.model_validate(profiles(order=("near", "near")))


def test_a_profile_without_targets_is_refused() -> None:
    with pytest.raises(ValidationError, match="at least 1"):
        Profiles.model_validate(profiles(order=()))
