"""The second question goes on from the first answer, which need not be sent again."""

import os

from openai import OpenAI

client = OpenAI(base_url="{{ base_url }}", api_key=os.environ["SMARTROUTE_TOKEN"])
first = client.responses.create(model="smart-route", input="Say hello.")
second = client.responses.create(model="smart-route", previous_response_id=first.id, input="And in French?")
print(second.output_text)
