"""What the command line shows: ledger, closes, plans and grants as aligned tables, JSON or CSV."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

from rich.console import Console
from rich.table import Table
from rich.text import Text

from billing.domain.chain import CANONICAL_NAMES, canonical_fields, moment
from billing.domain.closes import Close
from billing.domain.lines import Kind, Posted
from billing.domain.subscriptions import Grant, Standing, Subscription
from billing.domain.upgrades import Wish
from billing.store import Conflict, PaymentEvent

RowT = TypeVar("RowT")

# Never shortened to a terminal's width: ids are there to be copied and searched.
_WIDTH = 1000

_LEDGER_VIEW: Mapping[str, Callable[[Posted], str]] = {
    "line": lambda posted: str(posted.id),
    "kind": lambda posted: posted.entry.kind,
    "sequence": lambda posted: str(posted.line.sequence),
    "ended (UTC)": lambda posted: _shown(posted.entry.event_time),
    "account": lambda posted: str(posted.entry.account_id),
    "request": lambda posted: str(posted.entry.request_id),
    "outcome": lambda posted: posted.entry.outcome,
    "prompts": lambda posted: str(posted.entry.prompts),
    "plan": lambda posted: posted.entry.plan,
    "asked → served": lambda posted: f"{posted.entry.alias_asked} → {posted.entry.alias_served}",
    "tokens in": lambda posted: str(posted.entry.input_tokens),
    "tokens out": lambda posted: str(posted.entry.output_tokens),
    "target": lambda posted: posted.entry.target or "-",
    "corrects": lambda posted: "-" if posted.entry.corrects is None else str(posted.entry.corrects),
    "author": lambda posted: posted.entry.author or "-",
    "reason": lambda posted: posted.entry.reason or "-",
}
# Columns that say something only where something was put right.
_OF_CORRECTIONS = frozenset({"corrects", "author", "reason"})

LEDGER_FIELDS = ("id", *CANONICAL_NAMES, "hash")

_CONFLICT_VIEW: Mapping[str, Callable[[Conflict], str]] = {
    "kept (UTC)": lambda conflict: _shown(conflict.recorded_at),
    "account": lambda conflict: str(conflict.winner.entry.account_id),
    "request": lambda conflict: str(conflict.winner.entry.request_id),
    "outcome": lambda conflict: str(conflict.payload.get("outcome")),
    "settled by": lambda conflict: str(conflict.payload.get("settled_by") or "-"),
    "place in stream": lambda conflict: str(conflict.stream_sequence),
    "first outcome": lambda conflict: conflict.winner.entry.outcome,
    "first settled by": lambda conflict: conflict.winner.entry.settled_by or "-",
    "first place": lambda conflict: str(conflict.winner.entry.stream_sequence),
}

_CLOSE_VIEW: Mapping[str, Callable[[Close], str]] = {
    "day (UTC)": lambda close: close.day.isoformat(),
    "lines": lambda close: str(close.lines),
    "prompts": lambda close: str(close.totals["prompts"]),
    "cost": lambda close: _cost(close.totals),
    "digest": lambda close: close.digest,
    "key": lambda close: close.key_id,
    "closed (UTC)": lambda close: _shown(close.closed_at),
}

_SUBSCRIPTION_VIEW: Mapping[str, Callable[[Standing], str]] = {
    "account": lambda standing: str(standing.now.account_id),
    "name": lambda standing: standing.now.name,
    "plan": lambda standing: standing.now.plan,
    "revision": lambda standing: str(standing.now.revision),
    "since (UTC)": lambda standing: _shown(standing.now.effective_at),
    "pending": lambda standing: (
        ", ".join(f"{change.plan} from {_shown(change.effective_at)}" for change in standing.pending) or "-"
    ),
}

_GRANT_VIEW: Mapping[str, Callable[[Grant], str]] = {
    "grant": lambda grant: str(grant.grant_id),
    "account": lambda grant: str(grant.account_id),
    "prompts": lambda grant: str(grant.prompts),
    "from (UTC)": lambda grant: _shown(grant.starts_at),
    "until (UTC)": lambda grant: _shown(grant.ends_at),
    "actor": lambda grant: grant.actor,
    "reason": lambda grant: grant.reason,
}

_UPGRADE_VIEW: Mapping[str, Callable[[Wish], str]] = {
    "upgrade": lambda wish: str(wish.upgrade_id),
    "account": lambda wish: str(wish.account_id),
    "plan": lambda wish: wish.plan,
    "state": lambda wish: wish.state,
    "asked (UTC)": lambda wish: _shown(wish.requested_at),
    "decided (UTC)": lambda wish: "-" if wish.decided_at is None else _shown(wish.decided_at),
    "actor": lambda wish: wish.actor or "-",
    "reason": lambda wish: wish.reason or "-",
    "payment": lambda wish: wish.payment_subscription or wish.payment_reference or "-",
}

_PAYMENT_VIEW: Mapping[str, Callable[[PaymentEvent], str]] = {
    "taken (UTC)": lambda event: _shown(event.received_at),
    "event": lambda event: event.event_id,
    "kind": lambda event: event.kind,
    "about": lambda event: event.subject or "-",
    "upgrade": lambda event: "-" if event.upgrade_id is None else str(event.upgrade_id),
    "effect": lambda event: event.effect,
    "note": lambda event: event.note or "-",
}
_NUMBERS = frozenset({"line", "lines", "sequence", "prompts", "tokens in", "tokens out", "revision"})


def ledger_table(lines: Sequence[Posted], *, with_routes: bool = False) -> str:
    """The columns that people look for; `--json` and `--csv` have all."""
    billed = sum(posted.entry.prompts for posted in lines)
    is_plain = all(posted.entry.kind == Kind.SETTLEMENT for posted in lines)
    view = {name: show for name, show in _LEDGER_VIEW.items() if not (is_plain and name in _OF_CORRECTIONS)}
    view |= {"route": _way} if with_routes else {}
    return f"{_table(view, lines)}{_counted(len(lines), 'line')}, {_counted(billed, 'prompt')} charged"


def ledger_json(lines: Sequence[Posted], *, with_routes: bool = False) -> str:
    """Every line as it is hashed, with its id and its hash: the input of the program in `docs/ledger.md`.

    Routes only for those who ask for them: copies of that program take every other member for a part of the hash.
    """
    documents = [line_document(posted) | (_beside(posted) if with_routes else {}) for posted in lines]
    return json.dumps(documents, indent=2)


def ledger_csv(lines: Sequence[Posted], *, with_routes: bool = False) -> str:
    """RFC 4180 lines, a header first; empty fields are nulls, routes are JSON."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=(*LEDGER_FIELDS, *(("route",) if with_routes else ())))
    writer.writeheader()
    for posted in lines:
        route = {"route": "" if posted.route is None else posted.route.model_dump_json()} if with_routes else {}
        writer.writerow(line_document(posted) | route)
    return text.getvalue().removesuffix("\r\n")


