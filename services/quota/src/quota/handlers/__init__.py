"""What quota answers and what it hears: decode, decide, store, reply."""

from quota.handlers.accounts import AccountHandlers
from quota.handlers.admission import AdmissionHandlers
from quota.handlers.books import BookHandlers
from quota.handlers.catalogue import Catalogue
from quota.handlers.leases import LeaseHandlers
from quota.handlers.settlements import SettlementHandlers

__all__ = ["AccountHandlers", "AdmissionHandlers", "BookHandlers", "Catalogue", "LeaseHandlers", "SettlementHandlers"]
