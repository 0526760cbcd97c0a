"""A text, gone on with."""

import os

from openai import OpenAI

client = OpenAI(base_url="{{ base_url }}", api_key=os.environ["SMARTROUTE_TOKEN"])
completion = client.completions.create(model="smart-route", prompt="Once upon a time", max_tokens=64)
print(completion.choices[0].text)
