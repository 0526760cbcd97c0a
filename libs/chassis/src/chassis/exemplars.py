"""Metrics as Prometheus reads them, with exemplars: a bucket of a histogram names a trace that fell into it.

OpenTelemetry's exporter knows the numbers and leaves the exemplars out. They are taken from the same collection and put
to their buckets. Only sampled traces are named, so there is one to look at.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics.export import Histogram, HistogramDataPoint, MetricsData
from prometheus_client import REGISTRY, CollectorRegistry, Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar, Sample

# The name of a histogram, and the labels of a bucket that say something.
_Place: TypeAlias = tuple[str, frozenset[tuple[str, str]]]

_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_]")
_SCOPE = "otel_scope_"


class ExemplarReader(PrometheusMetricReader):
    """The exporter of OpenTelemetry's metrics to `registry`."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._numbers = CollectorRegistry()
        super().__init__(registry=self._numbers)
        # The newest one of every bucket that had one: each scrape by whomever finds it.
        self._found: dict[_Place, Exemplar] = {}
        self._shown = _Shown(self._numbers, self._found)
        self._shown_in = registry
        registry.register(self._shown)

    def _receive_metrics(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: object) -> None:
        for name, point in _histograms(metrics_data):
            self._found.update(_exemplars(name, point))
        super()._receive_metrics(metrics_data, timeout_millis, **kwargs)

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: object) -> None:
        self._shown_in.unregister(self._shown)
        super().shutdown(timeout_millis, **kwargs)


@dataclass(frozen=True, slots=True, eq=False)
class _Shown(Collector):
    """What the exporter says, with the exemplars."""

    numbers: CollectorRegistry
    found: dict[_Place, Exemplar]

    def describe(self) -> Iterable[Metric]:
        """Nothing: else registering would collect, before there is anything to collect from."""
        return ()

    def collect(self) -> Iterator[Metric]:
        for metric in self.numbers.collect():
            metric.samples = [self._with_exemplar(metric.name, sample) for sample in metric.samples]
            yield metric

    def _with_exemplar(self, name: str, sample: Sample) -> Sample:
        if "le" not in sample.labels:
            return sample
        exemplar = self.found.get((name, _telling(sample.labels.items())))
        return sample if exemplar is None else sample._replace(exemplar=exemplar)


def _histograms(metrics_data: MetricsData) -> Iterator[tuple[str, HistogramDataPoint]]:
    for resource in metrics_data.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                if isinstance(metric.data, Histogram):
                    name = _NOT_IN_NAMES.sub("_", metric.name) + ("_seconds" if metric.unit == "s" else "")
                    for point in metric.data.data_points:
                        yield name, point


def _exemplars(name: str, point: HistogramDataPoint) -> Iterator[tuple[_Place, Exemplar]]:
    for measured in point.exemplars:
        if measured.trace_id and measured.span_id:
            place = bisect_left(point.explicit_bounds, measured.value)
            le = str(point.explicit_bounds[place]) if place < len(point.explicit_bounds) else "+Inf"
            said = {_NOT_IN_NAMES.sub("_", key): str(value) for key, value in (point.attributes or {}).items()}
            trace = {"trace_id": f"{measured.trace_id:032x}", "span_id": f"{measured.span_id:016x}"}
            yield (
                (name, _telling({**said, "le": le}.items())),
                Exemplar(trace, measured.value, measured.time_unix_nano / 1e9),
            )


def _telling(labels: Iterable[tuple[str, str]]) -> frozenset[tuple[str, str]]:
    """Without those that are empty, or the same everywhere."""
    return frozenset((key, value) for key, value in labels if value and not key.startswith(_SCOPE))
