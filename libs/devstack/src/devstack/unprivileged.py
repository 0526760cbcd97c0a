"""Postgres refuses to run as root. These functions find it a user, and a place and programs that the user can reach.

Nobody's permissions are changed: a folder or program that the user cannot reach is replaced by one of ours below
`/var/lib/smartroute`, and the user is told so. An ordinary user needs none of this.
"""

import hashlib
import os
import pwd
import shutil
import subprocess
from pathlib import Path

from devstack.children import Account, launched
from devstack.errors import FolderUnusable, StartFailed
from devstack.folders import can_pass, make_folder
from devstack.supervisor import Say

_OUTSIDE = Path("/var/lib/smartroute")
_CANDIDATES = ("postgres", "nobody")


def account_for_postgres() -> Account | None:
    """Who runs Postgres: None (we ourselves) unless we are root."""
    if os.geteuid() != 0:
        return None
    for name in _CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    raise StartFailed(
        f"Postgres does not run as root, and this system has no user {' or '.join(_CANDIDATES)} to run it as. "
        "Start as an ordinary user, or give a server with SMARTROUTE_DATABASE_URL."
    )


def place_for(folder: Path, account: Account | None, *, say: Say) -> Path:
    """Where `account` can keep its data: `folder` if it can be reached, else a place below /var/lib/smartroute."""
    place = folder
    if account is not None and not can_pass(account, folder.parent):
        place = outside(folder)
        say(f"user {account.name} cannot enter {folder.parent}: Postgres keeps its data in {place}")
        make_folder(_OUTSIDE, mode=0o755)
    return place


def hand_over(path: Path, account: Account | None) -> None:
    """Give something that we made to the user who works with it."""
    if account is not None:
        os.chown(path, account.uid, account.gid)


def outside(folder: Path) -> Path:
    """The stand-in of an unreachable folder; the same one at every start."""
    return _OUTSIDE / f"postgres-{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:12]}"


def reachable_binaries(installed: Path, account: Account | None, *, say: Say) -> Path:
    """The folder of a Postgres installation that `account` can run: the installed one, or a copy made once."""
    if account is None or _runs(installed, account):
        return installed
    stamp = hashlib.sha256(f"{installed}{(installed / 'bin/postgres').stat().st_mtime_ns}".encode()).hexdigest()[:12]
    copy = _OUTSIDE / f"programs-{stamp}"
    if not copy.is_dir():
        say(f"user {account.name} cannot run {installed / 'bin/postgres'}; copying it to {copy}")
        _copy(installed, copy)
    if not _runs(copy, account):
        raise StartFailed(
            f"user {account.name} can run neither {installed / 'bin/postgres'} nor a copy in {copy}. "
            "Start as an ordinary user, or give a server with SMARTROUTE_DATABASE_URL."
        )
    return copy


def _copy(installed: Path, copy: Path) -> None:
    half = copy.with_name(f"{copy.name}.{os.getpid()}")
    try:
        make_folder(_OUTSIDE, mode=0o755)
        for part in ("bin", "lib", "share"):
            shutil.copytree(installed / part, half / part, symlinks=True)
        for path in (half, *half.rglob("*")):
            if not path.is_symlink():
                path.chmod(path.stat().st_mode | (0o755 if path.is_dir() or path.parent.name == "bin" else 0o644))
        half.rename(copy)
    except OSError as error:
        shutil.rmtree(half, ignore_errors=True)
        if not copy.is_dir():
            raise FolderUnusable(f"cannot copy Postgres to {copy}: {error.strerror}") from None


def _runs(installation: Path, account: Account) -> bool:
    """Try it: modes, access lists and mount options all have a say."""
    if not can_pass(account, installation / "bin"):
        return False
    command = launched((str(installation / "bin/postgres"), "--version"), account=account)
    return subprocess.run(command, capture_output=True, check=False, timeout=20, cwd="/").returncode == 0


def remove_outside(folder: Path) -> None:
    """Remove the stand-in of `folder`, if there is one. For temporary stacks only: it holds their data."""
    shutil.rmtree(outside(folder), ignore_errors=True)
