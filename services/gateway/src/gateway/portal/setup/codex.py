"""Codex CLI: its configuration, its launch profiles, and the catalogue that tells it the true windows.

Since 0.134 a profile is a file of its own beside `config.toml`, layered over it by `--profile NAME`; tables named
`[profiles.NAME]` are refused.
"""

from typing import Any

from gateway.portal.setup.files import GeneratedFile, json_text, toml_string
from gateway.portal.setup.subject import TOKEN_VARIABLE, Subject

FOLDER = "~/.codex"
CATALOGUE = "smart-route.json"
CONFIG = "config.toml"


def codex_files(subject: Subject, catalogue: dict[str, Any]) -> tuple[GeneratedFile, ...]:
    """`catalogue` is the content of `GET /v1/codex/model-catalog`."""
    return (
        _file(CONFIG, _config(subject), "The provider and the model."),
        GeneratedFile(
            CATALOGUE,
            f"{FOLDER}/{CATALOGUE}",
            "json",
            json_text(catalogue),
            "The aliases with their context windows. Without it Codex assumes a window and has no tool for patches.",
            is_long=True,
        ),
        _file("careful.config.toml", _CAREFUL, "Reads, and asks before everything else."),
        _file("everyday.config.toml", _EVERYDAY, "Works in its folder, and asks before it leaves it."),
        _file("unattended.config.toml", _UNATTENDED, "Works in its folder, never asks, has no network."),
    )


def _file(name: str, content: str, about: str) -> GeneratedFile:
    return GeneratedFile(name, f"{FOLDER}/{name}", "toml", content, about)


def _config(subject: Subject) -> str:
    instructions = f"Create a service token on {subject.origin}/tokens and export it as {TOKEN_VARIABLE}."
    return f"""\
# Smart Route for Codex CLI. The token is read from the environment variable {TOKEN_VARIABLE}.
model = {toml_string(subject.alias)}
model_provider = "smartroute"
# Beside this file: the aliases with their true context windows.
model_catalog_json = {toml_string(CATALOGUE)}

[model_providers.smartroute]
name = "Smart Route"
base_url = {toml_string(subject.base_url)}
env_key = {toml_string(TOKEN_VARIABLE)}
env_key_instructions = {toml_string(instructions)}
wire_api = "responses"
supports_websockets = false
"""


_CAREFUL = """\
# codex --profile careful: reads and explains. Whatever would write, or reach the network, is asked for first.
sandbox_mode = "read-only"
approval_policy = "on-request"
"""

_EVERYDAY = """\
# codex --profile everyday: edits and runs commands in its folder. What leaves the folder is asked for first.
sandbox_mode = "workspace-write"
approval_policy = "on-request"
"""

_UNATTENDED = """\
# codex exec --profile unattended: nobody is asked. What the sandbox does not allow fails, and the model is told.
sandbox_mode = "workspace-write"
approval_policy = "never"

[sandbox_workspace_write]
network_access = false
"""
