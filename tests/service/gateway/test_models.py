"""The aliases that can be asked for, over HTTP."""

from pathlib import Path

import openai
import pytest

from devstack.pytest_plugin import FreshDatabase
from gateway.auth import USAGE_READ
from tests.service.gateway.chat_house import house, target
from tests.service.gateway.gateway_process import Gateway

SEVEN = [
    "smart-route-mini",
    "smart-route",
    "smart-route-focus",
    "smart-route-deep",
    "smart-route-ultra",
    "smart-route-turbo",
    "smart-route-infinite",
]
BASES = ("/v1", "/api/smart-routing-ai-model/v1")


async def test_the_seven_are_listed_and_readable_at_both_base_paths(
    fresh_database: FreshDatabase, nats_url: str
) -> None:
    gateway = Gateway(await fresh_database("gateway"), nats_url)
    token = await gateway.token(scopes=(USAGE_READ,))
    async with gateway.running() as process, process.client(token) as client:
        for base in BASES:
            listed = (await client.get(f"{base}/models")).json()
            assert listed["object"] == "list"
            assert [model["id"] for model in listed["data"]] == SEVEN
            for model in listed["data"]:
                assert model == (await client.get(f"{base}/models/{model['id']}")).json()
                # Nobody can be asked what the aliases can do: this gateway has no router.
                assert (model["context_window"], model["capabilities"]["tools"]) == (None, None)
                assert model["endpoints"] == ["/v1/chat/completions", "/v1/completions", "/v1/responses"]
                assert (model["object"], model["owned_by"]) == ("model", "smart-route")
                assert isinstance(model["created"], int)


async def test_an_unknown_model_is_a_404_that_lists_the_seven(fresh_database: FreshDatabase, nats_url: str) -> None:
    gateway = Gateway(await fresh_database("gateway"), nats_url)
    token = await gateway.token()
    async with gateway.running() as process, process.client(token) as client:
        response = await client.get("/v1/models/gpt-5")
        with_slash = await client.get("/v1/models/a%2Fb")
        refused = await client.get("/v1/models", headers={"authorization": ""})
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (404, "model_not_found", "model")
    assert all(f"`{alias}`" in error["message"] for alias in SEVEN)
    assert with_slash.status_code == 404
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")


async def test_the_openai_client_reads_models_and_understands_our_errors(
    fresh_database: FreshDatabase, nats_url: str
) -> None:
    gateway = Gateway(await fresh_database("gateway"), nats_url)
    token = await gateway.token()
    async with gateway.running() as process:
        base_url = f"{process.origin}/v1"
        async with openai.AsyncOpenAI(base_url=base_url, api_key=token, max_retries=0) as client:
            assert [model.id async for model in await client.models.list()] == SEVEN
            assert (await client.models.retrieve("smart-route")).owned_by == "smart-route"
            with pytest.raises(openai.NotFoundError) as unknown:
                await client.models.retrieve("gpt-5")
        async with openai.AsyncOpenAI(base_url=base_url, api_key="sr_live_no", max_retries=0) as client:
            with pytest.raises(openai.AuthenticationError) as refused:
                await client.models.list()
    assert (unknown.value.code, unknown.value.param) == ("model_not_found", "model")
    assert unknown.value.request_id == unknown.value.response.headers["x-request-id"]
    assert refused.value.code == "invalid_api_key"


async def test_the_windows_are_those_of_the_smallest_target_and_codex_reads_them(
    fresh_database: FreshDatabase, nats_url: str, tmp_path: Path
) -> None:
    targets = {
        "large": target("http://127.0.0.1:1/v1", "large", context_window=200_000),
        "small": target("http://127.0.0.1:1/v1", "small", context_window=32_768, dialect={"takes_images": False}),
    }
    async with house(nats_url, fresh_database, tmp_path, targets) as home:
        headers = {"authorization": f"Bearer {home.token}"}
        found = {}
        for path in ("models", "models?client_version=0.169.0", "codex/model-catalog", "models/smart-route"):
            async with home.session.get(f"{home.base_url}/{path}", headers=headers) as response:
                found[path] = await response.json()
    model = found["models/smart-route"]
    assert (model["context_window"], model["input_modalities"], model["plan"]) == (32_768, ["text", "image"], "plus")
    assert model["capabilities"]["tools"] is True
    catalog = found["codex/model-catalog"]["models"]
    assert {entry["slug"]: entry["context_window"] for entry in catalog} == dict.fromkeys(SEVEN, 32_768)
    assert found["models"]["models"] is None
    assert found["models?client_version=0.169.0"]["models"] == catalog
