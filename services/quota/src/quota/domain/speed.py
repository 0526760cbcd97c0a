"""How fast prompts may come: the bucket of requests, counted in microseconds so that it is exact.

A bucket of n requests a minute is kept as one moment, when it is full again. Each request moves that moment on by the
same whole number of microseconds, and the bucket is empty when it is n of them away.
"""

MINUTE_MICROSECONDS = 60_000_000
# How soon another request of the account may have ended is anybody's guess.
IN_FLIGHT_RETRY_SECONDS = 1.0


def refill_microseconds(requests_per_minute: int) -> int:
    """How long one request takes to come back, rounded up: a fraction would let one more in now and then."""
    return -(-MINUTE_MICROSECONDS // requests_per_minute)


def bucket_room(debt_microseconds: int, requests_per_minute: int) -> int:
    """Requests left in the bucket that is full again in `debt_microseconds`."""
    missing = -(-max(debt_microseconds, 0) // refill_microseconds(requests_per_minute))
    return max(requests_per_minute - missing, 0)


def retry_after_seconds(debt_microseconds: int, requests_per_minute: int) -> float:
    """Seconds until the bucket has a whole request; 0 when it has one."""
    refill = refill_microseconds(requests_per_minute)
    return max(max(debt_microseconds, 0) - (requests_per_minute - 1) * refill, 0) / 1e6
