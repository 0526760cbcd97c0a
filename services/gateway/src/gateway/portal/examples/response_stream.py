"""Events by their type; the last one has the whole response."""

import os

from openai import OpenAI

client = OpenAI(base_url="{{ base_url }}", api_key=os.environ["SMARTROUTE_TOKEN"])
for event in client.responses.create(model="smart-route", input="Say hello.", stream=True):
    if event.type == "response.output_text.delta":
        print(event.delta, end="", flush=True)
    elif event.type == "response.completed":
        print("\n", event.response.status, sep="")
    elif event.type == "response.failed":
        print("\nfailed:", event.response.error)
