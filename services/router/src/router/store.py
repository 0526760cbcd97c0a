"""Where the configuration comes from: plans.yaml and profiles.yaml, each checked alone and both together.

A change that does not pass is refused, logged, and the last good pair stays in force. A pair is tried again whenever
one of its files changes, so a new plan and its profile may arrive in either order.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from chassis.watched import POLL_SECONDS, ConfigInvalid, Watched
from contracts.plans import PlanCatalogue
from contracts.router import Candidate
from router.errors import ConfigurationRefused
from router.profiles import Profiles

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Configuration:
    """Plans and profiles that fit each other: every alias of a plan has a profile. Made by `checked`."""

    plans: PlanCatalogue
    profiles: Profiles

    @cached_property
    def effective(self) -> Mapping[tuple[str, str], str]:
        """The alias that is served, by plan and asked alias: the lower of the plan's own and the asked one."""
        return {
            (plan, asked): self.plans.effective_alias(plan=plan, asked=asked)
            for plan in self.plans.names
            for asked in self.plans.aliases
        }

    @cached_property
    def candidates(self) -> Mapping[str, Candidate]:
        return {name: target.candidate(name) for name, target in self.profiles.targets.items()}


def checked(plans: PlanCatalogue, profiles: Profiles) -> Configuration:
    """The pair, or `ConfigurationRefused` with every alias that nothing serves."""
    missing = [alias for alias in plans.aliases if alias not in profiles.profiles]
    if missing:
        raise ConfigurationRefused([f"no profile for alias `{alias}` of the plans file" for alias in missing])
    return Configuration(plans, profiles)


class Store:
    """The configuration in force. `current` is always a checked one."""

    def __init__(self, *, plans_file: Path, profiles_file: Path) -> None:
        reasons: list[str] = []
        try:
            self._plans = Watched(plans_file, PlanCatalogue)
        except ConfigInvalid as exc:
            reasons.append(str(exc))
        try:
            self._profiles = Watched(profiles_file, Profiles)
        except ConfigInvalid as exc:
            reasons.append(str(exc))
        if reasons:
            raise ConfigurationRefused(reasons)
        self.current = checked(self._plans.value, self._profiles.value)

    def refresh(self) -> bool:
        """Look at both files once. Whether `current` changed."""
        changes = [self._plans.refresh(), self._profiles.refresh()]
        if not any(changes):
            return False
        try:
            found = checked(self._plans.value, self._profiles.value)
        except ConfigurationRefused as exc:
            log.error("configuration refused, the last good one stays in force", extra={"reason": str(exc)})
            return False
        _warn_of_silent_changes(self.current, found)
        self.current = found
        return True

    @asynccontextmanager
    async def watching(self, on_change: Callable[[Configuration], None]) -> AsyncIterator[None]:
        """Call `on_change` with every new configuration while the block runs."""
        task = asyncio.create_task(self._watch(on_change), name="watch configuration")
        try:
            yield
        finally:
            task.cancel()

    async def _watch(self, on_change: Callable[[Configuration], None]) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            if self.refresh():
                on_change(self.current)


def _warn_of_silent_changes(before: Configuration, now: Configuration) -> None:
    # Receipts and ledger lines name the version: two contents under one number cannot be told apart later.
    is_silent = (before.plans != now.plans and before.plans.version == now.plans.version) or (
        before.profiles != now.profiles and before.profiles.version == now.profiles.version
    )
    if is_silent:
        log.warning("configuration changed under the same version, raise it with every change")
