"""An answer in a shape of your own."""

import json
import os

from openai import OpenAI

client = OpenAI(base_url="{{ base_url }}", api_key=os.environ["SMARTROUTE_TOKEN"])
completion = client.chat.completions.create(
    model="smart-route",
    messages=[{"role": "user", "content": "The capital of Portugal, and its country."}],
    response_format={
        "type": "json_schema",
        "json_schema": {
            "name": "place",
            "strict": True,
            "schema": {
                "type": "object",
                "properties": {"city": {"type": "string"}, "country": {"type": "string"}},
                "required": ["city", "country"],
                "additionalProperties": False,
            },
        },
    },
)
place = json.loads(completion.choices[0].message.content)
print(place["city"], "is in", place["country"])
