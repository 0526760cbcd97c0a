"""Quota and billing as the portal sees them, played over the real bus: they answer what a test says, and note asks."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal
from uuid import UUID, uuid4

from chassis import bus
from contracts.billing import (
    READ_ACTIVITY,
    READ_RECEIPT,
    READ_SUBSCRIPTION,
    REQUEST_UPGRADE,
    TAKE_PAYMENT_NOTICE,
    WITHDRAW_UPGRADE,
    Activity,
    DayActivity,
    NoReceipt,
    NoSubscription,
    NoticeRefused,
    NoticeTaken,
    PaymentNotice,
    ReadActivity,
    ReadReceipt,
    ReadSubscription,
    Receipt,
    RequestUpgrade,
    SubscriptionStanding,
    Upgrade,
    UpgradeRefused,
    UpgradeRequested,
    UpgradeWithdrawn,
    WithdrawUpgrade,
)
from contracts.failures import Failure
from contracts.gateway import Timings, TokenUsage, WindowAfter
from contracts.outcomes import Outcome
from contracts.quota import READ_USAGE, ReadUsage, Usage, Window
from tests.routes import a_route_taken
from tests.service.gateway.portal_house import Browser, PortalHouse

BEGAN = datetime(2026, 11, 22, 12, 0, 1, tzinfo=UTC)
AWAY = Failure(code="unavailable", message="a store is away")


@dataclass(slots=True)
class Peers:
    """What the two know. `is_broken`: billing answers with failures."""

    plan: str = "free"
    counted_plan: str | None = None
    used: int = 12
    granted: int = 0
    limits: tuple[int | None, int | None] = (200, 1000)
    receipts: list[Receipt] = field(default_factory=list)
    days: list[DayActivity] = field(default_factory=list)
    more_before: int | None = None
    has_subscription: bool = True
    upgrade: Upgrade | None = None
    payment: Literal["staff", "stripe"] = "staff"
    payment_url: str | None = None
    refusal: UpgradeRefused | None = None
    withdrawable: bool = True
    takes_notices: bool = True
    is_broken: bool = False
    asked: list[Any] = field(default_factory=list)
    upcoming: tuple[Any, ...] = ()

    def asks(self, kind: type) -> list[Any]:
        return [each for each in self.asked if isinstance(each, kind)]

    async def usage(self, _: ReadUsage) -> Usage:
        return Usage(
            plan=self.counted_plan or self.plan,
            alias="smart-route-mini",
            plans_version=1,
            daily=self._window(self.limits[0], date(2026, 11, 28), BEGAN + timedelta(days=7)),
            monthly=self._window(self.limits[1], date(2026, 11, 1), datetime(2026, 12, 1, tzinfo=UTC)),
        )

    def _window(self, limit: int | None, starts_on: date, resets_at: datetime) -> Window:
        remaining = None if limit is None else limit - self.used
        return Window(
            limit=limit,
            granted=self.granted,
            used=self.used,
            reserved=0,
            remaining=remaining,
            starts_on=starts_on,
            resets_at=resets_at,
        )

    async def receipt(self, asked: ReadReceipt) -> Receipt | NoReceipt | Failure:
        self.asked.append(asked)
        known = {(each.account_id, each.request_id): each for each in self.receipts}
        if self.is_broken:
            return AWAY
        return known.get((asked.account_id, asked.request_id)) or NoReceipt(request_id=asked.request_id)

    async def activity(self, asked: ReadActivity) -> Activity | Failure:
        self.asked.append(asked)
        if self.is_broken:
            return AWAY
        own = [each for each in self.receipts if each.account_id == asked.account_id]
        page = [each for each in own if asked.before is None or each.ledger_sequence < asked.before]
        return Activity(
            account_id=asked.account_id, days=tuple(self.days), requests=tuple(page), more_before=self.more_before
        )

    async def subscription(self, asked: ReadSubscription) -> SubscriptionStanding | NoSubscription | Failure:
        self.asked.append(asked)
        if self.is_broken:
            return AWAY
        if not self.has_subscription:
            return NoSubscription(account_id=asked.account_id)
        return SubscriptionStanding(
            account_id=asked.account_id,
            plan=self.plan,
            since=BEGAN,
            upcoming=self.upcoming,
            upgrade=self.upgrade,
            payment=self.payment,
        )

    async def request(self, asked: RequestUpgrade) -> UpgradeRequested | UpgradeRefused | Failure:
        self.asked.append(asked)
        if self.is_broken:
            return AWAY
        if self.refusal is not None:
            return self.refusal
        self.upgrade = an_upgrade(asked.plan, upgrade_id=asked.upgrade_id, payment_url=self.payment_url)
        return UpgradeRequested(upgrade=self.upgrade)

    async def withdraw(self, asked: WithdrawUpgrade) -> UpgradeWithdrawn | Failure:
        self.asked.append(asked)
        if self.is_broken:
            return AWAY
        if self.upgrade is None or self.upgrade.upgrade_id != asked.upgrade_id:
            return UpgradeWithdrawn(upgrade=None)
        if self.withdrawable:
            self.upgrade = self.upgrade.model_copy(update={"state": "withdrawn", "decided_at": datetime.now(UTC)})
        return UpgradeWithdrawn(upgrade=self.upgrade)

    async def notice(self, asked: PaymentNotice) -> NoticeTaken | NoticeRefused | Failure:
        self.asked.append(asked)
        if self.is_broken:
            return AWAY
        return NoticeTaken() if self.takes_notices else NoticeRefused(reason="bad_signature")


@asynccontextmanager
async def peers(house: PortalHouse) -> AsyncIterator[Peers]:
    """Both answer while the block runs; outside of it they are away."""
    async with bus.connect(house.gateway.nats_url, name="billing", instance="test") as connection:
        played = Peers()
        await bus.serve(connection, READ_USAGE, played.usage, queue="quota")
        await bus.serve(connection, READ_RECEIPT, played.receipt, queue="billing")
        await bus.serve(connection, READ_ACTIVITY, played.activity, queue="billing")
        await bus.serve(connection, READ_SUBSCRIPTION, played.subscription, queue="billing")
        await bus.serve(connection, REQUEST_UPGRADE, played.request, queue="billing")
        await bus.serve(connection, WITHDRAW_UPGRADE, played.withdraw, queue="billing")
        await bus.serve(connection, TAKE_PAYMENT_NOTICE, played.notice, queue="billing")
        yield played


async def a_reader(house: PortalHouse) -> tuple[Browser, UUID]:
    """A browser of a new user, and the user's account."""
    email = f"{uuid4().hex[:12]}@example.com"
    browser = await house.signed_up(email)
    async with house.users() as users:
        user = await users.by_email(email)
    assert user is not None
    return browser, user.account_id


