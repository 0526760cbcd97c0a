"""Ask, then read how that request ended and what it cost."""

import json
import os
from urllib.request import Request, urlopen

from openai import OpenAI

client = OpenAI(base_url="{{ base_url }}", api_key=os.environ["SMARTROUTE_TOKEN"])
answer = client.chat.completions.with_raw_response.create(
    model="smart-route",
    messages=[{"role": "user", "content": "Say hello."}],
)
request_id = answer.headers["x-request-id"]

headers = {"Authorization": f"Bearer {os.environ['SMARTROUTE_TOKEN']}"}
with urlopen(Request(f"{{ base_url }}/receipts/{request_id}", headers=headers)) as found:
    receipt = json.load(found)
print(receipt["outcome"], receipt["prompts"], receipt["reason"])
