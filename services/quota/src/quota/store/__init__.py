"""Everything that quota asks of Postgres, by intent. The only place with SQL.

Exactness rests on three things. Every change of a window happens under the lock of its row, and rows are locked in
the order of the primary key. What is read under that lock is the newest version (Postgres re-reads a row that it had
to wait for, or that changed after the statement's snapshot); everything else is as old as the snapshot, so what is
decided by absence is confirmed with a second, later one. And the primary key of `reservations` ends every race of one
request id.
"""

from quota.store.records import Store
from quota.store.reservations import Reservations

__all__ = ["Reservations", "Store"]
