"""The aliases, weakest first."""

import os

from openai import OpenAI

client = OpenAI(base_url="{{ base_url }}", api_key=os.environ["SMARTROUTE_TOKEN"])
for model in client.models.list():
    print(model.id)
