"""Leave a stream after its first words: the model is stopped, too."""

import os

from openai import OpenAI

client = OpenAI(base_url="{{ base_url }}", api_key=os.environ["SMARTROUTE_TOKEN"])
stream = client.chat.completions.create(
    model="smart-route",
    messages=[{"role": "user", "content": "Tell me a long story."}],
    stream=True,
)
with stream:
    for chunk in stream:
        if chunk.choices and chunk.choices[0].delta.content:
            print("stopped after:", chunk.choices[0].delta.content)
            break
