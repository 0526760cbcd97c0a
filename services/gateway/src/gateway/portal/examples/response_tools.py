"""Results of tools, and nothing else, after the response that called them."""

import json
import os

from openai import OpenAI

client = OpenAI(base_url="{{ base_url }}", api_key=os.environ["SMARTROUTE_TOKEN"])


def get_weather(city: str) -> str:
    return f"21 degrees in {city}, sunny"


weather = {
    "type": "function",
    "name": "get_weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}
response = client.responses.create(model="smart-route", input="How is the weather in Lisbon?", tools=[weather])
while results := [
    {"type": "function_call_output", "call_id": item.call_id, "output": get_weather(**json.loads(item.arguments))}
    for item in response.output
    if item.type == "function_call"
]:
    response = client.responses.create(
        model="smart-route",
        previous_response_id=response.id,
        input=results,
        tools=[weather],
    )
print(response.output_text)
