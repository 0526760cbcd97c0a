"""Ask for the strongest alias; the answer names the one that served."""

import os

from openai import OpenAI

client = OpenAI(base_url="{{ base_url }}", api_key=os.environ["SMARTROUTE_TOKEN"])
completion = client.chat.completions.create(
    model="smart-route-infinite",
    messages=[{"role": "user", "content": "Say hello."}],
)
print("served by", completion.model)
