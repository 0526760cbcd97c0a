"""What `reconcile` and `rebuild` print for people."""

import io
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from billing.domain.differences import Difference, Report
from billing.reconcile import Rebuilt

# Never shortened to a terminal's width: ids are there to be copied and searched.
_WIDTH = 1000
_NAMES = ("kind", "account", "window", "day", "request", "line", "sequence", "message")


def report_table(report: Report) -> str:
    """The result in a sentence, then every difference in a row of its own."""
    scope = [f"day {report.day}" if report.day else "", f"account {report.account_id}" if report.account_id else ""]
    what = " of ".join(["the books", *filter(None, scope)])
    verdict = {
        "equal": f"{what} are equal",
        "different": f"{what} differ: {report.found} difference{'s' if report.found != 1 else ''}",
        "not_comparable": f"{what} could not be compared",
    }[report.result]
    counted = [
        f"{report.figures[name]:.0f} {name}"
        for name in ("messages", "requests", "lines", "days", "closes")
        if name in report.figures
    ]
    took = f"messages {report.from_sequence} to {report.through_sequence}; {', '.join(counted)}"
    made = (
        f"{report.finished_at:%Y-%m-%d %H:%M:%S} UTC, {(report.finished_at - report.started_at).total_seconds():.1f} s"
    )
    lines = [verdict, f"{took}; {made}", *(f"note: {note}" for note in report.notes)]
    return "\n".join(lines) + (f"\n\n{_table(report.differences)}" if report.differences else "")


def rebuilt_text(rebuilt: Rebuilt) -> str:
    """Both digests, and the first totals that are not the same."""
    verdict = "identical" if rebuilt.is_identical else f"different: {rebuilt.differing} of {rebuilt.totals} totals"
    lines = [
        f"the stream folded again and the ledger are {verdict}",
        f"messages {rebuilt.from_sequence} to {rebuilt.through_sequence}: {rebuilt.messages} folded, "
        f"{rebuilt.totals} totals",
        f"ledger {rebuilt.ledger}",
        f"stream {rebuilt.stream}",
        *(f"note: {note}" for note in rebuilt.notes),
    ]
    for ledger, stream in rebuilt.unlike:
        lines += [f"- {ledger or 'nothing in the ledger'}", f"+ {stream or 'nothing in the stream'}"]
    return "\n".join(lines)


def _table(differences: Sequence[Difference]) -> str:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in (*_NAMES, "figures"):
        table.add_column(name, no_wrap=True)
    for difference in differences:
        table.add_row(*(Text(value) for value in _row(difference)))
    written = io.StringIO()
    Console(file=written, width=_WIDTH).print(table)
    return "\n".join(line.rstrip() for line in written.getvalue().splitlines())


def _row(difference: Difference) -> Iterable[str]:
    told = difference.as_json()
    yield from (str(told.get(name, "-")) for name in _NAMES)
    yield ", ".join(f"{name} {'-' if value is None else value}" for name, value in difference.figures.items())