def an_upgrade(plan: str, **fields: Any) -> Upgrade:
    return Upgrade.model_validate(
        {"upgrade_id": uuid4(), "plan": plan, "state": "pending", "requested_at": BEGAN, **fields}
    )


def a_receipt(account_id: UUID, **fields: Any) -> Receipt:
    window = WindowAfter(limit=200, used=12, remaining=188, resets_at=BEGAN)
    values: dict[str, Any] = {
        "request_id": uuid4(),
        "account_id": account_id,
        "turn_id": uuid4(),
        "call": 1,
        "result": Outcome.COMPLETED,
        "prompts": 1,
        "plan": "free",
        "plans_version": 1,
        "alias_asked": "smart-route-deep",
        "alias_served": "smart-route-mini",
        "endpoint": "chat/completions",
        "is_stream": True,
        "started_at": BEGAN,
        "ended_at": BEGAN + timedelta(seconds=2),
        "timings": Timings(admitted_ms=3.4, first_content_ms=412.2, total_ms=1834.9),
        "tokens": TokenUsage(input=1234, cached_input=200, output=567, reasoning=89, source="provider"),
        "daily": window,
        "monthly": window.model_copy(update={"limit": 1000, "remaining": 988}),
        "error_code": None,
        "trace_id": "ab" * 16,
        "ledger_sequence": 1,
        "ledger_hash": "cd" * 32,
        "recorded_at": BEGAN + timedelta(seconds=3),
        "route": a_route_taken(),
        **fields,
    }
    return Receipt.model_validate(values)
