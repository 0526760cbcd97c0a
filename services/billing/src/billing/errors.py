"""What billing refuses.

BillingError
├── UnknownPlan      unknown_plan      the catalogue has no plan of that name
├── UnknownAccount   unknown_account   no subscription was ever opened for that account
├── UnknownLine      unknown_line      the ledger has no such line, or no line of such a request
├── InThePast        in_the_past       a change or a grant for a time that is over
├── NotCorrectable   not_correctable   the line is not one that can be corrected, or not by that much
├── CannotClose      cannot_close      the day is not over, or its lines and their sums came apart
├── KeyRefused       key_refused       the key that signs daily closes is not there or cannot be used
├── NotComparable    not_comparable    the books cannot be compared now: a part is away or does not get on
├── UnknownUpgrade   unknown_upgrade   there is no such wish, or the account has none that waits
├── UpgradeDecided   upgrade_decided   the wish was approved, declined or withdrawn before
├── NotLarger        not_larger        the plan of the wish is not above the one that the account has by now
├── PaymentAway      payment_away      the payment provider does not answer, or does not do what it is asked
├── NoticeUnfit      notice_unfit      what claims to be a payment notice is none that we can take
└── PricesUnfit      prices_unfit      a price is set for a plan that the catalogue does not have
"""

from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import ClassVar, Literal
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


class UnknownUpgrade(BillingError):
    code = "unknown_upgrade"

    def __init__(self, named: UUID) -> None:
        super().__init__(f"{named} is no upgrade that waits, and no account with one; see `python -m billing upgrades`")
        self.named = named


class UpgradeDecided(BillingError):
    code = "upgrade_decided"

    def __init__(self, upgrade_id: UUID, state: str) -> None:
        super().__init__(f"upgrade {upgrade_id} is {state} already")
        self.upgrade_id = upgrade_id


class NotLarger(BillingError):
    code = "not_larger"

    def __init__(self, wanted: str, holds: str) -> None:
        super().__init__(
            f"{wanted} is not above {holds}, which the account has by now; `set-plan` moves it all the same"
        )
        self.wanted = wanted


class PaymentAway(BillingError):
    code = "payment_away"


class NoticeUnfit(BillingError):
    code = "notice_unfit"

    def __init__(self, reason: Literal["bad_signature", "unreadable", "not_expected"]) -> None:
        super().__init__(reason)
        self.reason = reason


class PricesUnfit(BillingError):
    code = "prices_unfit"

    def __init__(self, plans: Sequence[str], known: Sequence[str]) -> None:
        super().__init__(f"BILLING_STRIPE_PRICES names {', '.join(plans)}; the plans are: {', '.join(known)}")
        self.plans = plans
