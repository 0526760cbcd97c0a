"""The plan catalogue in force, as the handlers need it."""

import logging
from uuid import UUID

from chassis.watched import Watched
from contracts.plans import Plan, PlanCatalogue
from quota.domain import Limits, Terms

log = logging.getLogger(__name__)


class Catalogue:
    """Plans by name, the terms that decide, and a word in the log about plans that are not there."""

    def __init__(self, plans: Watched[PlanCatalogue]) -> None:
        self._plans = plans
        self._terms: tuple[PlanCatalogue, Terms] | None = None
        self._unknown: set[tuple[int, str]] = set()

    @property
    def version(self) -> int:
        return self._plans.value.version

    @property
    def default_plan(self) -> str:
        return self._plans.value.default_plan

    def terms(self) -> Terms:
        catalogue = self._plans.value
        if self._terms is None or self._terms[0] is not catalogue:
            limits = {plan.name: _limits(plan) for plan in catalogue.plans}
            self._terms = (catalogue, Terms(catalogue.version, catalogue.default_plan, limits))
        return self._terms[1]

    def plan_in_force(self, name: str) -> Plan:
        catalogue = self._plans.value
        plan = catalogue.plan(name) or catalogue.plan(catalogue.default_plan)
        assert plan is not None, "the catalogue is checked to have its default plan"
        return plan

    def note_unknown(self, assigned: str, account_id: UUID) -> None:
        """Say once per plan and version of the catalogue that accounts have a plan which is not in it."""
        catalogue = self._plans.value
        if catalogue.plan(assigned) is not None or (catalogue.version, assigned) in self._unknown:
            return
        self._unknown.add((catalogue.version, assigned))
        log.error(
            "plan not in the catalogue, the default plan is in force",
            extra={"plan": assigned, "plans_version": catalogue.version, "account_id": str(account_id)},
        )


def _limits(plan: Plan) -> Limits:
    speed = plan.speed
    return Limits(
        plan.daily_prompts, plan.monthly_prompts, speed.in_flight, speed.requests_per_minute, turns=plan.turns
    )
