"""How long services wait for each other in tests that are not about that.

Everything shares a few cores, of which a process that starts takes one for seconds, and a disk: with the time-outs of
production a request is refused now and then, and a test of something else fails. Time-outs have tests of their own.
"""

from typing import Any

_ASKED = ("token_lookup", "reserve", "choose", "settle", "usage", "receipt", "responses", "idempotency")

GATEWAY: dict[str, Any] = {f"{asked}_timeout_seconds": 10.0 for asked in _ASKED}
# Less than the gateway waits, twice: it asks once more.
QUOTA: dict[str, Any] = {"reserve_deadline_seconds": 4.5}
ENVIRONMENT = {
    **{f"GATEWAY_{name}".upper(): str(value) for name, value in GATEWAY.items()},
    **{f"QUOTA_{name}".upper(): str(value) for name, value in QUOTA.items()},
}
