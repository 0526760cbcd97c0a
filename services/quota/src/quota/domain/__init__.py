"""The rules of quota, as pure functions over plain values: what a window has left, why not, and who settles first."""

from quota.domain.admission import (
    Ask,
    Decision,
    Held,
    Limits,
    Refusal,
    Refused,
    Standing,
    Terms,
    refusal,
    refused,
)
from quota.domain.expiry import event_id, expired
from quota.domain.leases import OpenReservations, Overdue
from quota.domain.settlements import Change, Conflict, Effect, Folded, Hold, Objection, Settlement, effect, fold, settle
from quota.domain.speed import refill_microseconds
from quota.domain.turns import FORGOTTEN_AFTER, LONGEST_TURN, Continued
from quota.domain.windows import Allowance, Counts, Windows, allowance, day_resets_at, month_resets_at

__all__ = [
    "FORGOTTEN_AFTER",
    "LONGEST_TURN",
    "Allowance",
    "Ask",
    "Change",
    "Conflict",
    "Continued",
    "Counts",
    "Decision",
    "Effect",
    "Folded",
    "Held",
    "Hold",
    "Limits",
    "Objection",
    "OpenReservations",
    "Overdue",
    "Refusal",
    "Refused",
    "Settlement",
    "Standing",
    "Terms",
    "Windows",
    "allowance",
    "day_resets_at",
    "effect",
    "event_id",
    "expired",
    "fold",
    "month_resets_at",
    "refill_microseconds",
    "refusal",
    "refused",
    "settle",
]
