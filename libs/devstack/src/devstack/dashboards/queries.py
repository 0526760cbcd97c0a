"""The kinds of questions that are asked again and again, and the panels that every service has."""

from devstack.dashboards.panels import Query, Row, graph

_WINDOW = "$__rate_interval"


def rate(counter: str, matchers: str = "", *, by: str = "", legend: str = "") -> Query:
    """Events a second, all replicas together. `matchers`: `label="value",…`."""
    return Query(f"sum{_by(by)}(rate({_of(counter, matchers)}[{_WINDOW}]))", legend or _legend(by))


def quantile(share: float, histogram: str, matchers: str = "", *, by: str = "") -> Query:
    """Below which value this share of the measurements is. `histogram`: without `_bucket`."""
    grouped = f"le, {by}" if by else "le"
    buckets = f"sum by ({grouped}) (rate({_of(f'{histogram}_bucket', matchers)}[{_WINDOW}]))"
    return Query(f"histogram_quantile({share:g}, {buckets})", f"p{share * 100:g} {_legend(by)}".strip())


def quantiles(histogram: str, matchers: str = "", *, by: str = "") -> tuple[Query, Query]:
    """The median, and the 99th percentile."""
    return quantile(0.5, histogram, matchers, by=by), quantile(0.99, histogram, matchers, by=by)


def highest(gauge: str, matchers: str = "", *, by: str = "", legend: str = "") -> Query:
    """Of what every replica tells alike."""
    return Query(f"max{_by(by)}({_of(gauge, matchers)})", legend or _legend(by))


def total(gauge: str, matchers: str = "", *, by: str = "", legend: str = "") -> Query:
    """Of what every replica tells of itself."""
    return Query(f"sum{_by(by)}({_of(gauge, matchers)})", legend or _legend(by))


def process_row(service: str) -> Row:
    """What every process has."""
    job = f'job="{service}"'
    return Row(
        "Processes",
        (
            graph(
                "Replicas",
                "Those that Prometheus reaches, and those that it should.",
                Query(f"sum(up{{{job}}})", "reached"),
                Query(f"count(up{{{job}}})", "known"),
            ),
            graph(
                "CPU",
                "Cores in use. One process uses one.",
                Query(f"sum by (instance) (rate(process_cpu_seconds_total{{{job}}}[{_WINDOW}]))", "{{instance}}"),
            ),
            graph(
                "Memory",
                "What the process holds. The limit of its pod ends it.",
                Query(f"sum by (instance) (process_resident_memory_bytes{{{job}}})", "{{instance}}"),
                unit="bytes",
            ),
            graph(
                "Open files",
                "Share of those that it may open; an open stream is two of them.",
                Query(f"process_open_fds{{{job}}} / process_max_fds{{{job}}}", "{{instance}}"),
                unit="percentunit",
            ),
        ),
    )


def messages_row(service: str, durables: str) -> Row:
    """What a service that consumes hears and has not done yet. `durables`: a regular expression."""
    of_durables = f'durable=~"{durables}"'
    job = f'job="{service}"'
    return Row(
        "Messages",
        (
            graph(
                "Time to process",
                "Of one message, or of a batch, by subject.",
                quantile(0.99, "messaging_process_duration_seconds", job, by="messaging_destination_name"),
                unit="s",
            ),
            graph(
                "Waiting",
                "Messages that were not acknowledged yet.",
                highest("smartroute_consumer_pending", of_durables, by="durable"),
            ),
            graph(
                "Dead letters",
                "Messages that were given up and wait for a person.",
                highest("smartroute_dead_letters", of_durables, by="durable"),
            ),
        ),
    )


def _of(metric: str, matchers: str) -> str:
    return f"{metric}{{{matchers}}}" if matchers else metric


def _by(labels: str) -> str:
    return f" by ({labels}) " if labels else ""


def _legend(labels: str) -> str:
    return " ".join(f"{{{{{label.strip()}}}}}" for label in labels.split(",")) if labels else ""
