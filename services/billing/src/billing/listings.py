"""What the command line shows: ledger and subscriptions as aligned tables, JSON or CSV."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from billing.domain import Subscription
from billing.tables import LedgerRow

# Never shortened to a terminal's width: ids are there to be copied and searched.
_WIDTH = 1000

_LEDGER_VIEW: Mapping[str, Callable[[LedgerRow], str]] = {
    "line": lambda line: str(line.id),
    "ended (UTC)": lambda line: _moment(line.event_time),
    "account": lambda line: str(line.account_id),
    "request": lambda line: str(line.request_id),
    "outcome": lambda line: line.outcome,
    "prompts": lambda line: str(line.prompts),
    "plan": lambda line: line.plan,
    "asked → served": lambda line: f"{line.alias_asked} → {line.alias_served}",
    "tokens in": lambda line: str(line.input_tokens),
    "tokens out": lambda line: str(line.output_tokens),
    "target": lambda line: line.target or "-",
}
_NUMBERS = frozenset({"line", "prompts", "tokens in", "tokens out", "revision"})

_SUBSCRIPTION_VIEW: Mapping[str, Callable[[Subscription], str]] = {
    "account": lambda subscription: str(subscription.account_id),
    "name": lambda subscription: subscription.name,
    "plan": lambda subscription: subscription.plan,
    "revision": lambda subscription: str(subscription.revision),
    "since (UTC)": lambda subscription: _moment(subscription.effective_at),
}


def ledger_table(lines: Sequence[LedgerRow]) -> str:
    """The columns that people look for; `--json` and `--csv` have all."""
    charged = sum(line.prompts for line in lines)
    table = _table(_LEDGER_VIEW.keys(), [[show(line) for show in _LEDGER_VIEW.values()] for line in lines])
    return f"{table}{_counted(len(lines), 'line')}, {_counted(charged, 'prompt')} charged"


def ledger_json(lines: Sequence[LedgerRow]) -> str:
    return json.dumps([line.model_dump(mode="json") for line in lines], indent=2)


def ledger_csv(lines: Sequence[LedgerRow]) -> str:
    """RFC 4180 lines, a header first; empty fields are nulls."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(LedgerRow.model_fields))
    writer.writeheader()
    writer.writerows(line.model_dump(mode="json") for line in lines)
    return text.getvalue().removesuffix("\r\n")


def subscriptions_table(subscriptions: Sequence[Subscription]) -> str:
    rows = [[show(subscription) for show in _SUBSCRIPTION_VIEW.values()] for subscription in subscriptions]
    return f"{_table(_SUBSCRIPTION_VIEW.keys(), rows)}{_counted(len(subscriptions), 'account')}"


def subscriptions_json(subscriptions: Sequence[Subscription]) -> str:
    return json.dumps([asdict(subscription) for subscription in subscriptions], indent=2, default=_jsonable)


def _table(names: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in names:
        table.add_column(name, justify="right" if name in _NUMBERS else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(value) for value in row))
    written = io.StringIO()
    Console(file=written, width=_WIDTH).print(table)
    return "".join(f"{line.rstrip()}\n" for line in written.getvalue().splitlines())


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _jsonable(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _moment(value: datetime) -> str:
    return value.strftime("%Y-%m-%d %H:%M:%S")
