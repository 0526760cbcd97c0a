"""`GET /models` and `GET /models/{alias}`: the aliases that can be asked for, in OpenAI's shape."""

from collections.abc import Callable
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel, Field

from contracts.plans import Plan, PlanCatalogue
from gateway.errors import ModelNotFound
from gateway.handlers.caller import Dependency

# OpenAI's clients want a time; the aliases are older than any account and do not change.
CREATED = 1_767_225_600
OWNER = "smart-route"


class Model(BaseModel):
    """One alias. Which provider answers behind it is not part of the interface."""

    id: str = Field(examples=["smart-route"])
    object: Literal["model"] = "model"
    created: int = Field(CREATED, description="Unix time in seconds")
    owned_by: str = OWNER


class ModelList(BaseModel):
    """All aliases, the least powerful first."""

    object: Literal["list"] = "list"
    data: list[Model]


def build_models(caller: Dependency, plans: Callable[[], PlanCatalogue], *, prefix: str) -> APIRouter:
    """`plans` gives the catalogue as it is now."""
    api = APIRouter(prefix=prefix, tags=["models"], dependencies=[Depends(caller)])

    @api.get("/models", operation_id="list_models", summary="List the models")
    async def list_models() -> ModelList:
        """Every alias may be asked for under every plan; the lower of the asked one and the plan's own is served."""
        return ModelList(data=[_model(plan) for plan in plans().plans])

    @api.get("/models/{alias}", operation_id="read_model", summary="Read one model")
    async def read_model(alias: Annotated[str, Path(examples=["smart-route"])]) -> Model:
        """An unknown name is a 404 `model_not_found` that lists the aliases."""
        catalogue = plans()
        plan = catalogue.plan_of_alias(alias)
        if plan is None:
            raise ModelNotFound(alias, catalogue.aliases)
        return _model(plan)

    return api


def _model(plan: Plan) -> Model:
    return Model(id=plan.alias)
