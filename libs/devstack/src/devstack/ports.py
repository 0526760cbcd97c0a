"""Free ports on loopback, and who holds the others."""

import fcntl
import os
import random
import socket
import tempfile
from collections import deque
from pathlib import Path

import psutil

LOOPBACK = "127.0.0.1"
# Below every system's range for outgoing connections: nobody is given one of these between our look and our listen.
_LOWEST, _HIGHEST = 20_000, 30_000
_RANDOM = random.SystemRandom()
# Long before this many ports are asked for, the server of the first one listens.
_CLAIMS_KEPT = 100
_claims: deque[int] = deque()


def is_free(port: int, *, host: str = LOOPBACK) -> bool:
    """Whether a server could listen there now. A socket left in TIME_WAIT does not count as taken."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def free_port(*, prefer: int | None = None) -> int:
    """A port that is free now: `prefer` if it can be had (so that ports survive a restart), else a random one.

    It is claimed for this process for a while: nobody else who asks here is given it before its server listens.
    """
    if prefer is not None and is_free(prefer):
        return prefer
    for _ in range(200):
        # The system's randomness: a library that seeds Python's own makes two processes walk the range in step.
        port = _RANDOM.randint(_LOWEST, _HIGHEST)
        if is_free(port) and claim(port):
            return port
    raise OSError(f"no free port on {LOOPBACK} between {_LOWEST} and {_HIGHEST}")


def claim(port: int) -> bool:
    """Whether the port is ours alone, among all processes of this user. The lock goes with the process."""
    folder = Path(tempfile.gettempdir()) / f"smartroute-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    handle = os.open(folder / str(port), os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return False
    _claims.append(handle)
    if len(_claims) > _CLAIMS_KEPT:
        os.close(_claims.popleft())
    return True


def owner_of(port: int) -> str | None:
    """`nginx (pid 812)` for the process that listens there; None if the system does not tell us."""
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.Error:
        return None
    for connection in connections:
        if connection.status != psutil.CONN_LISTEN or not connection.laddr or not connection.pid:
            continue
        if connection.laddr.port == port:
            try:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
            except psutil.Error:
                return f"pid {connection.pid}"
    return None
