"""Whether Postgres has room for the pools of a service: looked at once, before a process takes its first connection.

Pools do not grow, so the sum is exact. Without this the first peak would show it, to customers.
"""

import logging

from chassis.database import StoreAway, connect, store_errors
from chassis.watched import ConfigInvalid

log = logging.getLogger(__name__)

# What the role may have (-1: no limit), what the server and the database have for all, and what is promised to others.
_ROOM = """
SELECT rolname, rolconnlimit,
    least(
        current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
            - coalesce(nullif(current_setting('reserved_connections', true), '')::int, 0),
        (SELECT CASE WHEN datconnlimit < 0 THEN 2147483647 ELSE datconnlimit END
         FROM pg_database WHERE datname = current_database())
    ),
    (SELECT coalesce(sum(rolconnlimit), 0)::int FROM pg_roles
     WHERE rolcanlogin AND NOT rolsuper AND rolconnlimit > 0 AND rolname <> current_user)
FROM pg_roles WHERE rolname = current_user
"""


class TooFewConnections(ConfigInvalid):
    """The pools of all processes together are larger than what Postgres has for them."""


async def require_connections(url: str, *, each: int, processes: int) -> None:
    """Raise `TooFewConnections` unless `processes` of this service find `each` connections, all at once.

    A database that is away cannot be asked: the start goes on, as it does for everything else, and the log says so.
    """
    needed = each * processes
    try:
        role, limit, there, promised = await _room(url)
    except StoreAway as exc:
        log.warning("connections not counted", extra={"reason": str(exc)})
        return
    if 0 <= limit < needed:
        raise TooFewConnections(
            f"the role {role} may have {limit} connections, and {processes} x {each} = {needed} are needed:"
            " raise its CONNECTION LIMIT, or run fewer processes"
        )
    if max(needed, limit) + promised > there:
        raise TooFewConnections(
            f"Postgres has {there} connections, {promised} are promised to other roles, and {role} needs"
            f" {max(needed, limit)}: raise max_connections, or run fewer processes"
        )


async def _room(url: str) -> tuple[str, int, int, int]:
    connection = await connect(url)
    try:
        with store_errors():
            row = await (await connection.execute(_ROOM)).fetchone()
    finally:
        await connection.close()
    assert row is not None
    return str(row[0]), int(row[1]), int(row[2]), int(row[3])
