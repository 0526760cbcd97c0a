"""One question, one answer."""

import os

from openai import OpenAI

client = OpenAI(base_url="{{ base_url }}", api_key=os.environ["SMARTROUTE_TOKEN"])
completion = client.chat.completions.create(
    model="smart-route",
    messages=[{"role": "user", "content": "Say hello."}],
)
print(completion.choices[0].message.content)
