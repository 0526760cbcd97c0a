"""Tell the failures apart by their code."""

import os

from openai import APIStatusError, OpenAI, RateLimitError

client = OpenAI(base_url="{{ base_url }}", api_key=os.environ["SMARTROUTE_TOKEN"])
try:
    client.chat.completions.create(model="no-such-model", messages=[{"role": "user", "content": "Say hello."}])
except RateLimitError as error:
    print("spent or too fast:", error.code, "retry after", error.response.headers["retry-after"], "s")
except APIStatusError as error:
    print(error.status_code, error.code, error.param, error.request_id)
