"""The same request twice under one key: answered once, charged once."""

import os
from uuid import uuid4

from openai import OpenAI

client = OpenAI(base_url="{{ base_url }}", api_key=os.environ["SMARTROUTE_TOKEN"])
key = str(uuid4())
for _ in range(2):
    answer = client.chat.completions.with_raw_response.create(
        model="smart-route",
        messages=[{"role": "user", "content": "Say hello."}],
        extra_headers={"Idempotency-Key": key},
    )
    print("idempotent-replayed:", answer.headers.get("idempotent-replayed", "false"))
