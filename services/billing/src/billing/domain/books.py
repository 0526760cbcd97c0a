"""The ledger's sums beside quota's books, account by account."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from billing.domain.differences import Difference, Figure, Kind
from contracts.quota import AccountBooks


@dataclass(frozen=True, slots=True)
class LedgerSums:
    """What the settlement and reversal lines of an account add up to in a day and its month.

    A limit is the largest that any line of the window names, None when one of them names none. The month's figures are
    None when only the day was added up.
    """

    account_id: UUID
    day_prompts: int
    day_requests: int
    day_limit: int | None
    month_prompts: int | None
    month_limit: int | None


@dataclass(frozen=True, slots=True)
class Compared:
    """One day of one account on both sides; a side that has nothing is None."""

    day: date
    ledger: LedgerSums | None
    quota: AccountBooks | None
    is_month_compared: bool

    def differences(self) -> Iterator[Difference]:
        """Every figure that is not the same on both sides or inside quota, and every window over its limit."""
        yield from self._between()
        if self.ledger is not None:
            yield from self._over_limit(self.ledger)
        if self.quota is not None:
            yield from self._inside(self.quota)

    def _between(self) -> Iterator[Difference]:
        ledger_prompts = self.ledger.day_prompts if self.ledger else 0
        ledger_requests = self.ledger.day_requests if self.ledger else 0
        used, settled = (self.quota.day_used, self.quota.day_settled) if self.quota else (0, 0)
        yield from self._unequal(Kind.USED_DIFFERS, "day", ledger=ledger_prompts, quota=used)
        yield from self._unequal(Kind.SETTLED_DIFFERS, "day", ledger=ledger_requests, quota=settled)
        if self.is_month_compared:
            ledger_month = (self.ledger.month_prompts or 0) if self.ledger else 0
            quota_month = self.quota.month_used if self.quota else 0
            yield from self._unequal(Kind.USED_DIFFERS, "month", ledger=ledger_month, quota=quota_month)

    def _over_limit(self, ledger: LedgerSums) -> Iterator[Difference]:
        if ledger.day_limit is not None and ledger.day_prompts > ledger.day_limit:
            yield self._of(Kind.LIMIT_EXCEEDED, "day", charged=ledger.day_prompts, limit=ledger.day_limit)
        charged = ledger.month_prompts
        if charged is not None and ledger.month_limit is not None and charged > ledger.month_limit:
            yield self._of(Kind.LIMIT_EXCEEDED, "month", charged=charged, limit=ledger.month_limit)

    def _inside(self, quota: AccountBooks) -> Iterator[Difference]:
        counters = Kind.COUNTERS_DIFFER
        yield from self._unequal(counters, "day", window_used=quota.day_used, charged_reservations=quota.day_charged)
        yield from self._unequal(counters, "day", window_reserved=quota.day_reserved, open_reservations=quota.day_open)
        yield from self._unequal(counters, "month", window_used=quota.month_used, sum_of_days=quota.month_days_used)
        yield from self._unequal(
            counters, "month", window_reserved=quota.month_reserved, sum_of_days_reserved=quota.month_days_reserved
        )
        if quota.overdue:
            figures: dict[str, Figure] = {"reservations": quota.overdue}
            yield Difference(Kind.RESERVATIONS_OVERDUE, account_id=quota.account_id, figures=figures)

    def _unequal(self, kind: Kind, window: str, **figures: int) -> Iterator[Difference]:
        if len(set(figures.values())) > 1:
            yield self._of(kind, window, **figures)

    def _of(self, kind: Kind, window: str, **figures: int) -> Difference:
        either = self.ledger or self.quota
        assert either is not None, "one side has the account"
        starts_on = self.day if window == "day" else self.day.replace(day=1)
        return Difference(kind, account_id=either.account_id, window=window, day=starts_on, figures=figures)
