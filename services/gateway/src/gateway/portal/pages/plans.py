"""The plans side by side, and the way to a larger one: asked for, paid or approved, withdrawn."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from fastapi import APIRouter, Request, Response
from starlette.responses import JSONResponse, RedirectResponse

from contracts.billing import SubscriptionStanding, Upgrade, UpgradeRefused
from contracts.plans import PlanCatalogue
from gateway.errors import ServiceUnavailable
from gateway.portal.allowance import Allowance, Allowances
from gateway.portal.errors import PageMissing
from gateway.portal.forms import PostedForm
from gateway.portal.rendering import Renderer
from gateway.portal.subscriptions import Subscriptions, larger_plans, named, payment_page
from gateway.portal.visit import Visitor, cookie, visit_of
from gateway.portal.visitor import MaybeVisitor, RecentlySignedIn, SignedIn

# Which decision the reader has taken note of: it is not told again.
NOTED_COOKIE = "__Host-smartroute_noted"
TOLD_FOR = timedelta(days=14)

_REFUSALS = {
    "unknown_plan": "There is no such plan.",
    "not_larger": "Your plan is not below the one that you asked for.",
    "not_for_sale": "This plan is not for sale here.",
    "unknown_account": "Your account is still being set up. Please try again in a moment.",
    "payment_unavailable": "The payment page cannot be opened just now. Nothing was changed; try again in a moment.",
}
_AWAY = "Plans cannot be changed just now. Nothing was changed; please try again in a moment."
_BEING_PAID = "This wish is being paid just now, so it cannot be withdrawn."


@dataclass(frozen=True, slots=True)
class Reading:
    """What is known of a reader's plan. `is_away`: billing does not answer."""

    allowance: Allowance | None = None
    standing: SubscriptionStanding | None = None
    is_away: bool = False

    @property
    def holds(self) -> str | None:
        """Billing knows a change first."""
        if self.standing is not None:
            return self.standing.plan
        return self.allowance.plan.name if self.allowance is not None else None

    @property
    def pending(self) -> Upgrade | None:
        upgrade = self.standing.upgrade if self.standing is not None else None
        return upgrade if upgrade is not None and upgrade.state == "pending" else None

    @property
    def is_taking_effect(self) -> bool:
        """Billing has changed the plan, and quota is about to."""
        if self.standing is None or self.allowance is None:
            return False
        return self.standing.plan != self.allowance.plan.name

    @property
    def mark(self) -> str:
        """Another one as soon as the page would show something else."""
        upgrade = self.standing.upgrade if self.standing is not None else None
        wish = f"{upgrade.upgrade_id} {upgrade.state}" if upgrade is not None else ""
        counted = self.allowance.plan.name if self.allowance is not None else ""
        return f"{self.holds or ''} {counted} {wish}".strip()

    def decided(self, noted: str | None, *, now: datetime) -> Upgrade | None:
        """A decision that the reader has not taken note of, and that is not overtaken by other changes."""
        upgrade = self.standing.upgrade if self.standing is not None else None
        if upgrade is None or upgrade.decided_at is None or self.standing is None:
            return None
        if noted == str(upgrade.upgrade_id) or now - upgrade.decided_at > TOLD_FOR:
            return None
        if upgrade.state == "approved":
            plans = {self.standing.plan, *(change.plan for change in self.standing.upcoming)}
            return upgrade if upgrade.plan in plans else None
        return upgrade if upgrade.state == "declined" else None


