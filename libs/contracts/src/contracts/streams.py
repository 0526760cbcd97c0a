"""JetStream streams and durable consumers, declared once; `chassis.bus.provision` creates them."""

from dataclasses import dataclass
from typing import Literal

DAY_SECONDS = 86_400

# One settlement alone costs quota and billing as much as twenty at once, on cores that could serve the next request.
GATHER_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream on file store. Full means refused (`discard: new`): a settlement is never dropped for a newer one.

    `discard: old` is for what may be forgotten: the newest is kept. `read_by` are the services that read it from the
    start, without a durable.
    """

    name: str
    subjects: tuple[str, ...]
    max_bytes: int
    max_age_seconds: int = 0
    duplicate_window_seconds: int = 600
    discard: Literal["new", "old"] = "new"
    read_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Durable:
    """A pull consumer with explicit acknowledgement, shared by the replicas of `service`.

    A message that failed `max_deliver` times goes to DEAD_LETTERS, where staff can see and replay it. A bulk consumer
    waits `gather_seconds` after the first message of a batch for others to join it.
    """

    name: str
    stream: str
    subject: str
    service: str
    ack_wait_seconds: float = 10.0
    max_deliver: int = 10
    max_ack_pending: int = 4096
    gather_seconds: float = 0.0


# Billing compares the books with what the stream says.
REQUESTS = Stream(
    "REQUESTS",
    ("gateway.v1.request_settled",),
    max_bytes=4 * 1024**3,
    max_age_seconds=90 * DAY_SECONDS,
    read_by=("billing",),
)
ACCOUNTS = Stream("ACCOUNTS", ("gateway.v1.account_opened",), max_bytes=256 * 1024**2)
SUBSCRIPTIONS = Stream(
    "SUBSCRIPTIONS", ("billing.v1.subscription_changed", "billing.v1.prompts_granted"), max_bytes=256 * 1024**2
)
DEAD_LETTERS = Stream("DEAD_LETTERS", ("dead_letter.v1.>",), max_bytes=256 * 1024**2, read_by=("billing",))
DECISIONS = Stream(
    "DECISIONS",
    ("router.v1.requests_routed",),
    max_bytes=2 * 1024**3,
    max_age_seconds=7 * DAY_SECONDS,
    duplicate_window_seconds=120,
    discard="old",
)

STREAMS = (REQUESTS, ACCOUNTS, SUBSCRIPTIONS, DEAD_LETTERS, DECISIONS)


@dataclass(frozen=True, slots=True)
class Bucket:
    """A JetStream key-value bucket of the replicas of `service`, on file store.

    `max_age_seconds`: how long a value lives; 0: for ever.
    """

    name: str
    service: str
    max_bytes: int
    max_age_seconds: float = 0.0


# Which replica may try a target that was set aside: one at a time in the whole fleet.
ROUTER_PROBES = Bucket("router_probes", "router", max_bytes=1024**2, max_age_seconds=10.0)
# How answers turned out, by class of request and target: counted by all replicas together.
ROUTER_OUTCOMES = Bucket("router_outcomes", "router", max_bytes=64 * 1024**2)

BUCKETS = (ROUTER_PROBES, ROUTER_OUTCOMES)

QUOTA_REQUESTS = Durable(
    "quota_requests", "REQUESTS", "gateway.v1.request_settled", service="quota", gather_seconds=GATHER_SECONDS
)
QUOTA_SUBSCRIPTIONS = Durable(
    "quota_subscriptions", "SUBSCRIPTIONS", "billing.v1.subscription_changed", service="quota"
)
QUOTA_GRANTS = Durable("quota_grants", "SUBSCRIPTIONS", "billing.v1.prompts_granted", service="quota")
BILLING_REQUESTS = Durable(
    "billing_requests", "REQUESTS", "gateway.v1.request_settled", service="billing", gather_seconds=GATHER_SECONDS
)
BILLING_ACCOUNTS = Durable("billing_accounts", "ACCOUNTS", "gateway.v1.account_opened", service="billing")

DURABLES = (QUOTA_REQUESTS, QUOTA_SUBSCRIPTIONS, QUOTA_GRANTS, BILLING_REQUESTS, BILLING_ACCOUNTS)


def dead_letter_subject(durable: Durable) -> str:
    """Where a message goes that `durable` gave up on."""
    return f"dead_letter.v1.{durable.name}"


def discarded_subject(durable: Durable) -> str:
    """Where a dead letter of `durable` is kept that staff decided to drop."""
    return f"dead_letter.v1.discarded.{durable.name}"
