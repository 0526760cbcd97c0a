"""Codex CLI as its users run it: a `config.toml`, `codex exec`, and the events that it prints.

    codex = Codex(workplace, endpoint)                       # a model provider of its own in config.toml
    codex = Codex(workplace, endpoint, is_built_in=True)     # OpenAI's, with another base URL: tries a WebSocket first
    run = await codex.execute("Run pwd.", sandbox="read-only", settings={"model_auto_compact_token_limit": 9000})
    run.commands, run.messages, run.failure

What one has to know beyond its documentation:

* Codex puts no program of its own into a CODEX_HOME below the temporary folder, and warns: hence a TMPDIR in HOME.
* Without `required = true` an MCP server that is slow to start is missing in the first request.
* The key of the built-in provider is CODEX_API_KEY: `exec` does not look at OPENAI_API_KEY.
* A command that fails in the sandbox of a read-only run is no event: only the model is told.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tests.clients.endpoint import MODEL, Endpoint
from tests.clients.workplace import Run, Workplace

Sandbox = Literal["read-only", "workspace-write", "danger-full-access"]

_CUSTOM = """\
model_provider = "smartroute"

[model_providers.smartroute]
name = "Smart Route"
base_url = "{base_url}"
env_key = "SMARTROUTE_TOKEN"
wire_api = "responses"
"""
_BUILT_IN = """\
openai_base_url = "{base_url}"
"""
_CONFIG = """\
model = "{model}"
approval_policy = "never"
check_for_update_on_startup = false
{provider}
[analytics]
enabled = false
"""


@dataclass(frozen=True, slots=True)
class CodexRun:
    """One `codex exec --json`."""

    run: Run

    @property
    def code(self) -> int:
        return self.run.code

    def items(self, kind: str) -> list[dict[str, Any]]:
        """The finished items of one kind, in order."""
        finished = [line["item"] for line in self.run.lines if line["type"] == "item.completed"]
        return [item for item in finished if item["type"] == kind]

    @property
    def commands(self) -> list[tuple[str, int]]:
        """What was run by the shell tool: its output and exit code."""
        return [(item["aggregated_output"], item["exit_code"]) for item in self.items("command_execution")]

    @property
    def messages(self) -> list[str]:
        """What the agent said."""
        return [item["text"] for item in self.items("agent_message")]

    @property
    def failure(self) -> str | None:
        """Why the turn failed; None when it did not."""
        return next((line["error"]["message"] for line in self.run.lines if line["type"] == "turn.failed"), None)

    @property
    def usage(self) -> dict[str, int]:
        """The tokens of the turn as Codex adds them up."""
        (usage,) = [line["usage"] for line in self.run.lines if line["type"] == "turn.completed"]
        assert isinstance(usage, dict)
        return usage


class Codex:
    """A Codex CLI, set up for an endpoint."""

    def __init__(self, workplace: Workplace, endpoint: Endpoint, *, is_built_in: bool = False) -> None:
        self.workplace = workplace
        self._token = endpoint.token
        provider = (_BUILT_IN if is_built_in else _CUSTOM).format(base_url=endpoint.base_url)
        self._home = workplace.home / ".codex"
        self._home.mkdir()
        (self._home / "config.toml").write_text(_CONFIG.format(model=MODEL, provider=provider), encoding="utf-8")

    async def catalogue_settings(self, endpoint: Endpoint) -> dict[str, object]:
        """The settings of a user who has saved the endpoint's model catalogue."""
        path = self.workplace.home / "models.json"
        path.write_text(json.dumps(await endpoint.model_catalogue()), encoding="utf-8")
        return {"model_catalog_json": str(path)}

    async def execute(
        self,
        prompt: str,
        *,
        sandbox: Sandbox = "danger-full-access",
        settings: Mapping[str, object] | None = None,
        arguments: Sequence[str] = (),
        timeout_seconds: float = 60.0,
    ) -> CodexRun:
        """One task to its end. `settings` are those of config.toml by dotted name."""
        given = [word for name, value in (settings or {}).items() for word in ("-c", f"{name}={json.dumps(value)}")]
        run = await self.workplace.run(
            *("codex", "exec", "--json", "--skip-git-repo-check", "--sandbox", sandbox, *given, *arguments, prompt),
            timeout_seconds=timeout_seconds,
            CODEX_HOME=str(self._home),
            SMARTROUTE_TOKEN=self._token,
            CODEX_API_KEY=self._token,
        )
        return CodexRun(run)
