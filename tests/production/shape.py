"""What the tests of this folder tell all services alike."""

ENVIRONMENT = {
    # Longer than any answer here: what is open when a gateway is told to stop is finished.
    "GATEWAY_GRACE_SECONDS": "60",
    # All of it shares two cores, of which a process that starts takes one for seconds: what is slow is not lost.
    "GATEWAY_RESERVE_TIMEOUT_SECONDS": "10",
    "QUOTA_RESERVE_DEADLINE_SECONDS": "9",
    "GATEWAY_CHOOSE_TIMEOUT_SECONDS": "10",
    "GATEWAY_TOKEN_LOOKUP_TIMEOUT_SECONDS": "10",
}
