"""The ids of tool calls: minted by us, so that a later request proves which turn it belongs to, without a look-up.

`call_` and 35 characters of base64url over 26 bytes: the turn's UUID (16), the position of the call in the turn (3: the
request's number and the call's place in its answer, 12 bits each) and the first 7 bytes of an HMAC-SHA-256 over turn,
account and position. 40 characters are what OpenAI's own API allows.
"""

import base64
import binascii
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from contracts.quota import Continued

PREFIX = "call_"
LENGTH = 40
MAX_PLACE = 4095

_MAC_BYTES = 7
_DOMAIN = b"smart-route tool call v1"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """Where an id of ours comes from: the `place`-th call in the answer to the `call`-th request of a turn."""

    turn_id: UUID
    call: int
    place: int


class ToolCallIds:
    """Mints and verifies ids. A previous key is still accepted, so that keys can be changed while turns are open."""

    def __init__(self, key: bytes, *, previous_key: bytes | None = None) -> None:
        self._key = key
        self._keys = (key,) if previous_key is None else (key, previous_key)

    def mint(self, tool_call: ToolCall, *, account_id: UUID) -> str:
        """The id of a call. The same call has the same id; beyond `MAX_PLACE` places are all the same one."""
        call, place = min(tool_call.call, MAX_PLACE), min(tool_call.place, MAX_PLACE)
        position = (call << 12 | place).to_bytes(3, "big")
        signed = tool_call.turn_id.bytes + position
        return PREFIX + base64.urlsafe_b64encode(signed + _mac(self._key, signed, account_id)).decode().rstrip("=")

    def verify(self, value: str, *, account_id: UUID) -> ToolCall | None:
        """What an id says, if it was minted for this account; None for anything else."""
        if len(value) != LENGTH or not value.startswith(PREFIX) or not value.isascii():
            return None
        encoded = value[len(PREFIX) :]
        try:
            raw = base64.b64decode(encoded + "=", altchars=b"-_", validate=True)
        except binascii.Error:
            return None
        # One id, one spelling: the last character has two bits to spare.
        if base64.urlsafe_b64encode(raw).decode().rstrip("=") != encoded:
            return None
        signed, mac = raw[:19], raw[19:]
        if not any(hmac.compare_digest(_mac(key, signed, account_id), mac) for key in self._keys):
            return None
        position = int.from_bytes(signed[16:], "big")
        return ToolCall(UUID(bytes=signed[:16]), position >> 12, position & MAX_PLACE)

    def continued(self, answered: Sequence[str], *, account_id: UUID) -> Continued | None:
        """The turn that a request with these answered calls continues; None when one of them is not ours.

        All of them have to be of one turn. Of calls from several answers the latest counts.
        """
        calls = [self.verify(value, account_id=account_id) for value in answered]
        known = [call for call in calls if call is not None]
        if not known or len(known) != len(calls) or len({call.turn_id for call in known}) != 1:
            return None
        return Continued(turn_id=known[0].turn_id, answers=max(call.call for call in known))


def _mac(key: bytes, signed: bytes, account_id: UUID) -> bytes:
    return hmac.digest(key, _DOMAIN + signed + account_id.bytes, "sha256")[:_MAC_BYTES]