def line_document(posted: Posted) -> dict[str, object]:
    """All of a line, in the canonical form of each field."""
    return {"id": posted.id, **canonical_fields(posted.line), "hash": posted.line.hash}


def _beside(posted: Posted) -> dict[str, object]:
    return {"route": None if posted.route is None else posted.route.model_dump(mode="json")}


def _way(posted: Posted) -> str:
    if posted.route is None:
        return "-"
    taken, why = posted.route, posted.route.route
    return f"{why.request_class}: {why.tier} by {why.rule}, {why.placement}, {taken.target or '-'} of {taken.of}"


def conflicts_table(conflicts: Sequence[Conflict]) -> str:
    return f"{_table(_CONFLICT_VIEW, conflicts)}{_counted(len(conflicts), 'settlement')} kept without effect"


def conflicts_json(conflicts: Sequence[Conflict]) -> str:
    """Each kept settlement whole, and the id of the line that its request has."""
    documents = [
        {
            "stream_sequence": conflict.stream_sequence,
            "recorded_at": moment(conflict.recorded_at),
            "settlement": conflict.payload,
            "line": conflict.winner.id,
            "line_outcome": conflict.winner.entry.outcome,
            "line_stream_sequence": conflict.winner.entry.stream_sequence,
        }
        for conflict in conflicts
    ]
    return json.dumps(documents, indent=2)


def closes_table(closes: Sequence[Close]) -> str:
    return f"{_table(_CLOSE_VIEW, closes)}{_counted(len(closes), 'day')} closed"


def closes_json(closes: Sequence[Close]) -> str:
    return json.dumps([close_document(close) for close in closes], indent=2)


def close_document(close: Close) -> dict[str, object]:
    """All of a close, in the canonical form of each field."""
    return {**asdict(close), "day": close.day.isoformat(), "closed_at": moment(close.closed_at)}


def subscriptions_table(standings: Sequence[Standing]) -> str:
    return f"{_table(_SUBSCRIPTION_VIEW, standings)}{_counted(len(standings), 'account')}"


def subscriptions_json(standings: Sequence[Standing]) -> str:
    """What holds now, and what is to come under `pending`."""
    documents = [
        {**asdict(standing.now), "pending": [_change_document(change) for change in standing.pending]}
        for standing in standings
    ]
    return json.dumps(documents, indent=2, default=_jsonable)


def grants_table(grants: Sequence[Grant]) -> str:
    return f"{_table(_GRANT_VIEW, grants)}{_counted(len(grants), 'grant')}"


def grants_json(grants: Sequence[Grant]) -> str:
    return json.dumps([asdict(grant) for grant in grants], indent=2, default=_jsonable)


def upgrades_table(wishes: Sequence[Wish]) -> str:
    return f"{_table(_UPGRADE_VIEW, wishes)}{_counted(len(wishes), 'upgrade')}"


def upgrades_json(wishes: Sequence[Wish]) -> str:
    return json.dumps([upgrade_document(wish) for wish in wishes], indent=2)


def upgrade_document(wish: Wish) -> dict[str, object]:
    """All of a wish but the address of its payment page, which is the customer's."""
    document: dict[str, object] = json.loads(json.dumps(asdict(wish), default=_jsonable))
    return {name: value for name, value in document.items() if name != "payment_url"}


def payments_table(events: Sequence[PaymentEvent]) -> str:
    return f"{_table(_PAYMENT_VIEW, events)}{_counted(len(events), 'notice')}"


def payments_json(events: Sequence[PaymentEvent]) -> str:
    return json.dumps([asdict(event) for event in events], indent=2, default=_jsonable)


def _change_document(change: Subscription) -> dict[str, object]:
    return {"plan": change.plan, "revision": change.revision, "effective_at": change.effective_at}


def _cost(totals: Mapping[str, Any]) -> str:
    amounts = [f"{Decimal(amount).normalize():f} {currency}" for currency, amount in totals["cost"].items()]
    return ", ".join(amounts) or "-"


def _table(view: Mapping[str, Callable[[RowT], str]], rows: Iterable[RowT]) -> str:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in view:
        table.add_column(name, justify="right" if name in _NUMBERS else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(show(row)) for show in view.values()))
    written = io.StringIO()
    Console(file=written, width=_WIDTH).print(table)
    return "".join(f"{line.rstrip()}\n" for line in written.getvalue().splitlines())


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _jsonable(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _shown(value: datetime) -> str:
    return value.strftime("%Y-%m-%d %H:%M:%S")
