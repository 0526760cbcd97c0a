"""The books: whether stream, ledger and quota say the same, and what is on its way between them."""

from devstack.dashboards.panels import Json, Panel, Query, Row, dashboard, graph, number
from devstack.dashboards.queries import highest, quantiles, rate, total


def books() -> Json:
    return dashboard(
        "smart-route-books",
        "Smart Route: the books",
        "Every request is settled once and posted once. All numbers of the first row should be green.",
        (_first(), _flow(), _waiting(), _streams()),
    )


def _first() -> Row:
    compared = highest("smartroute_reconciliation_age_seconds")
    return Row(
        "Equal?",
        (
            _none("Differences", "Of stream, ledger and quota.", highest("smartroute_reconciliation_differences")),
            number("Compared", "So long ago. A minute is right.", compared, unit="s", red_from=600),
            _none("Dead letters", "Given up; they wait for a person.", total("smartroute_dead_letters")),
            _none("Settlements kept", "They wait in gateways.", total("smartroute_settlements_kept")),
            _none("Leases over", "Prompts held for nobody.", highest("smartroute_quota_reservations_overdue")),
            _none("Days not closed", "Over, and not signed.", highest("smartroute_billing_closes_overdue")),
        ),
    )


def _none(title: str, says: str, query: Query) -> Panel:
    """One that has to be 0."""
    return number(title, says, query, red_from=1)


def _flow() -> Row:
    return Row(
        "The same number everywhere",
        (
            graph(
                "A second",
                "What gateways settled, quota folded and billing posted: but for refused requests, one line.",
                rate(
                    "smartroute_requests_total",
                    'smartroute_outcome!~"rejected_(auth|quota|speed)|not_admitted|replay"',
                    legend="settled by gateways",
                ),
                rate("smartroute_quota_settlements_total", 'result="settled"', legend="folded by quota"),
                rate("smartroute_billing_ledger_lines_total", legend="posted by billing"),
                unit="cps",
            ),
            graph(
                "Freshness",
                "From the end of a request to its ledger line.",
                *quantiles("smartroute_billing_ledger_freshness_seconds"),
                unit="s",
            ),
            graph(
                "Without effect",
                "Settlements that were not the first of their request, or of a request that quota does not know.",
                rate("smartroute_quota_settlements_total", 'result!="settled"', by="result"),
                rate("smartroute_billing_settlement_conflicts_total", legend="billing: conflicts"),
                rate("smartroute_billing_settlement_late_firsts_total", legend="billing: late firsts"),
                unit="cps",
            ),
        ),
    )


def _waiting() -> Row:
    return Row(
        "On its way",
        (
            graph(
                "Waiting",
                "Not acknowledged yet, by durable.",
                highest("smartroute_consumer_pending", by="durable"),
            ),
            graph(
                "Done up to",
                "The place in its stream up to which a durable has done everything. Flat while some wait: stuck.",
                highest("smartroute_consumer_acknowledged", by="durable"),
            ),
            graph(
                "Time of a comparison",
                "Of the books, every minute.",
                *quantiles("smartroute_reconciliation_duration_seconds"),
                unit="s",
            ),
        ),
    )


def _streams() -> Row:
    return Row(
        "Streams",
        (
            graph(
                "Full",
                "At 100 % a stream refuses, and gateways admit nothing.",
                highest("smartroute_stream_fill_ratio", by="stream"),
                unit="percentunit",
            ),
            graph(
                "Copies behind",
                "Away, or not up to date.",
                highest("smartroute_stream_copies_behind", by="stream"),
            ),
            graph(
                "Not measured",
                "1: no leader, no majority, or NATS away.",
                highest("smartroute_consumer_unmeasured", by="durable"),
            ),
            graph(
                "Refused by NATS",
                "What a service may not say or hear.",
                rate("smartroute_nats_permission_violations_total", by="job"),
                unit="cps",
            ),
        ),
    )
