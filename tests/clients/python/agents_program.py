"""The scenarios with OpenAI Agents: `agents_program.py chat|responses SCENARIO…`, prints JSON."""

import asyncio
import json
import os
import sys
from typing import Any

import openai
from agents import (
    Agent,
    AgentsException,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    SQLiteSession,
    function_tool,
    set_tracing_disabled,
)
from openai import AsyncOpenAI
from openai.types.responses import ResponseTextDeltaEvent
from pydantic import BaseModel

WEATHER = {"Oslo": "7 degrees", "Rome": "21 degrees"}


class Reading(BaseModel):
    """A weather reading."""

    city: str
    degrees: int


def _usage(result: Any) -> list[int]:
    usage = result.context_wrapper.usage
    return [usage.input_tokens, usage.output_tokens]


async def plain(model: Any) -> dict[str, Any]:
    result = await Runner.run(Agent(name="Plain", model=model), "Hello?")
    return {"texts": [result.final_output], "usage": _usage(result)}


async def stream(model: Any) -> dict[str, Any]:
    agent = Agent(name="Streaming", model=model, model_settings=ModelSettings(include_usage=True))
    result = Runner.run_streamed(agent, "Hello?")
    pieces = [
        event.data.delta
        async for event in result.stream_events()
        if event.type == "raw_response_event" and isinstance(event.data, ResponseTextDeltaEvent)
    ]
    assert result.final_output == "".join(pieces)
    return {"texts": [result.final_output], "usage": _usage(result), "pieces": len(pieces)}


async def _tools(model: Any, prompt: str) -> dict[str, Any]:
    called: list[str] = []

    def get_weather(city: str) -> str:
        """The weather of a city."""
        called.append(city)
        return WEATHER[city]

    agent = Agent(name="Weather", model=model, tools=[function_tool(get_weather)])
    result = await Runner.run(agent, prompt)
    return {"texts": [result.final_output], "called": called}


async def tool(model: Any) -> dict[str, Any]:
    return await _tools(model, "How is the weather in Oslo?")


async def parallel(model: Any) -> dict[str, Any]:
    return await _tools(model, "How is the weather in Oslo and Rome?")


async def structured(model: Any) -> dict[str, Any]:
    result = await Runner.run(Agent(name="Reader", model=model, output_type=Reading), "Read the weather.")
    return {"parsed": result.final_output.model_dump()}


async def turns(model: Any) -> dict[str, Any]:
    agent, session = Agent(name="Remembering", model=model), SQLiteSession("a-session")
    results = [await Runner.run(agent, prompt, session=session) for prompt in ("My name is Ada.", "What is my name?")]
    return {"texts": [result.final_output for result in results]}


PERFORMANCES = {
    "plain": plain,
    "stream": stream,
    "tool": tool,
    "parallel": parallel,
    "structured": structured,
    "turns": turns,
}


async def perform(model: Any, scenario: str) -> dict[str, Any]:
    try:
        return await PERFORMANCES[scenario](model)
    except openai.APIStatusError as error:
        return {"error": {"status": error.status_code, "code": error.code, "message": str(error)}}
    except openai.APIError as error:
        return {"error": {"status": None, "code": error.code, "message": str(error)}}
    except AgentsException as error:
        return {"error": {"status": None, "code": None, "message": str(error)}}


async def main() -> None:
    api, *scenarios = sys.argv[1:]
    set_tracing_disabled(True)
    kind = OpenAIResponsesModel if api == "responses" else OpenAIChatCompletionsModel
    model = kind(model=os.environ["MODEL"], openai_client=AsyncOpenAI())  # base URL and key are in the environment
    for scenario in scenarios:
        sys.stdout.write(json.dumps(await perform(model, scenario)) + "\n")


asyncio.run(main())
