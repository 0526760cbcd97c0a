"""The list of checks: each one is a command that exits with 0 when all is well, and can be run by hand."""

import sys
from dataclasses import dataclass
from pathlib import Path

_SCRIPTS = Path(sys.executable).parent


@dataclass(frozen=True, slots=True)
class Step:
    """One check. `what` says it in words."""

    name: str
    what: str
    command: tuple[str, ...]

    @property
    def again(self) -> str:
        """How a person runs it alone."""
        return f"make check ARGS={self.name}"


def _module(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", *arguments)


# Longest first: two run at a time.
STEPS = (
    Step("types", "mypy --strict on services, libraries and tests", _module("mypy", "services", "libs", "tests")),
    Step("alone", "each service installs and starts without the others", _module("devstack.check.alone")),
    Step("schemas", "migrations from empty, and tables as they say", _module("devstack.check.schemas")),
    Step("openapi", "the gateway's OpenAPI document is up to date", _module("gateway", "openapi", "--check")),
    Step("contracts", "AsyncAPI and JSON Schemas are up to date", _module("contracts", "generate", "--check")),
    Step("nats-users", "the NATS users are those of the contracts", _module("contracts", "nats-users", "--check")),
    Step("dashboards", "Grafana's dashboards are up to date", _module("devstack.dashboards", "--check")),
    Step("imports", "who may import whom", (str(_SCRIPTS / "lint-imports"), "--no-cache")),
    Step("lint", "ruff check", _module("ruff", "check", "--quiet", ".")),
    Step("format", "ruff format", _module("ruff", "format", "--check", "--quiet", "--diff", ".")),
    Step("locks", "every declared dependency is pinned, with hashes", _module("devstack.check.locks")),
)
