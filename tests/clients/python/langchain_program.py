"""The scenarios with ChatOpenAI of LangChain: `langchain_program.py chat|responses SCENARIO…`, prints JSON."""

import json
import os
import sys
from typing import Any

import openai
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import StructuredTool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

WEATHER = {"Oslo": "7 degrees", "Rome": "21 degrees"}


class Reading(BaseModel):
    """A weather reading."""

    city: str
    degrees: int


def get_weather(city: str) -> str:
    """The weather of a city."""
    return WEATHER[city]


def _words(message: BaseMessage) -> str:
    return str(message.text)


def _usage(message: Any) -> list[int]:
    return [message.usage_metadata["input_tokens"], message.usage_metadata["output_tokens"]]


def plain(model: ChatOpenAI) -> dict[str, Any]:
    message = model.invoke("Hello?")
    return {"texts": [_words(message)], "usage": _usage(message)}


def stream(model: ChatOpenAI) -> dict[str, Any]:
    pieces, whole = [], None
    for chunk in model.stream("Hello?"):
        pieces += [_words(chunk)] if _words(chunk) else []
        whole = chunk if whole is None else whole + chunk
    return {"texts": ["".join(pieces)], "usage": _usage(whole), "pieces": len(pieces)}


def _tools(model: ChatOpenAI, prompt: str) -> dict[str, Any]:
    weather = StructuredTool.from_function(get_weather)
    bound = model.bind_tools([weather])
    messages: list[BaseMessage] = [HumanMessage(prompt)]
    called: list[str] = []
    while True:
        answer = bound.invoke(messages)
        assert isinstance(answer, AIMessage)
        if not answer.tool_calls:
            return {"texts": [_words(answer)], "called": called}
        messages.append(answer)
        for call in answer.tool_calls:
            called.append(call["args"]["city"])
            result = weather.invoke(call)
            assert isinstance(result, ToolMessage)
            messages.append(result)


def tool(model: ChatOpenAI) -> dict[str, Any]:
    return _tools(model, "How is the weather in Oslo?")


def parallel(model: ChatOpenAI) -> dict[str, Any]:
    return _tools(model, "How is the weather in Oslo and Rome?")


def structured(model: ChatOpenAI) -> dict[str, Any]:
    reading: Any = model.with_structured_output(Reading, method="json_schema").invoke("Read the weather.")
    return {"parsed": reading.model_dump()}


def turns(model: ChatOpenAI) -> dict[str, Any]:
    messages: list[BaseMessage] = []
    texts = []
    for prompt in ("My name is Ada.", "What is my name?"):
        messages.append(HumanMessage(prompt))
        messages.append(model.invoke(messages))
        texts.append(_words(messages[-1]))
    return {"texts": texts}


PERFORMANCES = {
    "plain": plain,
    "stream": stream,
    "tool": tool,
    "parallel": parallel,
    "structured": structured,
    "turns": turns,
}


def perform(model: ChatOpenAI, scenario: str) -> dict[str, Any]:
    try:
        return PERFORMANCES[scenario](model)
    except openai.APIStatusError as error:
        return {"error": {"status": error.status_code, "code": error.code, "message": str(error)}}
    except openai.APIError as error:
        return {"error": {"status": None, "code": error.code, "message": str(error)}}
    except ValueError as error:  # what LangChain makes of `response.failed`
        return {"error": {"status": None, "code": None, "message": str(error)}}


def main() -> None:
    api, *scenarios = sys.argv[1:]
    # The base URL and the key are read from the environment, as by most programs of LangChain's users.
    model = ChatOpenAI(model=os.environ["MODEL"], use_responses_api=api == "responses", stream_usage=True)
    for scenario in scenarios:
        sys.stdout.write(json.dumps(perform(model, scenario)) + "\n")


main()
