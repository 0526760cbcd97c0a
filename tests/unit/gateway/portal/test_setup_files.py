"""Generated files can be read back by the parsers of their languages, and say what their reader chose."""

import ast
import json
import re
import shlex
import tomllib
from dataclasses import replace
from typing import Any

import pytest
import yaml

from contracts.plans import PlanCatalogue
from contracts.router import AliasCard
from devstack.repository import PLANS
from gateway import tokens
from gateway.codex import ASSUMED_WINDOW, model_catalog
from gateway.portal.setup.agents import PACKAGES, Api, kilo_fields
from gateway.portal.setup.clients import CLIENTS, Wishes, client_named
from gateway.portal.setup.files import GeneratedFile, toml_string
from gateway.portal.setup.subject import ASSUMED_OUTPUT, TOKEN_VARIABLE, Subject, subject_of

CATALOGUE = PlanCatalogue.model_validate(yaml.safe_load(PLANS.read_text(encoding="utf-8")))
SUBJECT = Subject(
    origin="https://route.example",
    base_url="https://route.example/v1",
    alias="smart-route-deep",
    name="Smart-Route Deep",
    context_window=200_000,
    output_tokens=16_000,
    takes_images=True,
    is_measured=True,
)
MODELS = model_catalog([(plan, None) for plan in CATALOGUE.plans])
# Nothing that an operator can put into the URL or a plan may break a file.
EVIL = replace(SUBJECT, base_url="https://x'\"\\$(touch y)`z`{{ 7*7 }}\u007f/v1", name="Ü \"'\\ 🙂: - #", alias="a-1")


def wishes(subject: Subject = SUBJECT, api: Api = "chat") -> Wishes:
    return Wishes(subject, api, MODELS)


def file(client: str, name: str, chosen: Wishes | None = None) -> GeneratedFile:
    found = client_named(client)
    assert found is not None
    made = found.file(chosen or wishes(), name)
    assert made is not None
    return made


def parsed(made: GeneratedFile) -> Any:
    """Read back as its program would; programs are only looked at for their form."""
    match made.language:
        case "toml":
            return tomllib.loads(made.content)
        case "json":
            return json.loads(made.content)
        case "yaml":
            return yaml.safe_load(made.content)
        case "python":
            return ast.parse(made.content)
        case _:
            return made.content


def every_file(subject: Subject) -> list[GeneratedFile]:
    return [made for client in CLIENTS for api in PACKAGES for made in client.files(wishes(subject, api))]


@pytest.mark.parametrize("subject", [SUBJECT, EVIL], ids=["usual", "evil"])
def test_every_file_can_be_read_back(subject: Subject) -> None:
    for made in every_file(subject):
        assert parsed(made), made.name
        assert made.content.endswith("\n"), made.name


def test_no_file_has_a_token_in_it_and_all_that_need_one_name_the_variable() -> None:
    for made in every_file(SUBJECT):
        assert tokens.PREFIX.decode() not in made.content
        if SUBJECT.base_url in made.content and made.name != "chatLanguageModels.json":
            assert TOKEN_VARIABLE in made.content, made.name


def test_names_of_files_are_safe_and_differ_within_a_client() -> None:
    for client in CLIENTS:
        names = [made.name for made in client.files(wishes())]
        assert len(set(names)) == len(names)
        assert all(re.fullmatch(r"[A-Za-z0-9_.-]+", name) for name in names)


def test_codex_is_given_responses_without_web_sockets_and_the_catalogue() -> None:
    config = parsed(file("codex", "config.toml"))
    provider = config["model_providers"][config["model_provider"]]
    assert config["model"] == "smart-route-deep"
    assert (provider["base_url"], provider["wire_api"]) == ("https://route.example/v1", "responses")
    assert (provider["env_key"], provider["supports_websockets"]) == (TOKEN_VARIABLE, False)
    assert file("codex", config["model_catalog_json"]).place == "~/.codex/smart-route.json"
    assert "profiles" not in config


def test_the_catalogue_for_codex_is_that_of_the_endpoint() -> None:
    assert parsed(file("codex", "smart-route.json")) == MODELS


