"""How these tests call a provider: the real SDK, and plain posts to each format's path."""

import json
from typing import Any

import httpx
import openai

from devstack.provider import Provider

PATHS = {"chat": "chat/completions", "responses": "responses", "completions": "completions", "anthropic": "messages"}
HEADERS = {"anthropic-version": "2023-06-01", "x-api-key": "sk-test"}
Json = dict[str, Any]

# The least that each format asks with.
ASKED: dict[str, Json] = {
    "chat": {"messages": [{"role": "user", "content": "hi"}]},
    "responses": {"input": "hi", "store": False, "include": ["reasoning.encrypted_content"]},
    "completions": {"prompt": "hi"},
    "anthropic": {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 100},
}


def sdk(provider: Provider) -> openai.AsyncOpenAI:
    """A client of the provider that does not retry."""
    http_client = openai.DefaultAsyncHttpxClient(trust_env=False)
    return openai.AsyncOpenAI(base_url=provider.base_url, api_key="sk-test", http_client=http_client, max_retries=0)


async def ask(provider: Provider, wire: str, /, **fields: object) -> httpx.Response:
    """The answer to the least request in this format, with these fields besides."""
    body = {"model": "m", **ASKED[wire], **fields}
    return await post(provider, wire, body)


async def post(provider: Provider, wire: str, body: object) -> httpx.Response:
    """The answer to this body."""
    async with httpx.AsyncClient(timeout=5, trust_env=False, verify=False) as client:  # no certificates to load
        return await client.post(f"{provider.base_url}/{PATHS[wire]}", json=body, headers=HEADERS)


def events(response: httpx.Response) -> list[Json]:
    """The data of a stream's events, `[DONE]` left out."""
    lines = [line.removeprefix("data:").strip() for line in response.text.splitlines() if line.startswith("data:")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def spoken(wire: str, streamed: list[Json]) -> str:
    """The text that a client reads out of a stream."""
    match wire:
        case "chat":
            return "".join(choice["delta"].get("content") or "" for event in streamed for choice in event["choices"])
        case "completions":
            return "".join(choice["text"] for event in streamed for choice in event["choices"])
        case "responses":
            return "".join(event["delta"] for event in streamed if event["type"] == "response.output_text.delta")
    return "".join(event["delta"].get("text", "") for event in streamed if event["type"] == "content_block_delta")
