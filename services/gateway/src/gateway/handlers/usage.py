"""`GET /usage`: the plan of the caller's account and both windows, as quota counts them now."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from chassis.bus import Bus, PeerUnavailable, ask
from contracts import quota
from contracts.failures import Failure
from gateway.auth import USAGE_READ, require_scope
from gateway.domain import Caller
from gateway.errors import ServiceUnavailable
from gateway.handlers.caller import Dependency


class UsageWindow(BaseModel):
    """One UTC day or UTC month. `used + remaining == limit`; an unlimited plan has null for limit and remaining."""

    limit: int | None
    used: int = Field(description="Finished prompts and those that are held for requests now running")
    remaining: int | None
    reserved: int = Field(description="The part of `used` that is held for requests now running")
    resets_at: datetime = Field(description="When the next window begins (UTC)")


class UsageReport(BaseModel):
    """The allowance of an account."""

    plan: str = Field(examples=["free"])
    alias: str = Field(description="The strongest alias that this plan is served", examples=["smart-route-mini"])
    daily: UsageWindow
    monthly: UsageWindow


ReadUsage = Callable[[UUID], Awaitable[quota.Usage]]


def build_read_usage(bus: Bus, *, timeout_seconds: float) -> ReadUsage:
    """Asks quota for an account's windows; what comes back raises `ServiceUnavailable` when it is no answer."""

    async def read(account_id: UUID) -> quota.Usage:
        request = quota.ReadUsage(account_id=account_id)
        try:
            reply = await ask(bus, quota.READ_USAGE, request, timeout_seconds=timeout_seconds)
        except PeerUnavailable as exc:
            raise ServiceUnavailable from exc
        match reply:
            case quota.Usage():
                return reply
            case Failure():
                raise ServiceUnavailable

    return read


def build_usage(caller: Dependency, read: ReadUsage, *, prefix: str) -> APIRouter:
    api = APIRouter(prefix=prefix, tags=["usage"])

    @api.get("/usage", operation_id="read_usage", summary="Read plan and allowance")
    async def read_usage(who: Annotated[Caller, Depends(caller)]) -> UsageReport:
        """Needs the scope `usage:read`. Reading costs no prompt."""
        require_scope(who, USAGE_READ)
        usage = await read(who.account_id)
        return UsageReport(
            plan=usage.plan, alias=usage.alias, daily=_window(usage.daily), monthly=_window(usage.monthly)
        )

    return api


def _window(window: quota.Window) -> UsageWindow:
    return UsageWindow(
        limit=window.limit,
        used=window.used,
        remaining=window.remaining,
        reserved=window.reserved,
        resets_at=window.resets_at,
    )
