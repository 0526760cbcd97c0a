"""What billing refuses.

BillingError
├── UnknownPlan      unknown_plan      the catalogue has no plan of that name
├── UnknownAccount   unknown_account   no subscription was ever opened for that account
├── UnknownLine      unknown_line      the ledger has no such line, or no line of such a request
├── InThePast        in_the_past       a change or a grant for a time that is over
├── NotCorrectable   not_correctable   the line is not one that can be corrected, or not by that much
├── CannotClose      cannot_close      the day is not over, or its lines and their sums came apart
├── KeyRefused       key_refused       the key that signs daily closes is not there or cannot be used
└── NotComparable    not_comparable    the books cannot be compared now: a part is away or does not get on
"""

from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
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


class UnknownLine(BillingError):
    code = "unknown_line"

    def __init__(self, named: UUID | int) -> None:
        what = f"line {named}" if isinstance(named, int) else f"request {named}"
        super().__init__(f"the ledger knows no {what}; `python -m billing ledger` lists lines and requests")
        self.named = named


class InThePast(BillingError):
    code = "in_the_past"

    def __init__(self, wanted: datetime, now: datetime) -> None:
        super().__init__(f"{wanted.isoformat()} is over (it is {now.isoformat(timespec='seconds')})")
        self.wanted = wanted


class NotCorrectable(BillingError):
    code = "not_correctable"


class CannotClose(BillingError):
    code = "cannot_close"

    def __init__(self, day: date, reason: str) -> None:
        super().__init__(f"{day.isoformat()} cannot be closed: {reason}")
        self.day = day


class KeyRefused(BillingError):
    code = "key_refused"

    def __init__(self, path: Path | None, reason: str) -> None:
        super().__init__(f"{path}: {reason}" if path else reason)
        self.path = path


class NotComparable(BillingError):
    code = "not_comparable"
