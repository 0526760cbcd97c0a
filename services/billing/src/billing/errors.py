"""What billing refuses.

BillingError
├── UnknownPlan      unknown_plan      the catalogue has no plan of that name
└── UnknownAccount   unknown_account   no subscription was ever opened for that account
"""

from collections.abc import Sequence
from typing import ClassVar
from uuid import UUID


class BillingError(Exception):
    """A request of staff that cannot be carried out. `code` is the interface, the text is for people."""

    code: ClassVar[str] = "billing_error"


class UnknownPlan(BillingError):
    code = "unknown_plan"

    def __init__(self, plan: str, known: Sequence[str]) -> None:
        super().__init__(f"there is no plan `{plan}`; the plans are: {', '.join(known)}")
        self.plan = plan


class UnknownAccount(BillingError):
    code = "unknown_account"

    def __init__(self, account_id: UUID) -> None:
        super().__init__(f"there is no account {account_id}; `python -m billing subscriptions` lists them")
        self.account_id = account_id