@pytest.mark.parametrize(
    ("profile", "sandbox", "approval"),
    [
        ("careful", "read-only", "on-request"),
        ("everyday", "workspace-write", "on-request"),
        ("unattended", "workspace-write", "never"),
    ],
)
def test_launch_profiles_are_files_with_a_sandbox_and_an_approval_policy(
    profile: str, sandbox: str, approval: str
) -> None:
    layer = parsed(file("codex", f"{profile}.config.toml"))
    assert (layer["sandbox_mode"], layer["approval_policy"]) == (sandbox, approval)
    assert not layer.get("sandbox_workspace_write", {}).get("network_access", False)


@pytest.mark.parametrize("client", ["opencode", "kilo"])
@pytest.mark.parametrize(("api", "package"), [("chat", "@ai-sdk/openai-compatible"), ("responses", "@ai-sdk/openai")])
def test_opencode_and_kilo_get_the_chosen_interface_and_the_true_limits(client: str, api: Api, package: str) -> None:
    config = parsed(file(client, f"{client}.json", wishes(api=api)))
    provider = config["provider"]["smartroute"]
    assert provider["npm"] == package
    assert provider["options"] == {"baseURL": "https://route.example/v1", "apiKey": "{env:SMARTROUTE_TOKEN}"}
    assert provider["models"]["smart-route-deep"]["limit"] == {"context": 200_000, "output": 16_000}
    assert config["model"] == config["small_model"] == "smartroute/smart-route-deep"


def test_the_fields_of_kilos_settings_are_those_of_the_subject() -> None:
    fields = dict(kilo_fields(SUBJECT))
    assert fields["Base URL"] == SUBJECT.base_url
    assert (fields["Model"], fields["Context window"], fields["Max output tokens"]) == (
        "smart-route-deep",
        "200000",
        "16000",
    )


def test_the_chat_of_vs_code_gets_an_entry_without_a_key() -> None:
    (entry,) = parsed(file("vscode", "chatLanguageModels.json"))
    (model,) = entry["models"]
    assert (entry["vendor"], "apiKey" in entry) == ("customendpoint", False)
    assert model["url"] == "https://route.example/v1/chat/completions"
    assert model["maxInputTokens"] + model["maxOutputTokens"] == 200_000
    assert model["toolCalling"] is True


def test_continue_gets_a_model_that_reads_its_token_from_a_secret() -> None:
    (model,) = parsed(file("vscode", "config.yaml"))["models"]
    assert (model["provider"], model["apiBase"]) == ("openai", "https://route.example/v1")
    assert model["apiKey"] == "${{ secrets.SMARTROUTE_TOKEN }}"
    assert model["capabilities"] == ["tool_use", "image_input"]


def test_the_variables_of_a_shell_are_quoted() -> None:
    line = file("sdks", "smart-route.sh", wishes(EVIL)).content.splitlines()[1]
    assert shlex.split(line) == ["export", f"OPENAI_BASE_URL={EVIL.base_url}"]


@pytest.mark.parametrize("text", ["plain", 'a "quoted" \\ one', "line\nbreak\ttab", "\u007f\u0001", "Ü 🙂"])
def test_a_toml_string_is_read_back_as_it_was(text: str) -> None:
    assert tomllib.loads(f"value = {toml_string(text)}") == {"value": text}


def a_card(**fields: Any) -> AliasCard:
    return AliasCard.model_validate({"alias": "smart-route", **_CARD, **fields})


_CARD = {
    "context_window": 32_000,
    "max_output_tokens": 4_000,
    "takes_tools": True,
    "takes_parallel_calls": True,
    "takes_images": False,
    "takes_schema": True,
    "replays_reasoning": False,
}


def test_a_subject_has_the_windows_of_its_alias() -> None:
    made = subject_of("https://x", "https://x/v1", CATALOGUE.plans[1], a_card())
    assert (made.alias, made.context_window, made.output_tokens) == ("smart-route", 32_000, 4_000)
    assert (made.is_measured, made.takes_images, made.input_tokens) == (True, False, 28_000)


def test_without_a_card_a_subject_has_sizes_that_are_true_of_most_models() -> None:
    made = subject_of("https://x", "https://x/v1", CATALOGUE.plans[1], None)
    assert (made.context_window, made.output_tokens, made.is_measured) == (ASSUMED_WINDOW, ASSUMED_OUTPUT, False)


def test_an_answer_leaves_most_of_a_small_window_to_the_input() -> None:
    made = subject_of("https://x", "https://x/v1", CATALOGUE.plans[1], a_card(context_window=2_000))
    assert made.output_tokens == 500
