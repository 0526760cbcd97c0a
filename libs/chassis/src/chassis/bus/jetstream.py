"""What JetStream's API is asked besides messages: requests and answers in JSON, over the inbox that we have."""

import json
from collections.abc import Mapping
from typing import Any

from chassis.bus.connection import Bus
from chassis.bus.errors import BusError

ANSWER_SECONDS = 5.0

# Server error codes: "no message found", when one is read and when one is deleted.
NO_SUCH_MESSAGE = (10037, 10057)


# JetStream's answers are JSON objects of many shapes.
async def api(
    bus: Bus, verb: str, request: Mapping[str, object] | None = None, *, may_miss: bool = False
) -> dict[str, Any]:
    """The answer of `$JS.API.<verb>`. Raises `BusError` for a refusal; with `may_miss` an absent message is none."""
    subject = f"$JS.API.{verb}"
    data = json.dumps(request).encode() if request else b""
    reply = await bus.request(subject, data, headers=None, timeout_seconds=ANSWER_SECONDS)
    answer: dict[str, Any] = json.loads(reply.data)
    error = answer.get("error")
    if error is not None and not (may_miss and error.get("err_code") in NO_SUCH_MESSAGE):
        raise BusError(f"{subject}: {error.get('description', 'refused')}")
    return answer
