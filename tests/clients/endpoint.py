"""What a client is pointed at: the gateway in front of a scripted provider, or, to tell whose fault something is, the
provider itself (SMARTROUTE_CLIENTS_DIRECT=1), which speaks every format.

What only the gateway has (accounts, prompts, outcomes) is checked where it is there, and skipped over elsewhere.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml

from contracts.outcomes import Outcome
from devstack.provider import Provider, scripts
from devstack.pytest_plugin import FreshDatabase
from devstack.repository import PLANS
from tests.clients.wiretap import tapping

if TYPE_CHECKING:
    from tests.service.gateway.chat_house import House

MODEL = "smart-route"
BRAND = "Zephyr"
FORMATS = ("chat", "responses")
IS_DIRECT = os.environ.get("SMARTROUTE_CLIENTS_DIRECT") == "1"
Format = Literal["chat", "responses"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A base URL, a token that is good there, and the provider that answers in the end."""

    base_url: str
    token: str
    provider: Provider
    house: "House | None" = None

    async def assert_prompts(self, count: int) -> None:
        """The account has used so many prompts, exactly."""
        if self.house is not None:
            assert await self.house.cost() == count

    async def assert_outcomes(self, *outcomes: Outcome) -> None:
        """So many requests were admitted, and ended in these ways, in any order."""
        if self.house is not None:
            settled = await self.house.settlements(len(outcomes))
            assert sorted(each.outcome for each in settled) == sorted(outcomes)

    async def model_catalogue(self) -> dict[str, Any]:
        """What Codex CLI is told of the models."""
        if self.house is None:
            return {"models": [_LEAST_CATALOGUE_ENTRY]}
        headers = {"authorization": f"Bearer {self.token}"}
        async with self.house.session.get(f"{self.base_url}/codex/model-catalog", headers=headers) as response:
            catalogue: dict[str, Any] = await response.json()
        return catalogue

    async def spend_allowance(self) -> None:
        """Make every further request fail for want of prompts; for endpoints that were opened with one prompt."""
        if self.house is None:
            self.provider.always(scripts.raw(429, _ALLOWANCE_SPENT, headers=_ALLOWANCE_HEADERS))
        else:
            answer = await self.house.ask()
            assert answer.status == 200, answer.body
            self.provider.exchanges.clear()


_ALLOWANCE_SPENT = (
    b'{"error":{"message":"The plan has no prompts left.","type":"insufficient_quota","param":null,'
    b'"code":"insufficient_quota"}}'
)
# Codex 0.169.0 refuses a catalogue without any of these, the last two aside.
_LEAST_CATALOGUE_ENTRY = {
    "slug": MODEL,
    "display_name": "Smart Route",
    "supported_reasoning_levels": [],
    "shell_type": "unified_exec",
    "visibility": "list",
    "supported_in_api": True,
    "priority": 1,
    "support_verbosity": False,
    "truncation_policy": {"mode": "tokens", "limit": 10_000},
    "experimental_supported_tools": [],
    "base_instructions": "You are a coding agent.",
    "apply_patch_tool_type": "freeform",
    "context_window": 128_000,
}
# opencode and Kilo Code read `retry-after-ms` before `retry-after`, and wait as long as either says: until tomorrow.
_ALLOWANCE_HEADERS = (
    ("Content-Type", "application/json"),
    ("Retry-After", "40000"),
    ("Retry-After-Ms", "200"),
    ("X-Should-Retry", "false"),
)


@asynccontextmanager
async def gateway(
    nats_url: str, fresh_database: FreshDatabase, folder: Path, *, format: Format, prompts: int | None = None
) -> AsyncIterator[Endpoint]:
    """Gateway, quota and router in front of a provider of this format; `prompts` is the allowance of a day."""
    from tests.service.gateway.chat_house import house, target  # not needed, so not loaded, without a gateway

    async with (
        Provider(brand=BRAND, strict=True) as provider,
        house(
            nats_url,
            fresh_database,
            folder,
            {"only": target(provider, "only", format=format)},
            plans=PLANS if prompts is None else _plans(folder, prompts),
        ) as home,
        tapping(home.base_url) as tap,
    ):
        yield Endpoint(tap.base_url, home.token, provider, home)
        assert tap.violations() == []
        assert tap.leaks([BRAND, "only-model", f":{provider.port}"]) == []
        assert tap.betrayals(provider.exchanges, secrets=[home.token, home.token[-8:], str(home.account_id)]) == []


@asynccontextmanager
async def provider_itself() -> AsyncIterator[Endpoint]:
    """No gateway between. Not strict: clients send fields that only OpenAI itself knows."""
    async with Provider() as provider:
        yield Endpoint(provider.base_url, "any-token", provider)


def _plans(folder: Path, prompts: int) -> Path:
    """The catalogue with so few prompts a day in the smallest plan."""
    catalogue: dict[str, Any] = yaml.safe_load(PLANS.read_text(encoding="utf-8"))
    catalogue["plans"][0]["daily_prompts"] = prompts
    path = folder / "plans.yaml"
    path.write_text(yaml.safe_dump(catalogue), encoding="utf-8")
    return path
