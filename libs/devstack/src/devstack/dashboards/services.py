"""One dashboard per service: what it does, how long that takes, what it waits for."""

from devstack.dashboards.panels import Json, Query, Row, dashboard, graph
from devstack.dashboards.queries import (
    highest,
    messages_row,
    process_row,
    quantile,
    quantiles,
    rate,
    total,
)

_ASKED = "messaging_client_operation_duration_seconds"


def gateway() -> Json:
    rows = (
        _gateway_requests(),
        _asks(),
        _gateway_calls(),
        _gateway_settling(),
        process_row("gateway"),
    )
    says = "HTTP in, streams out: requests, what it asks others, calls of providers, settlements."
    return dashboard("smart-route-gateway", "Smart Route: gateway", says, rows)


def quota() -> Json:
    rows = (_reserving(), _holding(), messages_row("quota", "quota_.*"), process_row("quota"))
    says = "Windows and reservations: what is decided, how long a commit takes, what is held."
    return dashboard("smart-route-quota", "Smart Route: quota", says, rows)


def router() -> Json:
    rows = (_choosing(), _targets(), process_row("router"))
    says = "Where requests go: choices, and how targets do."
    return dashboard("smart-route-router", "Smart Route: router", says, rows)


def billing() -> Json:
    rows = (_posting(), _paying(), messages_row("billing", "billing_.*"), process_row("billing"))
    says = "Settlements become ledger lines; payments become plans."
    return dashboard("smart-route-billing", "Smart Route: billing", says, rows)


def _gateway_requests() -> Row:
    return Row(
        "Requests",
        (
            graph(
                "By route",
                "Responses that ended.",
                rate("http_server_request_duration_seconds_count", 'job="gateway"', by="http_route"),
                unit="reqps",
            ),
            graph(
                "By status",
                "Of all routes.",
                rate("http_server_request_duration_seconds_count", 'job="gateway"', by="http_response_status_code"),
                unit="reqps",
            ),
            graph(
                "Open by replica",
                "What the number of replicas follows.",
                total("http_server_active_requests", 'job="gateway"', by="instance"),
            ),
        ),
    )


def _asks() -> Row:
    job = 'job="gateway"'
    failed = f'{job},error_type!=""'
    return Row(
        "Asks over NATS",
        (
            graph(
                "Time by subject",
                "Of an ask with its reply, or of a settlement until the stream has it: 99th percentile.",
                quantile(0.99, _ASKED, job, by="messaging_destination_name"),
                unit="s",
            ),
            graph(
                "Failed",
                "No answer in time, or nobody there.",
                rate(f"{_ASKED}_count", failed, by="messaging_destination_name, error_type"),
                unit="cps",
            ),
            graph(
                "Tokens looked up",
                "By where the answer came from.",
                rate("smartroute_token_cache_lookups_total", by="result"),
                unit="cps",
            ),
            graph(
                "By a last plan",
                "Requests that went without the router's word.",
                rate("smartroute_last_plans_total", legend="last plans"),
                unit="reqps",
            ),
        ),
    )


def _gateway_calls() -> Row:
    return Row(
        "Calls of providers",
        (
            graph(
                "Answers",
                "Of one request, all calls together.",
                *quantiles("gen_ai_client_operation_duration_seconds", by="gen_ai_request_model"),
                unit="s",
            ),
            graph(
                "Failed answers",
                "By the error that the client was told.",
                rate("gen_ai_client_operation_duration_seconds_count", 'error_type!=""', by="error_type"),
                unit="reqps",
            ),
            graph(
                "Beside a silent first call",
                "By what became of the second one.",
                rate("smartroute_hedges_total", by="result"),
                unit="cps",
            ),
            graph(
                "Second tries not made",
                "Their budget was spent.",
                rate("smartroute_retries_refused_total", legend="refused"),
                unit="cps",
            ),
        ),
    )


def _gateway_settling() -> Row:
    return Row(
        "Settlements",
        (
            graph(
                "Kept",
                "Not in the stream yet. While there is one, its replica admits nothing.",
                total("smartroute_settlements_kept", by="instance"),
            ),
            graph(
                "In memory only",
                "Neither stream nor journal took them.",
                rate("smartroute_settlements_unwritten_total", legend="unwritten"),
                unit="cps",
            ),
            graph(
                "Outlived their lease",
                "Answers that quota had given up before they ended.",
                rate("smartroute_leases_gone_total", legend="gone"),
                unit="cps",
            ),
            graph(
                "Passwords hashed",
                "Each is a tenth of a second of CPU: sign-ins, or somebody who guesses.",
                rate("smartroute_portal_password_hashes_total", by="work"),
                unit="cps",
            ),
        ),
    )


