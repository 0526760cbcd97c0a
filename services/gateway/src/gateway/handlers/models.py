"""`GET /models`, `GET /models/{alias}` and `GET /codex/model-catalog`: the aliases that can be asked for."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, Field

from contracts.plans import Plan, PlanCatalogue
from contracts.router import AliasCard
from gateway.codex import model_catalog
from gateway.errors import ModelNotFound
from gateway.handlers.caller import Dependency

# OpenAI's clients want a time; the aliases are older than any account and do not change.
CREATED = 1_767_225_600
OWNER = "smart-route"
ENDPOINTS = ("/v1/chat/completions", "/v1/completions", "/v1/responses")

ReadCards = Callable[[], Awaitable[Mapping[str, AliasCard]]]
"""What is known of the aliases; those that nothing is known of are left out."""


class Capabilities(BaseModel):
    """What requests for an alias may contain. Null: not known."""

    tools: bool | None
    parallel_tool_calls: bool | None
    structured_output: bool | None
    reasoning: bool | None


class Model(BaseModel):
    """One alias: OpenAI's fields, and what it can do. Which provider answers behind it is not part of the interface."""

    id: str = Field(examples=["smart-route"])
    object: Literal["model"] = "model"
    created: int = Field(CREATED, description="Unix time in seconds")
    owned_by: str = OWNER
    name: str = Field(examples=["Smart-Route"])
    description: str = Field(description="What it fits best")
    power: str
    plan: str = Field(description="The smallest plan that is served by it")
    context_window: int | None = Field(description="Tokens of input and output together; null: not known")
    max_output_tokens: int | None
    input_modalities: list[str]
    output_modalities: list[str] = ["text"]
    capabilities: Capabilities
    endpoints: list[str] = list(ENDPOINTS)


class ModelList(BaseModel):
    """All aliases, the least powerful first. `models` is for Codex CLI, which names its version in the query."""

    object: Literal["list"] = "list"
    data: list[Model]
    models: list[dict[str, Any]] | None = None


class ModelCatalog(BaseModel):
    """The content of a `model_catalog_json` file for Codex CLI."""

    models: list[dict[str, Any]]


def build_models(
    caller: Dependency, plans: Callable[[], PlanCatalogue], read_cards: ReadCards, *, prefix: str
) -> APIRouter:
    """`plans` gives the catalogue as it is now."""
    api = APIRouter(prefix=prefix, tags=["models"], dependencies=[Depends(caller)])

    async def known() -> list[tuple[Plan, AliasCard | None]]:
        cards = await read_cards()
        return [(plan, cards.get(plan.alias)) for plan in plans().plans]

    @api.get("/models", operation_id="list_models", summary="List the models", response_model_exclude_none=False)
    async def list_models(
        client_version: Annotated[str | None, Query(description="Sent by Codex CLI")] = None,
    ) -> ModelList:
        """Every alias may be asked for under every plan; the lower of the asked one and the plan's own is served."""
        found = await known()
        catalog = model_catalog(found)["models"] if client_version is not None else None
        return ModelList(data=[_model(plan, card) for plan, card in found], models=catalog)

    @api.get("/models/{alias}", operation_id="read_model", summary="Read one model")
    async def read_model(alias: Annotated[str, Path(examples=["smart-route"])]) -> Model:
        """An unknown name is a 404 `model_not_found` that lists the aliases."""
        catalogue = plans()
        plan = catalogue.plan_of_alias(alias)
        if plan is None:
            raise ModelNotFound(alias, catalogue.aliases)
        return _model(plan, (await read_cards()).get(alias))

    @api.get("/codex/model-catalog", operation_id="read_codex_catalog", summary="Read the catalogue for Codex CLI")
    async def read_codex_catalog() -> ModelCatalog:
        """Save it and name it in `config.toml` as `model_catalog_json`: Codex then knows the true windows."""
        return ModelCatalog.model_validate(model_catalog(await known()))

    return api


def _model(plan: Plan, card: AliasCard | None) -> Model:
    return Model(
        id=plan.alias,
        name=plan.public_name,
        description=plan.best_fit,
        power=plan.power,
        plan=plan.name,
        context_window=card.context_window if card is not None else None,
        max_output_tokens=card.max_output_tokens if card is not None else None,
        input_modalities=["text", "image"] if card is not None and card.takes_images else ["text"],
        capabilities=Capabilities(
            tools=card.takes_tools if card is not None else None,
            parallel_tool_calls=card.takes_parallel_calls if card is not None else None,
            structured_output=card.takes_schema if card is not None else None,
            reasoning=card.replays_reasoning if card is not None else None,
        ),
    )
