"""Agent turns: what a request continues, and how long a turn can be continued at all.

A turn is opened by a request that holds a prompt. Those that continue it hold none; each answers the tool calls of one
earlier call of the turn. Once that answer is under way or was delivered, nobody else may give it.
"""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

# Whatever a plan says: what is kept of a turn is forgotten a day later, and no call may be counted from nothing again.
LONGEST_TURN = timedelta(days=7)
FORGOTTEN_AFTER = LONGEST_TURN + timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Continued:
    """The turn that a request continues, and the call of it whose tool calls it answers.

    `waits`: while another request that gives this answer is open, nothing shall be decided.
    """

    turn_id: UUID
    answers: int
    waits: bool = False
