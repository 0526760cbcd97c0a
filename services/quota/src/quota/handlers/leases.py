"""What gateways tell of the prompts that they hold: which go on, and which nobody waits for."""

from collections.abc import Callable, Sequence
from uuid import UUID

from contracts.quota import Lease, Renew, Renewed, RenewReply
from quota.store import Leases
from quota.store.leases import Key


class LeaseHandlers:
    """Two statements at most, however many leases there are. `abandoned` is called when some ended."""

    def __init__(self, leases: Leases, *, lease_seconds: float, abandoned: Callable[[], None]) -> None:
        self._leases = leases
        self._lease_seconds = lease_seconds
        self._abandoned = abandoned

    async def renew(self, question: Renew) -> RenewReply:
        if question.abandoned and await self._leases.abandon(question.gateway, _keys(question.abandoned)):
            self._abandoned()
        gone: Sequence[UUID] = ()
        if question.open:
            gone = await self._leases.renew(question.gateway, _keys(question.open), lease_seconds=self._lease_seconds)
        return Renewed(lease_seconds=self._lease_seconds, gone=tuple(gone))


def _keys(leases: Sequence[Lease]) -> Sequence[Key]:
    return [(lease.account_id, lease.request_id) for lease in leases]