def _reserving() -> Row:
    return Row(
        "Reservations",
        (
            graph(
                "Decided",
                "By what was decided.",
                rate("smartroute_quota_reservations_total", by="smartroute_admission"),
                unit="reqps",
            ),
            graph(
                "Time of a commit",
                "One for all asks that wait: what a request waits for in quota.",
                *quantiles("smartroute_quota_commit_duration_seconds"),
                unit="s",
            ),
            graph(
                "Size of a batch",
                "Asks that shared a commit. Large ones mean that Postgres is slow for what is asked.",
                *quantiles("smartroute_quota_batch_size"),
            ),
        ),
    )


def _holding() -> Row:
    return Row(
        "What is held",
        (
            graph(
                "Oldest prompt held",
                "A long answer may take that long; a lease is renewed meanwhile.",
                highest("smartroute_quota_reservations_oldest_seconds", legend="oldest"),
                unit="s",
            ),
            graph(
                "Leases that ran out",
                "And were not ended yet: nothing, but for a moment.",
                highest("smartroute_quota_reservations_overdue", legend="overdue"),
            ),
            graph(
                "Expired",
                "Requests whose gateway was gone.",
                rate("smartroute_quota_expired_total", legend="expired"),
                unit="cps",
            ),
            graph(
                "Settlements folded",
                "By what became of them.",
                rate("smartroute_quota_settlements_total", by="result"),
                unit="cps",
            ),
        ),
    )


def _choosing() -> Row:
    return Row(
        "Choices",
        (
            graph(
                "By tier and rule",
                "Why a request went where it went.",
                rate("smartroute_router_choices_total", by="smartroute_route_tier, smartroute_route_rule"),
                unit="reqps",
            ),
            graph(
                "Refused",
                "Nothing behind the model could take the request.",
                rate("smartroute_router_choices_total", 'error_type!=""', by="error_type"),
                unit="reqps",
            ),
            graph(
                "Time to choose",
                "Without the way over NATS.",
                *quantiles("messaging_process_duration_seconds", 'job="router"', by="messaging_destination_name"),
                unit="s",
            ),
            graph(
                "Decisions not recorded",
                "Missing from `decisions` and `replay`.",
                rate("smartroute_router_decisions_dropped_total", legend="dropped"),
                unit="cps",
            ),
        ),
    )


def _targets() -> Row:
    heard = "smartroute_router_attempts_total"
    return Row(
        "Targets",
        (
            graph(
                "Attempts",
                "Every replica hears all of them: what the one says that heard most.",
                Query(
                    f"max by (smartroute_target) (sum by (instance, smartroute_target) (rate({heard}[5m])))", _TARGET
                ),
                unit="cps",
            ),
            graph(
                "Failed attempts",
                "By target and reason.",
                Query(
                    f'max by (smartroute_target, error_type) (rate({heard}{{error_type!=""}}[5m]))',
                    f"{_TARGET} {{{{error_type}}}}",
                ),
                unit="cps",
            ),
            graph(
                "Set aside",
                "1: it failed, and is tried by one request at a time.",
                highest("smartroute_router_target_set_aside", by="smartroute_target"),
            ),
        ),
    )


_TARGET = "{{smartroute_target}}"


def _posting() -> Row:
    return Row(
        "Ledger",
        (
            graph(
                "Lines",
                "Written a second.",
                rate("smartroute_billing_ledger_lines_total", legend="lines"),
                unit="cps",
            ),
            graph(
                "Freshness",
                "From the end of a request to its line.",
                *quantiles("smartroute_billing_ledger_freshness_seconds"),
                unit="s",
            ),
            graph(
                "Without effect",
                "Settlements of requests that had one, and first ones that came behind.",
                rate("smartroute_billing_settlement_conflicts_total", legend="conflicts"),
                rate("smartroute_billing_settlement_late_firsts_total", legend="late firsts"),
                unit="cps",
            ),
        ),
    )


def _paying() -> Row:
    return Row(
        "Payments",
        (
            graph(
                "Notices",
                "By what they did. `for_staff` pages; `refused` are not the provider's.",
                rate("smartroute_billing_payment_notices_total", by="effect"),
                unit="cps",
            ),
            graph(
                "Pages not made",
                "Customers who wanted to pay and could not.",
                rate("smartroute_billing_payment_pages_failed_total", legend="failed"),
                unit="cps",
            ),
        ),
    )
