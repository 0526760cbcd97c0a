"""`deploy/nats/users.conf`, made from the permissions: every server of the cluster includes it as it is."""

from collections.abc import Iterator
from pathlib import Path

from contracts.permissions import User, users

# deploy/nats, seen from libs/contracts/src/contracts: only a source tree has it.
DEFAULT_FILE = Path(__file__).parents[4] / "deploy/nats/users.conf"

_HEAD = """\
# Made by `python -m contracts nats-users` from the contracts; do not edit.
# The passwords come from the server's environment. Begin each with a letter and use letters and digits only: the server
# reads it as a value of this file. Nobody is let in without a user, and what is not named here is refused.
"""


def text() -> str:
    """The whole file."""
    return "\n".join([_HEAD + "authorization {", "  users: [", *(_entry(user) for user in users()), "  ]", "}", ""])


def password_variable(user: str) -> str:
    """The name of the variable that the servers read the password of a user from."""
    return f"NATS_{user.upper()}_PASSWORD"


def _entry(user: User) -> str:
    return "\n".join(
        [
            f"    # May {user.may}.",
            f"    {{ user: {user.name}, password: ${password_variable(user.name)}, permissions: {{",
            "      publish: { allow: [",
            *_quoted(user.publish),
            "      ] }",
            "      subscribe: { allow: [",
            *_quoted(user.subscribe),
            "      ] }",
            "    } }",
        ]
    )


def _quoted(subjects: tuple[str, ...]) -> Iterator[str]:
    yield from (f'        "{subject}"' for subject in subjects)
