"""What customers feel: the four objectives, and what is behind them."""

from devstack.dashboards.panels import Json, Panel, Query, Row, dashboard, graph, number
from devstack.dashboards.queries import quantile, quantiles, rate, total

OBJECTIVES = (
    ("availability", "Availability", 0.001),
    ("added_latency", "Added latency", 0.01),
    ("first_token", "First token", 0.01),
    ("ledger_freshness", "Ledger freshness", 0.001),
)
_REQUESTS = "http_server_request_duration_seconds"
_FIRST = "gen_ai_client_operation_time_to_first_chunk_seconds"


def users() -> Json:
    return dashboard(
        "smart-route-users",
        "Smart Route: users' experience",
        "Is everybody served, how fast, and what is left of the budgets of our objectives (docs/runbook.md).",
        (_objectives(), _burning(), _served(), _times(), _use()),
    )


def _objectives() -> Row:
    return Row("Budgets of 30 days", tuple(_budget(*objective) for objective in OBJECTIVES))


def _budget(slo: str, title: str, budget: float) -> Panel:
    spent = f'avg_over_time(smartroute:slo_errors:ratio_rate1h{{slo="{slo}"}}[30d])'
    return number(
        title,
        "What is left of the budget, every hour weighing the same. Below nothing the objective is missed.",
        Query(f"1 - {spent} / {budget:g}", ""),
        unit="percentunit",
        red_below=0.1,
    )


def _burning() -> Row:
    return Row(
        "How fast budgets are used up",
        tuple(
            graph(
                f"Last {words}",
                f"1: just as fast as allowed. From {page:g} on it pages, when the objective is missed now as well.",
                *(
                    Query(f'smartroute:slo_errors:ratio_rate{window}{{slo="{slo}"}} / {budget:g}', title)
                    for slo, title, budget in OBJECTIVES
                ),
            )
            for window, words, page in (("1h", "hour", 14.4), ("6h", "six hours", 6.0))
        ),
    )


def _served() -> Row:
    return Row(
        "Requests",
        (
            graph(
                "By outcome",
                "Every request ends in one of them (docs/outcomes.md).",
                rate("smartroute_requests_total", by="smartroute_outcome"),
                unit="reqps",
            ),
            graph(
                "Failures",
                "5xx by their reason, providers' among them, and answers that we broke off.",
                rate(f"{_REQUESTS}_count", 'http_response_status_code=~"5.."', by="error_type"),
                rate("smartroute_answers_cut_total", by="error_type", legend="broken off: {{error_type}}"),
                unit="reqps",
            ),
            graph(
                "By alias",
                "Which models are asked for.",
                rate("smartroute_requests_total", by="smartroute_alias"),
                unit="reqps",
            ),
            graph(
                "Open", "Requests whose response has not ended.", total("http_server_active_requests", legend="open")
            ),
        ),
    )


def _times() -> Row:
    return Row(
        "Time",
        (
            graph(
                "First token",
                "From the first call to the first content, of streams.",
                *quantiles(_FIRST, by="gen_ai_request_model"),
                unit="s",
            ),
            graph(
                "Added by us",
                "Up to the first call, and from the end of the answer to its settlement.",
                *quantiles("smartroute_added_duration_seconds"),
                unit="s",
            ),
            graph(
                "Model's answers",
                "All calls of one request together.",
                *quantiles("gen_ai_client_operation_duration_seconds", by="gen_ai_request_model"),
                unit="s",
            ),
            graph(
                "Everything else",
                "Portal, usage, receipts: 99th percentile by route.",
                quantile(0.99, _REQUESTS, 'http_route!~"/v1/(chat/)?completions|/v1/responses"', by="http_route"),
                unit="s",
            ),
        ),
    )


def _use() -> Row:
    return Row(
        "Use",
        (
            graph(
                "Tokens a second",
                "As providers counted them.",
                rate("gen_ai_client_token_usage_sum", by="gen_ai_request_model, gen_ai_token_type"),
            ),
            graph(
                "Refused",
                "For the plan's allowance, its speed, the token, or the request itself.",
                rate("smartroute_requests_total", 'smartroute_outcome=~"rejected_.*"', by="smartroute_outcome"),
                unit="reqps",
            ),
            graph(
                "Mails of the portal",
                "By what became of them.",
                rate("smartroute_portal_mails_total", by="result"),
                unit="cps",
            ),
        ),
    )
