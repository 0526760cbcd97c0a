"""One demo account per plan with a token and a user of the portal, and the wait until quota knows all their plans."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from devstack import programs
from devstack.children import run_to_end
from devstack.errors import StartFailed
from devstack.folders import read_json
from devstack.probes import http_json, until

_VISIBLE_SECONDS = 30.0
# `gateway seed-demo` writes it beside the tokens.
_USERS = "portal.json"


async def seed(
    base_url: str, *, plans: list[str], tokens_file: Path, environment: Mapping[str, str], log: Path
) -> dict[str, str]:
    """Tokens by plan name; every one of them works and has its plan on return. Accounts of the last time are kept.

    `environment` is a gateway replica's. Raises `CommandFailed` or `StartFailed`.
    """
    tokens = _read(tokens_file, plans)
    is_known = users(tokens_file).keys() == set(plans)
    if tokens is None or not is_known or not await _all_visible(base_url, tokens):
        command = programs.command("gateway", "seed-demo", "--tokens-file", str(tokens_file))
        await run_to_end("gateway seed-demo", command, log=log, environment=environment)
        tokens = _read(tokens_file, plans)
        if tokens is None:
            raise StartFailed(f"`gateway seed-demo` left no token for every plan in {tokens_file}")
    seeded = tokens

    async def visible() -> bool:
        return await _all_visible(base_url, seeded)

    if not await until(visible, within_seconds=_VISIBLE_SECONDS, every_seconds=0.1):
        raise StartFailed(
            f"the demo accounts' plans did not arrive at quota within {_VISIBLE_SECONDS:g} s: "
            f"{await _differences(base_url, seeded)}. Look into billing.log and quota.log."
        )
    return seeded


def users(tokens_file: Path) -> dict[str, dict[str, str]]:
    """Who signs in to the portal for the demo accounts, by plan: `email` and `password`."""
    document = read_json(tokens_file.with_name(_USERS))
    return {plan: entry for plan, entry in document.items() if isinstance(entry, dict)}


def _read(tokens_file: Path, plans: list[str]) -> dict[str, str] | None:
    document = read_json(tokens_file)
    tokens = {plan: token for plan in plans if isinstance(token := document.get(plan), str)}
    return tokens if len(tokens) == len(plans) else None


async def _all_visible(base_url: str, tokens: Mapping[str, str]) -> bool:
    found = await asyncio.gather(*(_plan_of(base_url, token) for token in tokens.values()))
    return found == list(tokens)


async def _plan_of(base_url: str, token: str) -> object:
    answer = await http_json(f"{base_url}/usage", headers={"Authorization": f"Bearer {token}"})
    return answer.get("plan") if answer else None


async def _differences(base_url: str, tokens: Mapping[str, str]) -> str:
    seen = {plan: await _plan_of(base_url, token) for plan, token in tokens.items()}
    wrong = [f"{plan} is seen as {found or 'nothing'}" for plan, found in seen.items() if found != plan]
    return ", ".join(wrong) or "all are there now"
