"""What the headers of an answer say."""

import os

from openai import OpenAI

client = OpenAI(base_url="{{ base_url }}", api_key=os.environ["SMARTROUTE_TOKEN"])
answer = client.chat.completions.with_raw_response.create(
    model="smart-route",
    messages=[{"role": "user", "content": "Say hello."}],
)
for name, value in answer.headers.items():
    if name.startswith(("x-request-id", "x-ratelimit", "x-smartroute")):
        print(f"{name}: {value}")
print(answer.parse().choices[0].message.content)
