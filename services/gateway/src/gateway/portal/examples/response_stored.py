"""Read a stored response and what led to it, then delete it."""

import os

from openai import OpenAI

client = OpenAI(base_url="{{ base_url }}", api_key=os.environ["SMARTROUTE_TOKEN"])
created = client.responses.create(model="smart-route", input="Say hello.")

stored = client.responses.retrieve(created.id)
items = client.responses.input_items.list(created.id)
print(stored.output_text, [item.type for item in items])

client.responses.delete(created.id)
print("deleted", created.id)
