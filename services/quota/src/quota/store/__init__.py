"""Everything that quota asks of Postgres, by intent. The only place with SQL.

Exactness rests on three things. Every change of an account happens under the lock of its row, and locks are taken in
one order: accounts by id, windows by primary key, grants, turns, and reservations by key. What is read under these
locks is the newest version (Postgres re-reads a row that it had to wait for, or that changed after the statement's
snapshot); everything else is as old as the snapshot, so it counts only when the account's version says that it has not
changed, and what is decided by absence is confirmed with a second, later one. And the primary key of `reservations`
ends every race of one request id, that of `turns` every race for the second call of a turn.
"""

from quota.store.accounts import Accounts, Grant
from quota.store.books import BookKeeping
from quota.store.conflicts import KeptSettlement, kept_settlements
from quota.store.leases import Leases
from quota.store.records import Store
from quota.store.reservations import Reservations
from quota.store.turns import Turns

__all__ = [
    "Accounts",
    "BookKeeping",
    "Grant",
    "KeptSettlement",
    "Leases",
    "Reservations",
    "Store",
    "Turns",
    "kept_settlements",
]
