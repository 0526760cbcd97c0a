"""What billing needs of whoever takes payments."""

from dataclasses import dataclass
from typing import Literal, Protocol
from uuid import UUID

from billing.domain.payments import Notice
from billing.domain.upgrades import PaymentPage


@dataclass(frozen=True, slots=True)
class Order:
    """A wish that is to be paid. The customer comes back to `return_url`."""

    upgrade_id: UUID
    account_id: UUID
    plan: str
    return_url: str
    email: str | None


class PaymentPort(Protocol):
    """Calls that leave the house raise `PaymentAway`; they are never made inside of a transaction."""

    @property
    def decides(self) -> Literal["staff", "stripe"]:
        """Who decides on wishes."""
        ...

    def sells(self, plan: str, /) -> bool:
        """Whether the plan can be had this way."""
        ...

    async def open(self, order: Order, /) -> PaymentPage | None:
        """Where the order can be paid, the same page for the same order; None where nothing is paid."""
        ...

    async def shut(self, reference: str) -> bool:
        """Nobody can pay at that page any more; False: it is too late, somebody has."""
        ...

    async def end(self, subscription: str) -> None:
        """The subscription pays no longer, from now on. One that has ended stays so."""
        ...

    def read(self, body: str, signature: str, /) -> Notice:
        """A notice that is genuine. Raises `NoticeUnfit`."""
        ...
