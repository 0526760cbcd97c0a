"""How sessions end: at once, on every replica, and with the tokens that the live tester had for them."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from chassis.bus import Bus
from gateway import accounts
from gateway.errors import NotInForce
from gateway.store import Store
from gateway.store.users import UserStore
from gateway.tables import Token

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Endings:
    users: UserStore
    store: Store
    bus: Bus
    timeout_seconds: float

    async def end(self, user_id: UUID, session_id: UUID) -> bool:
        """Whether the user had that session. Raises `StoreAway`."""
        was_there, tokens = await self.users.end_session(user_id, session_id)
        await self.block(tokens)
        return was_there

    async def end_others(self, user_id: UUID, *, but: UUID) -> None:
        """Raises `StoreAway`."""
        await self.block(await self.users.end_other_sessions(user_id, but=but))

    async def block(self, tokens: Iterable[Token]) -> None:
        """Have quota refuse revoked tokens from now on. What it does not confirm stays owed, and the relay goes on."""
        for token in tokens:
            try:
                await accounts.block_token(self.bus, self.store, token, timeout_seconds=self.timeout_seconds)
            except NotInForce:
                log.warning("token of a session to be blocked later", extra={"token_id": str(token.token_id)})
