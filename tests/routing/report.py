"""The printed tables, and the goals below them."""

import platform
import sys
from collections.abc import Mapping, Sequence

from tests.routing.figures import Figures, together
from tests.routing.goals import Goal, goals
from tests.routing.runs import Choices, Results
from tests.routing.scenarios import POLICIES, SCENARIOS
from tests.routing.sessions import all_turns

_FIRST = 27
_COLUMNS = ("requests", "p50", "p95", "p99", "p99.9", "> 5 s", "failed", "+calls", "hedged")


def say(text: str) -> None:
    """Print now."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def preamble(choices: Choices) -> str:
    """What is simulated, before it is."""
    shortened = "" if choices.scale == 1.0 else f"; runs shortened to {choices.scale:.0%}: goals are not to be judged"
    return (
        f"simulated time, {choices.seeds} seeds, the same requests and services for all policies{shortened};"
        f" Python {platform.python_version()}\n"
        "times to the first byte in seconds, of the requests that arrived during the fault (30 to 75 s of 120 s); a\n"
        "request that failed counts as one of 15 s; +calls are upstream calls beyond one per request\n"
        "silent: calls are accepted, never answered, and take no slot; ours is the router's own Switchboard, one per\n"
        "replica, told by the gateways' own messages, with the gateway's own budgets"
    )


def tables(results: Results) -> str:
    """All that was found."""
    lines = [*_linkerd(results)]
    for name, scenario in SCENARIOS.items():
        figures = {
            policy: results.scenarios[name, policy] for policy in POLICIES if (name, policy) in results.scenarios
        }
        if figures:
            lines += _figures(f"{scenario.title}: {scenario.shape.replicas} replicas", figures)
    if results.sharing:
        lines += _figures("what sharing is worth: ours, one of six silent, 3/s over 8 replicas", results.sharing)
    lines += [*_sessions(results), *_budgets(results), *_goals(results)]
    lines += ["", f"{results.choices.seeds} seeds, {results.seconds:.0f} s"]
    return "\n".join(lines)


def missed(results: Results) -> list[Goal]:
    """Goals that were not met."""
    return [goal for goal in goals(results) if not goal.is_met]


def _linkerd(results: Results) -> list[str]:
    if not results.linkerd:
        return []
    lines = ["", "Linkerd 2016: 11 servers, 1,000/s, one from 167 ms to 2 s for 30 of 60 s; answered within 1 s"]
    for policy, runs in results.linkerd.items():
        shares = [run.share for run in runs]
        mean = sum(shares) / len(shares)
        lines.append(f"  {policy:<{_FIRST}}{mean:>9.2%}   published about {runs[0].published:.1%}")
    return lines


def _figures(title: str, runs: Mapping[str, Sequence[Figures]]) -> list[str]:
    lines = ["", title, "  " + " " * _FIRST + "".join(f"{column:>9}" for column in _COLUMNS)]
    return [*lines, *(_row(name, together(of_seeds)) for name, of_seeds in runs.items())]


def _row(name: str, figures: Figures) -> str:
    percentiles = [f"{figures.percentile(share):.2f}" for share in (0.5, 0.95, 0.99, 0.999)]
    shares = [figures.slow_share, figures.failed_share, figures.extra_calls, figures.hedged_share]
    cells = [f"{figures.requests:,}", *percentiles, *(f"{share:.2%}" for share in shares)]
    return f"  {name:<{_FIRST}}" + "".join(f"{cell:>9}" for cell in cells)


def _sessions(results: Results) -> list[str]:
    if not results.sessions:
        return []
    columns = ("turns", "faithful", "bound", "switches", "refused", "p99", "> 5 s")
    lines = ["", "sessions of ten turns with tool calls, three models at two endpoints each, no hedge, about 42/s"]
    lines.append("  " + " " * _FIRST + "".join(f"{column:>10}" for column in columns))
    for fault, runs in results.sessions.items():
        turns = all_turns(runs)
        cells = [f"{turns.turns:,}", f"{turns.faithful_share:.2%}", f"{turns.bound:,}", str(turns.switches)]
        cells += [str(turns.refused), f"{turns.figures.percentile(0.99):.2f}", f"{turns.figures.slow_share:.2%}"]
        lines.append(f"  {fault:<{_FIRST}}" + "".join(f"{cell:>10}" for cell in cells))
    return lines


def _budgets(results: Results) -> list[str]:
    if not results.budgets:
        return []
    lines = ["", "an hour of decisions by profile: strong share, its distance from the budget by seed in points"]
    for alias, runs in results.budgets.items():
        share = sum(run.strong for run in runs) / sum(run.decisions for run in runs)
        off = " ".join(f"{run.points_off:+.2f}" for run in runs)
        lines.append(f"  {alias:<{_FIRST}}{share:>9.2%} of {runs[0].budget:.0%}   {off}")
    return lines


def _goals(results: Results) -> list[str]:
    found = goals(results)
    if not found:
        return []
    lines = ["", "goals: of all seeds together [least, greatest of single seeds, faults or profiles]"]
    for goal in found:
        verdict = "met    " if goal.is_met else "NOT MET"
        bound = f"{'at least' if goal.is_floor else 'at most'} {goal.shown(goal.limit)}"
        single = f"[{goal.shown(goal.low)}, {goal.shown(goal.high)}]"
        lines.append(f"  {verdict} {goal.number}: {goal.title} {goal.shown(goal.measured)} {single} ({bound})")
        lines.append(f"             {goal.anchor}")
    return lines
