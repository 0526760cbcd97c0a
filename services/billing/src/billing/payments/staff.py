"""Staff approves or declines wishes with the command line; nothing is paid here."""

from typing import Literal

from billing.domain.payments import Notice
from billing.domain.upgrades import PaymentPage
from billing.errors import NoticeUnfit, PaymentAway
from billing.payments.port import Order


class StaffApproves:
    """Every plan can be asked for, and no notice is expected."""

    @property
    def decides(self) -> Literal["staff", "stripe"]:
        return "staff"

    def sells(self, _plan: str) -> bool:
        return True

    async def open(self, _order: Order) -> PaymentPage | None:
        return None

    async def shut(self, reference: str) -> bool:
        raise PaymentAway(f"no provider is configured that could shut the payment page {reference}")

    async def end(self, subscription: str) -> None:
        raise PaymentAway(f"no provider is configured that could end {subscription}")

    def read(self, _body: str, _signature: str) -> Notice:
        raise NoticeUnfit("not_expected")
