"""The plan catalogue: one versioned YAML file, mounted into every service, checked against these models.

Plans are listed from the weakest to the strongest; that order is the only ranking there is.
"""

from collections.abc import Sequence
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
Prompts = Annotated[int, Field(ge=0)]


class _Section(BaseModel):
    # A misspelt key in a plan must fail the load, not silently mean "no limit".
    model_config = ConfigDict(frozen=True, extra="forbid")


class Turns(_Section):
    """How far one prompt reaches: the calls of an agent that ride on it, and for how long."""

    calls_per_turn: Annotated[int, Field(ge=1)] = 50
    open_for_minutes: Annotated[int, Field(ge=1)] = 60


class Speed(_Section):
    """How fast prompts may come. Null: no limit.

    `in_flight` are requests that are held open at once. `requests_per_minute` is a bucket of that many requests, full
    at first, that refills evenly; only admitted requests take from it.
    """

    in_flight: Annotated[int, Field(ge=1)] | None = None
    requests_per_minute: Annotated[int, Field(ge=1)] | None = None


class Plan(_Section):
    """What a customer bought: the strongest alias and the prompts per UTC day and UTC month (null: no limit)."""

    name: Name
    alias: Name
    public_name: str
    power: str
    best_fit: str
    daily_prompts: Prompts | None
    monthly_prompts: Prompts | None
    turns: Turns = Turns()
    speed: Speed = Speed()


class PlanCatalogue(_Section):
    """All plans, weakest first. `version` is printed in every answer that was decided with them."""

    version: Annotated[int, Field(ge=1)]
    default_plan: Name
    plans: Annotated[Sequence[Plan], Field(min_length=1)]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for what, values in (("name", self.names), ("alias", self.aliases)):
            if len(set(values)) != len(values):
                raise ValueError(f"every plan needs its own {what}")
        if self.default_plan not in self.names:
            raise ValueError(f"default_plan `{self.default_plan}` is no plan of this file")
        return self

    @property
    def names(self) -> list[str]:
        return [plan.name for plan in self.plans]

    @property
    def aliases(self) -> list[str]:
        return [plan.alias for plan in self.plans]

    def plan(self, name: str) -> Plan | None:
        return next((plan for plan in self.plans if plan.name == name), None)

    def plan_of_alias(self, alias: str) -> Plan | None:
        return next((plan for plan in self.plans if plan.alias == alias), None)

    def effective_alias(self, *, plan: str, asked: str) -> str:
        """The lower of the asked alias and the plan's own. Raises `KeyError` for an unknown plan or alias."""
        ranks = {name: rank for rank, name in enumerate(self.names)}
        asked_ranks = {alias: rank for rank, alias in enumerate(self.aliases)}
        return self.plans[min(ranks[plan], asked_ranks[asked])].alias
