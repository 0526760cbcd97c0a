"""What the tests of this folder tell all services alike."""

from tests import patience

ENVIRONMENT = {
    # Longer than any answer here: what is open when a gateway is told to stop is finished.
    "GATEWAY_GRACE_SECONDS": "60",
    **patience.ENVIRONMENT,
}
