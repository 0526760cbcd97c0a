"""What a customer asks of billing about plans, over the bus."""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID, uuid4

from chassis.bus import Bus, ask
from contracts.billing import (
    READ_SUBSCRIPTION,
    REQUEST_UPGRADE,
    WITHDRAW_UPGRADE,
    ReadSubscription,
    RequestUpgrade,
    RequestUpgradeReply,
    SubscriptionReply,
    SubscriptionStanding,
    Upgrade,
    UpgradeRequested,
    UpgradeWithdrawn,
    WithdrawUpgrade,
)
from devstack.probes import until
from tests.service.billing.billing_process import open_account

RETURN_URL = "https://portal.example.com/plans?from=docs"


@dataclass(frozen=True, slots=True)
class Customer:
    """An account that billing knows."""

    bus: Bus
    account_id: UUID

    async def ask_for(self, plan: str, *, upgrade_id: UUID | None = None) -> RequestUpgradeReply:
        asked = RequestUpgrade(
            upgrade_id=upgrade_id or uuid4(),
            account_id=self.account_id,
            plan=plan,
            return_url=RETURN_URL,
            email="anna@example.com",
        )
        return await ask(self.bus, REQUEST_UPGRADE, asked, timeout_seconds=10)

    async def upgrade(self, plan: str, *, upgrade_id: UUID | None = None) -> Upgrade:
        """The wish for a plan that can be had."""
        reply = await self.ask_for(plan, upgrade_id=upgrade_id)
        assert isinstance(reply, UpgradeRequested), reply
        return reply.upgrade

    async def withdraw(self, upgrade_id: UUID) -> Upgrade | None:
        asked = WithdrawUpgrade(upgrade_id=upgrade_id, account_id=self.account_id)
        reply = await ask(self.bus, WITHDRAW_UPGRADE, asked, timeout_seconds=10)
        assert isinstance(reply, UpgradeWithdrawn)
        return reply.upgrade

    async def read(self) -> SubscriptionReply:
        return await ask(self.bus, READ_SUBSCRIPTION, ReadSubscription(account_id=self.account_id), timeout_seconds=10)

    async def standing(self) -> SubscriptionStanding:
        reply = await self.read()
        assert isinstance(reply, SubscriptionStanding), reply
        return reply

    async def state(self) -> str | None:
        """That of the newest wish."""
        newest = (await self.standing()).upgrade
        return None if newest is None else newest.state

    async def wait_for(self, fits: Callable[[SubscriptionStanding], bool]) -> SubscriptionStanding:
        """The standing, once it fits."""

        async def is_so() -> bool:
            return fits(await self.standing())

        assert await until(is_so, within_seconds=30, every_seconds=0.05), await self.standing()
        return await self.standing()

    async def wait_for_plan(self, plan: str) -> SubscriptionStanding:
        return await self.wait_for(lambda standing: standing.plan == plan)


async def a_customer(bus: Bus, *, plan: str | None = None) -> Customer:
    """An account that billing has heard of."""
    customer = Customer(bus, await open_account(bus, plan=plan))

    async def is_known() -> bool:
        return isinstance(await customer.read(), SubscriptionStanding)

    assert await until(is_known, within_seconds=30)
    return customer
