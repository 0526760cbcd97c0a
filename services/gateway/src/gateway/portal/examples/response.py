"""A response, stored unless `store` is false."""

import os

from openai import OpenAI

client = OpenAI(base_url="{{ base_url }}", api_key=os.environ["SMARTROUTE_TOKEN"])
response = client.responses.create(model="smart-route", instructions="Be brief.", input="Say hello.")
print(response.id, response.output_text)
