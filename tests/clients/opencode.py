"""opencode and Kilo Code, two programs of one family: a JSON configuration, `run`, and the events that it prints.

    agent = Agent.opencode(workplace, endpoint, api="chat")          # @ai-sdk/openai-compatible
    agent = Agent.kilo(workplace, endpoint, api="responses")         # @ai-sdk/openai
    run = await agent.run("Create hello.txt")
    run.tools, run.text, run.failure

Both ask for a title of the session with a request of its own, which is a prompt like any other, unless one is given.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tests.clients.endpoint import MODEL, Endpoint
from tests.clients.workplace import Run, Workplace

Api = Literal["chat", "responses"]
PACKAGES = {"chat": "@ai-sdk/openai-compatible", "responses": "@ai-sdk/openai"}
# What they would fetch from outside, and would wait for.
_STAY_HOME = ("DISABLE_AUTOUPDATE", "DISABLE_MODELS_FETCH", "DISABLE_LSP_DOWNLOAD", "DISABLE_DEFAULT_PLUGINS")


@dataclass(frozen=True, slots=True)
class AgentRun:
    """One `run --format json`."""

    run: Run

    @property
    def code(self) -> int:
        return self.run.code

    def parts(self, kind: str) -> list[dict[str, Any]]:
        """The parts of the answer of one kind, in order."""
        return [line["part"] for line in self.run.lines if line["type"] == kind]

    @property
    def tools(self) -> list[tuple[str, str, str]]:
        """Every call: the tool, how it ended, and what it answered."""
        states = [(part["tool"], part["state"]) for part in self.parts("tool_use")]
        return [(tool, state["status"], state.get("output") or state.get("error", "")) for tool, state in states]

    @property
    def text(self) -> str:
        """What the agent said, its parts one a line."""
        return "\n".join(part["text"] for part in self.parts("text"))

    @property
    def tokens(self) -> list[tuple[int, int]]:
        """Input and output tokens of every step."""
        return [(part["tokens"]["input"], part["tokens"]["output"]) for part in self.parts("step_finish")]

    @property
    def failure(self) -> str | None:
        """Why it failed, as JSON; None when it did not."""
        return next((json.dumps(line["error"]) for line in self.run.lines if line["type"] == "error"), None)


class Agent:
    """An opencode or a Kilo Code, set up for an endpoint."""

    def __init__(self, program: str, workplace: Workplace, endpoint: Endpoint, *, api: Api, context: int) -> None:
        self.program = program
        self.workplace = workplace
        folder = workplace.home / ".config" / program
        folder.mkdir(parents=True)
        configuration = _configuration(endpoint, api=api, context=context)
        (folder / f"{program}.json").write_text(json.dumps(configuration), encoding="utf-8")

    @classmethod
    def opencode(cls, workplace: Workplace, endpoint: Endpoint, *, api: Api, context: int = 128_000) -> "Agent":
        return cls("opencode", workplace, endpoint, api=api, context=context)

    @classmethod
    def kilo(cls, workplace: Workplace, endpoint: Endpoint, *, api: Api, context: int = 128_000) -> "Agent":
        return cls("kilo", workplace, endpoint, api=api, context=context)

    async def run(
        self,
        prompt: str,
        *,
        title: str | None = "A title",
        arguments: Sequence[str] = (),
        timeout_seconds: float = 120.0,
    ) -> AgentRun:
        """One task to its end. Without a `title` the model is asked for one."""
        given = [] if title is None else ["--title", title]
        variables = {f"{self.program.upper()}_{name}": "1" for name in _STAY_HOME}
        run = await self.workplace.run(
            *(self.program, "run", "--format", "json", *given, *arguments, prompt),
            timeout_seconds=timeout_seconds,
            KILO_TELEMETRY_LEVEL="off",
            **variables,
        )
        return AgentRun(run)


def _configuration(endpoint: Endpoint, *, api: Api, context: int) -> dict[str, Any]:
    model = {"name": "Smart Route", "limit": {"context": context, "output": 4_096}}
    provider = {
        "npm": PACKAGES[api],
        "name": "Smart Route",
        "options": {"baseURL": endpoint.base_url, "apiKey": endpoint.token},
        "models": {MODEL: model},
    }
    return {
        "provider": {"smartroute": provider},
        "model": f"smartroute/{MODEL}",
        "small_model": f"smartroute/{MODEL}",
        "share": "disabled",
        "autoupdate": False,
        "permission": {"*": "allow"},
    }
