"""The printed tables. Figures are medians over the rounds; ratios are what to read, absolutes are this machine's."""

import os
import platform
import statistics
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from tests.bench.load import Outcome

if TYPE_CHECKING:
    from tests.bench.measure import Results, Run, Scenario

_CHUNKS = 100
_QUIET_SHARE = 0.05
_TARGET_PER_SECOND = 500.0
_TARGET_ADDED_MILLISECONDS = 5.0
# What translating may cost beside passing a stream of the client's own format through.
_TARGET_CROSSING_MILLISECONDS = 2.0
_TARGET_CROSSING_CPU = 2.0
_WIDTHS = (9, 10, 9, 9, 11, 11, 12, 10, 8, 8)
_COLUMNS = ("", "req/s", "p50 ms", "p99 ms", "first p50", "first p99", "CPU ms/req", "load CPU", "others", "failed")


def say(text: str) -> None:
    """Print now."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def preamble(seconds: float, rounds: int) -> str:
    """Where and what, before anything is measured."""
    one, five, _ = os.getloadavg()
    return (
        f"{os.cpu_count()} cores shared by load, provider, product, NATS and Postgres;"
        f" Python {platform.python_version()}; load average before the start {one:.1f} ({five:.1f} over 5 min)\n"
        f"rounds: {rounds}, each run {seconds:g} s after 0.5 s of warm-up; medians over the rounds are shown\n"
        "direct  = the mock provider alone: what load generator and provider can do by themselves\n"
        "floor   = a bare ASGI pass-through of ours: body in, provider called, bytes out\n"
        "gateway = everything on: token, exact two-window reservation, routing, durable settlement, ledger, metrics,\n"
        "          traces exported at the default sampling\n"
        "load CPU is the load generator's share of one core; others is what foreign programs took of all cores"
    )


def tables(results: "Results") -> str:
    """All that there is to say after the rounds."""
    lines: list[str] = []
    for name, by_subject in results.runs.items():
        lines += ["", _title(results, name), _row(_COLUMNS)]
        lines += [_subject_row(subject, runs, name) for subject, runs in by_subject.items()]
        if "gateway" in by_subject:
            lines += _comparison(by_subject["direct"], by_subject["floor"], by_subject["gateway"], name)
    if results.choices.has_gateway:
        lines += [*lanes(results), "", *_costs(results), "", *_counts(results), "", *_targets(results)]
    lines += [*_disturbance(results), *_failures(results)]
    return "\n".join(lines)


def middle(runs: "Iterable[Run]", value: "Callable[[Run], float]") -> float:
    """The median of a figure over the rounds."""
    return statistics.median(value(run) for run in runs)


def _scenario(name: str) -> "Scenario":
    from tests.bench.measure import SCENARIOS

    return SCENARIOS[name]


def _title(results: "Results", name: str) -> str:
    scenario = _scenario(name)
    if scenario.is_open:
        return f"{scenario.title}, {results.choices.rate:g} requests/s"
    callers = scenario.callers or results.choices.callers
    return f"{scenario.title}, {callers} callers" if callers > 1 else scenario.title


def _subject_row(subject: str, runs: "Sequence[Run]", name: str) -> str:
    def of(value: Callable[[Outcome], float]) -> float:
        return middle(runs, lambda run: value(run.outcome))

    is_streamed = _scenario(name).is_streamed
    failed = sum(sum(run.outcome.errors.values()) for run in runs)
    cells = [
        subject,
        f"{of(lambda outcome: outcome.per_second):,.0f}",
        f"{of(lambda outcome: outcome.p50):.2f}",
        f"{of(lambda outcome: outcome.p99):.2f}",
        f"{of(lambda outcome: outcome.first_p50):.2f}" if is_streamed else "",
        f"{of(lambda outcome: outcome.first_p99):.2f}" if is_streamed else "",
        f"{middle(runs, _cpu):.3f}",
        f"{of(lambda outcome: outcome.cpu_share):.0%}",
        f"{middle(runs, lambda run: run.others_share):.0%}",
        str(failed),
    ]
    return _row(cells)


def _comparison(direct: "list[Run]", floor: "list[Run]", gateway: "list[Run]", name: str) -> list[str]:
    """Ratios and differences, each from the rounds of one run: they stood beside each other in time."""

    def added(value: Callable[[Outcome], float], base: "list[Run]") -> float:
        return statistics.median(
            value(ours.outcome) - value(other.outcome) for ours, other in zip(gateway, base, strict=True)
        )

    p50, p99 = (lambda outcome: outcome.p50), (lambda outcome: outcome.p99)
    lines = [
        f"  added to direct p50 {added(p50, direct):+.2f} ms, p99 {added(p99, direct):+.2f} ms;"
        f" added to the floor p50 {added(p50, floor):+.2f} ms, p99 {added(p99, floor):+.2f} ms",
    ]
    if name != "open":  # there the rate is given
        rates = [
            (ours.outcome.per_second, other.outcome.per_second) for ours, other in zip(gateway, floor, strict=True)
        ]
        ratio = statistics.median(ours / max(other, 1e-9) for ours, other in rates)
        lines.insert(0, f"  gateway ÷ floor {ratio:.2f} by requests/s")
    if _scenario(name).is_streamed:
        first50, first99 = (lambda outcome: outcome.first_p50), (lambda outcome: outcome.first_p99)
        lines.append(
            f"  time to first token: added to direct p50 {added(first50, direct):+.2f} ms, p99"
            f" {added(first99, direct):+.2f} ms; to the floor p50 {added(first50, floor):+.2f} ms"
        )
        lines.append(
            f"  CPU per streamed chunk, the request's own cost included: gateway process {_per_chunk(gateway):.0f} µs,"
            f" floor {_per_chunk(floor):.0f} µs"
        )
    return lines


def _per_chunk(runs: "list[Run]") -> float:
    """Microseconds of CPU of the gateway process (or of the floor's)."""
    return middle(runs, lambda run: run.cpu_milliseconds.get("gateway", _cpu(run))) * 1000 / _CHUNKS


def _cpu(run: "Run") -> float:
    return sum(run.cpu_milliseconds.values())


def lanes(results: "Results") -> list[str]:
    """The ways of a stream beside each other; ratios are those of runs of the same round."""
    from tests.bench.measure import LANES

    measured = {lane: names for lane, names in LANES.items() if all(name in results.runs for name in names)}
    if len(measured) < 2:
        return []
    columns = ("client → provider", "first p50 added ms", "CPU µs/chunk", "÷ chat → chat", "at once", "÷ chat → chat")
    widths = [24, *(len(column) + 3 for column in columns[1:])]
    lines = ["", "streams by lane: added to the floor, and the gateway process", _row(columns, widths)]
    base = measured.get("chat → chat")
    for lane, names in measured.items():
        cells = [lane, f"{_first_added(results.runs[names[0]]):+.2f}"]
        for place, name in enumerate(names):
            cells.append(f"{_per_chunk(results.runs[name]['gateway']):.0f}")
            cells.append(f"{_times(results, name, base[place]):.2f}" if base is not None else "")
        lines.append(_row(cells, widths))
    return lines


def _first_added(by_subject: "Mapping[str, list[Run]]") -> float:
    """Milliseconds until the first token beyond what the floor needs for the same."""
    pairs = zip(by_subject["gateway"], by_subject["floor"], strict=True)
    return statistics.median(ours.outcome.first_p50 - other.outcome.first_p50 for ours, other in pairs)


def _times(results: "Results", name: str, base: str) -> float:
    """The gateway's CPU time per request as a multiple of that in another scenario."""
    pairs = zip(results.runs[name]["gateway"], results.runs[base]["gateway"], strict=True)
    costs = [(run.cpu_milliseconds["gateway"], other.cpu_milliseconds["gateway"]) for run, other in pairs]
    return statistics.median(ours / max(other, 1e-9) for ours, other in costs)


def _costs(results: "Results") -> list[str]:
    names = list(results.memory)
    widths = [24, *(max(len(name) + 2, 10) for name in names), 9, 15]
    lines = [_row(["CPU s per 1,000 requests", *names, "sum", "req per CPU s"], widths)]
    for name, by_subject in results.runs.items():
        cells = [_of_group(by_subject["gateway"], group) for group in names]
        cells.append(sum(cells))
        lines.append(_row([name, *(f"{cell:.3f}" for cell in cells), f"{1000 / max(cells[-1], 1e-9):,.0f}"], widths))
    idle = [results.idle_milliseconds.get(name, 0.0) for name in names]
    lines.append(_row(["idle: ms per second", *(f"{cost:.1f}" for cost in idle), f"{sum(idle):.1f}", ""], widths))
    memory = [results.memory[name] for name in names]
    lines.append(_row(["memory MB at the end", *(f"{size:.0f}" for size in memory), f"{sum(memory):.0f}", ""], widths))
    lines.append("(memory: resident size of a service; where there are many processes, shared pages counted once)")
    return lines


def _of_group(runs: "list[Run]", group: str) -> float:
    return middle(runs, lambda run: run.cpu_milliseconds[group])


def _counts(results: "Results") -> list[str]:
    verdict = "equal" if results.prompts_sent == results.prompts_counted else "NOT EQUAL"
    return [f"prompts answered {results.prompts_sent:,}; counted by the product {results.prompts_counted:,}: {verdict}"]


def _targets(results: "Results") -> list[str]:
    lines = ["targets"]
    if any(not run.outcome.requests for runs in results.runs.values() for run in runs.get("gateway", [])):
        return ["targets: not judged, for some runs of the gateway have not one good answer"]
    if "json" in results.runs and results.choices.callers == 32:
        reached = middle(results.runs["json"]["gateway"], lambda run: run.outcome.per_second)
        lines.append(
            f"  {_verdict(reached >= _TARGET_PER_SECOND)}: {reached:,.0f} req/s at 32 callers,"
            f" everything on (target at least {_TARGET_PER_SECOND:,.0f})"
        )
    if "latency" in results.runs:
        by_subject = results.runs["latency"]
        pairs = zip(by_subject["gateway"], by_subject["direct"], strict=True)
        added = statistics.median(ours.outcome.p50 - other.outcome.p50 for ours, other in pairs)
        lines.append(
            f"  {_verdict(added <= _TARGET_ADDED_MILLISECONDS)}: {added:.2f} ms added to the median at one caller"
            f" (target at most {_TARGET_ADDED_MILLISECONDS:g})"
        )
    lines += crossing_targets(results)
    return lines if len(lines) > 1 else []


def crossing_targets(results: "Results") -> list[str]:
    """A crossing beside the lanes that pass a stream through: the native one, and that of the same provider."""
    lines = []
    if {"native", "crossing"} <= results.runs.keys():
        added = _first_added(results.runs["crossing"]) - _first_added(results.runs["native"])
        lines.append(
            f"  {_verdict(added <= _TARGET_CROSSING_MILLISECONDS)}: {added:+.2f} ms to the first token for translating"
            f" Responses to chat (target at most {_TARGET_CROSSING_MILLISECONDS:g})"
        )
    for name, base in (("crossing", "paced"), ("crossing-burst", "burst")):
        if {name, base} <= results.runs.keys():
            times = _times(results, name, base)
            lines.append(
                f"  {_verdict(times <= _TARGET_CROSSING_CPU)}: {times:.2f} times the CPU of chat passed through,"
                f" {_scenario(name).title} (target at most {_TARGET_CROSSING_CPU:g})"
            )
    return lines


def _disturbance(results: "Results") -> list[str]:
    every = [run for by_subject in results.runs.values() for runs in by_subject.values() for run in runs]
    share = middle(every, lambda run: run.others_share)
    if share < _QUIET_SHARE:
        return []
    return [
        "",
        f"NOTE: foreign programs took {share:.0%} of all cores meanwhile: repeat on a quiet machine before judging",
    ]


def _verdict(is_met: bool) -> str:
    return "met" if is_met else "NOT MET"


def _failures(results: "Results") -> list[str]:
    if not results.failures:
        return []
    lines = ["", "requests that failed"]
    for name, by_subject in results.runs.items():
        for subject, runs in by_subject.items():
            for run in runs:
                lines += [f"  {name}, {subject}: {count} times {why}" for why, count in run.outcome.errors.items()]
                lines += [f"    for example: {run.outcome.example!r}"] if run.outcome.example else []
    return lines


def _row(cells: Sequence[str], widths: Sequence[int] = _WIDTHS) -> str:
    return cells[0].ljust(widths[0]) + "".join(
        cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)
    )
