"""What a visitor has left, what was done with it, and the receipt of every request."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from contracts.billing import Activity
from contracts.outcomes import Outcome
from contracts.plans import PlanCatalogue
from gateway.errors import ReceiptNotFound
from gateway.handlers.receipts import Found, ReadReceipt, ReceiptReport, parse_request_id, report
from gateway.portal import words
from gateway.portal.activity import Activities, Day, days_through, outcomes_of
from gateway.portal.allowance import Allowances
from gateway.portal.errors import PageMissing
from gateway.portal.pace import pace
from gateway.portal.rendering import Renderer
from gateway.portal.visitor import SignedIn

# A place in the account's chain of ledger lines, as far as Postgres counts.
Before = Annotated[int | None, Query(ge=1, lt=2**63)]


def build_overview(
    render: Renderer,
    allowances: Allowances,
    activities: Activities,
    plans: Callable[[], PlanCatalogue],
    read_receipt: ReadReceipt,
) -> APIRouter:
    pages = APIRouter()

    @pages.get("/overview")
    async def overview(request: Request, visitor: SignedIn, before: Before = None) -> Response:
        now = datetime.now(UTC)
        allowance, activity = await asyncio.gather(
            allowances.of(visitor), activities.of(visitor, today=now.date(), before=before)
        )
        return render.page(
            request,
            "overview/overview.html",
            allowance=allowance,
            pace=pace(allowance.monthly, now=now) if allowance is not None else None,
            activity=activity,
            requests=_reports(activity, plans()),
            before=before,
            words=words,
            **_days(activity, now.date()),
        )

    @pages.get("/overview/requests/{request_id}")
    async def receipt(request: Request, visitor: SignedIn, request_id: str) -> Response:
        try:
            wanted = parse_request_id(request_id)
            found = await read_receipt(visitor.account_id, wanted)
        except ReceiptNotFound as exc:
            raise PageMissing from exc
        shown = report(found, plans(), request_id=wanted)
        return render.page(request, "overview/receipt.html", receipt=shown, words=words)

    return pages


def _reports(activity: Activity | None, plans: PlanCatalogue) -> Sequence[ReceiptReport]:
    """As `GET /v1/receipts/{request_id}` tells them."""
    receipts = activity.requests if activity is not None else ()
    return [report(Found(receipt), plans, request_id=receipt.request_id) for receipt in receipts]


def _days(activity: Activity | None, today: date) -> Mapping[str, Any]:
    """What the template is given of them."""
    days = days_through(today, activity.days if activity is not None else ())
    outcomes = outcomes_of(days)
    return {
        "days": days,
        "outcomes": outcomes,
        "totals": {outcome: sum(day.ended.get(outcome, 0) for day in days) for outcome in outcomes},
        "chart": _chart(days, outcomes),
    }


def _chart(days: Sequence[Day], outcomes: Sequence[Outcome]) -> Mapping[str, object]:
    """What the script draws: the same figures as the table beside it."""
    return {
        "days": [day.day.isoformat() for day in days],
        "prompts": [day.prompts for day in days],
        "outcomes": [
            {
                "name": outcome.value,
                "title": words.OUTCOMES[outcome],
                "requests": [day.ended.get(outcome, 0) for day in days],
            }
            for outcome in outcomes
        ],
    }
