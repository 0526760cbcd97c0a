"""A loop of tool calls: one prompt, however many rounds it takes."""

import json
import os

from openai import OpenAI

client = OpenAI(base_url="{{ base_url }}", api_key=os.environ["SMARTROUTE_TOKEN"])


def get_weather(city: str) -> str:
    return f"21 degrees in {city}, sunny"


weather = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
messages = [{"role": "user", "content": "How is the weather in Lisbon?"}]
while True:
    completion = client.chat.completions.create(model="smart-route", messages=messages, tools=[weather])
    message = completion.choices[0].message
    messages.append(message)
    if not message.tool_calls:
        break
    for call in message.tool_calls:
        result = get_weather(**json.loads(call.function.arguments))
        messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
print(message.content)