class _Pages:
    """The pages of this group; all of them are the plans, with something to say above."""

    def __init__(
        self,
        render: Renderer,
        allowances: Allowances,
        subscriptions: Subscriptions,
        plans: Callable[[], PlanCatalogue],
    ) -> None:
        self.render = render
        self.allowances = allowances
        self.subscriptions = subscriptions
        self.plans = plans

    async def read(self, visitor: Visitor | None) -> Reading:
        if visitor is None:
            return Reading()
        allowance = await self.allowances.of(visitor)
        try:
            return Reading(allowance, await self.subscriptions.standing(visitor))
        except ServiceUnavailable:
            return Reading(allowance, is_away=True)

    async def show(self, request: Request, visitor: Visitor | None, *, status: int = 200, fault: str = "") -> Response:
        reading = await self.read(visitor)
        plans = self.plans()
        now = datetime.now(UTC)
        is_back = request.query_params.get("payment", "")
        return self.render.page(
            request,
            "plans/plans.html",
            status=status,
            reading=reading,
            allowance=reading.allowance,
            plans=plans.plans,
            larger=larger_plans(plans, than=reading.standing.plan) if reading.standing is not None else (),
            decided=reading.decided(request.cookies.get(NOTED_COOKIE), now=now),
            payment_page=payment_page(reading.pending),
            is_confirming=is_back == "done" and reading.pending is not None,
            is_cancelled=is_back == "cancelled" and reading.pending is not None,
            fault=fault,
            wish=uuid4().hex,
            named=lambda name: named(plans, name),
        )

    async def request(self, request: Request, visitor: Visitor, *, plan: str, wish: str, origin: str) -> Response:
        if self.plans().plan(plan) is None:
            return await self.show(request, visitor, status=409, fault=_REFUSALS["unknown_plan"])
        try:
            reply = await self.subscriptions.request(visitor, plan, wish=wish, return_url=f"{origin}/plans")
        except ServiceUnavailable:
            return await self.show(request, visitor, status=503, fault=_AWAY)
        if isinstance(reply, UpgradeRefused):
            return await self.show(request, visitor, status=409, fault=_REFUSALS[reply.reason])
        return _seen("/plans/payment" if reply.upgrade.payment_url is not None else "/plans")

    async def withdraw(self, request: Request, visitor: Visitor, upgrade_id: UUID) -> Response:
        try:
            upgrade = await self.subscriptions.withdraw(visitor, upgrade_id)
        except ServiceUnavailable:
            return await self.show(request, visitor, status=503, fault=_AWAY)
        if upgrade is None:
            raise PageMissing
        if upgrade.state == "pending":
            return await self.show(request, visitor, status=409, fault=_BEING_PAID)
        return _seen("/plans")

    async def payment(self, request: Request, visitor: Visitor) -> Response:
        """Where to pay for the pending wish. A link: our own forms may lead nowhere else."""
        reading = await self.read(visitor)
        page = payment_page(reading.pending)
        if page is None or reading.pending is None:
            return _seen("/plans")
        plan = named(self.plans(), reading.pending.plan)
        return self.render.page(request, "plans/payment.html", page=page, plan=plan, upgrade=reading.pending)


def build_plans(
    render: Renderer,
    allowances: Allowances,
    subscriptions: Subscriptions,
    plans: Callable[[], PlanCatalogue],
    *,
    origin: str,
) -> APIRouter:
    pages = APIRouter()
    own = _Pages(render, allowances, subscriptions, plans)

    @pages.get("/plans")
    async def show(request: Request, visitor: MaybeVisitor) -> Response:
        return await own.show(request, visitor)

    @pages.get("/plans/payment")
    async def pay(request: Request, visitor: SignedIn) -> Response:
        return await own.payment(request, visitor)

    @pages.get("/plans/standing")
    async def standing(visitor: SignedIn) -> Response:
        """For the script of the page that waits for a decision."""
        reading = await own.read(visitor)
        if reading.is_away or reading.allowance is None:
            raise ServiceUnavailable
        return JSONResponse({"mark": reading.mark})

    _add_changes(pages, own, origin=origin)
    return pages


def _add_changes(pages: APIRouter, own: _Pages, *, origin: str) -> None:
    @pages.post("/plans/upgrade")
    async def upgrade(request: Request, visitor: RecentlySignedIn, form: PostedForm) -> Response:
        wish = form.text("wish") or uuid4().hex
        return await own.request(request, visitor, plan=form.text("plan"), wish=wish, origin=origin)

    @pages.post("/plans/withdraw")
    async def withdraw(request: Request, visitor: SignedIn, form: PostedForm) -> Response:
        return await own.withdraw(request, visitor, _id(form.text("upgrade")))

    @pages.post("/plans/noted")
    async def note(request: Request, _: SignedIn, form: PostedForm) -> Response:
        noted = cookie(NOTED_COOKIE, str(_id(form.text("upgrade"))), max_age_seconds=round(TOLD_FOR.total_seconds()))
        visit_of(request.scope).set_cookies.append(noted)
        return _seen("/plans")


def _seen(path: str) -> Response:
    return RedirectResponse(path, status_code=303)


def _id(text: str) -> UUID:
    """Raises `PageMissing`."""
    try:
        return UUID(text)
    except ValueError as exc:
        raise PageMissing from exc
