"""The scenarios in the official SDK for Python, over chat completions and over Responses, as its users write them."""

import json
from collections.abc import Awaitable, Callable
from typing import Any, Literal

import openai
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionMessageFunctionToolCall, ChatCompletionMessageParam
from openai.types.responses import ResponseInputParam, ResponseUsage
from pydantic import BaseModel

from tests.clients.endpoint import MODEL
from tests.clients.scenarios import WEATHER, Answered

Api = Literal["chat", "responses"]
_PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
_WEATHER_PROMPTS = {"tool": "How is the weather in Oslo?", "parallel": "How is the weather in Oslo and Rome?"}


class Reading(BaseModel):
    """The shape that is asked for."""

    city: str
    degrees: int


async def perform(client: AsyncOpenAI, scenario: str, *, api: Api) -> Answered:
    """Do it, and say what came of it; an error of the SDK is something that came of it."""
    try:
        if scenario in _WEATHER_PROMPTS:
            return await (_chat_tools if api == "chat" else _responses_tools)(client, _WEATHER_PROMPTS[scenario])
        return await _PERFORMANCES[api, scenario](client)
    except openai.APIStatusError as error:
        return Answered(error={"status": error.status_code, "code": error.code, "message": str(error)})
    except openai.APIError as error:
        return Answered(error={"status": None, "code": error.code, "message": str(error)})


async def _chat_plain(client: AsyncOpenAI) -> Answered:
    completion = await client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Hello?"}])
    assert completion.usage is not None
    usage = (completion.usage.prompt_tokens, completion.usage.completion_tokens)
    return Answered([completion.choices[0].message.content or ""], usage=usage)


async def _chat_stream(client: AsyncOpenAI) -> Answered:
    pieces: list[str] = []
    usage = None
    stream = await client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "Hello?"}],
        stream=True,
        stream_options={"include_usage": True},
    )
    async for chunk in stream:
        pieces += [choice.delta.content for choice in chunk.choices if choice.delta.content]
        if chunk.usage is not None:
            usage = (chunk.usage.prompt_tokens, chunk.usage.completion_tokens)
    return Answered(["".join(pieces)], usage=usage, pieces=len(pieces))


async def _chat_tools(client: AsyncOpenAI, prompt: str) -> Answered:
    messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": prompt}]
    called: list[str] = []
    while True:
        completion = await client.chat.completions.create(
            model=MODEL,
            messages=messages,
            tools=[{"type": "function", "function": {"name": "get_weather", "parameters": _PARAMETERS}}],
        )
        message = completion.choices[0].message
        if not message.tool_calls:
            return Answered([message.content or ""], called)
        messages.append(message.to_dict())  # type: ignore[arg-type]  # what the SDK's own documentation does
        for call in message.tool_calls:
            assert isinstance(call, ChatCompletionMessageFunctionToolCall)
            called.append(json.loads(call.function.arguments)["city"])
            messages.append({"role": "tool", "tool_call_id": call.id, "content": WEATHER[called[-1]]})


async def _chat_structured(client: AsyncOpenAI) -> Answered:
    completion = await client.chat.completions.parse(
        model=MODEL, messages=[{"role": "user", "content": "Read the weather."}], response_format=Reading
    )
    parsed = completion.choices[0].message.parsed
    return Answered(parsed=parsed.model_dump() if parsed else None)


async def _chat_turns(client: AsyncOpenAI) -> Answered:
    messages: list[ChatCompletionMessageParam] = []
    texts: list[str] = []
    for prompt in ("My name is Ada.", "What is my name?"):
        messages.append({"role": "user", "content": prompt})
        completion = await client.chat.completions.create(model=MODEL, messages=messages)
        texts.append(completion.choices[0].message.content or "")
        messages.append({"role": "assistant", "content": texts[-1]})
    return Answered(texts)


async def _responses_plain(client: AsyncOpenAI) -> Answered:
    response = await client.responses.create(model=MODEL, input="Hello?")
    return Answered([response.output_text], usage=_tokens(response.usage))


async def _responses_stream(client: AsyncOpenAI) -> Answered:
    pieces: list[str] = []
    usage = None
    async with client.responses.stream(model=MODEL, input="Hello?") as stream:
        async for event in stream:
            if event.type == "response.output_text.delta":
                pieces.append(event.delta)
            elif event.type == "response.completed":
                usage = _tokens(event.response.usage)
            elif event.type == "response.failed":
                failure = event.response.error
                return Answered(error={"status": None, "code": failure and failure.code, "message": str(failure)})
        response = await stream.get_final_response()
    assert response.output_text == "".join(pieces)
    return Answered([response.output_text], usage=usage, pieces=len(pieces))


async def _responses_tools(client: AsyncOpenAI, prompt: str) -> Answered:
    items: list[Any] = [{"role": "user", "content": prompt}]
    called: list[str] = []
    while True:
        response = await client.responses.create(
            model=MODEL,
            input=items,
            tools=[{"type": "function", "name": "get_weather", "parameters": _PARAMETERS, "strict": True}],
        )
        calls = [item for item in response.output if item.type == "function_call"]
        if not calls:
            return Answered([response.output_text], called)
        items += response.output
        for call in calls:
            called.append(json.loads(call.arguments)["city"])
            items.append({"type": "function_call_output", "call_id": call.call_id, "output": WEATHER[called[-1]]})


async def _responses_structured(client: AsyncOpenAI) -> Answered:
    response = await client.responses.parse(model=MODEL, input="Read the weather.", text_format=Reading)
    return Answered(parsed=response.output_parsed.model_dump() if response.output_parsed else None)


async def _responses_turns(client: AsyncOpenAI) -> Answered:
    items: ResponseInputParam = []
    texts: list[str] = []
    for prompt in ("My name is Ada.", "What is my name?"):
        items.append({"role": "user", "content": prompt})
        response = await client.responses.create(model=MODEL, input=items)
        texts.append(response.output_text)
        items += response.output  # type: ignore[arg-type]  # what the SDK's own documentation does
    return Answered(texts)


def _tokens(usage: ResponseUsage | None) -> tuple[int, int]:
    assert usage is not None
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens
    return usage.input_tokens, usage.output_tokens


_PERFORMANCES: dict[tuple[Api, str], Callable[[AsyncOpenAI], Awaitable[Answered]]] = {
    ("chat", "plain"): _chat_plain,
    ("chat", "stream"): _chat_stream,
    ("chat", "structured"): _chat_structured,
    ("chat", "turns"): _chat_turns,
    ("responses", "plain"): _responses_plain,
    ("responses", "stream"): _responses_stream,
    ("responses", "structured"): _responses_structured,
    ("responses", "turns"): _responses_turns,
}
