"""The data folder: what is secret in it, what is written whole or not at all, and who can reach it."""

import contextlib
import json
import os
import secrets
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path

from devstack.children import Account
from devstack.errors import FolderUnusable


def make_folder(folder: Path, *, mode: int = 0o711) -> Path:
    """Create a folder of our own; one that exists keeps its permissions. Raises `FolderUnusable`.

    The default lets other users pass through but not look: as root, Postgres runs as somebody else inside it.
    """
    try:
        if not folder.is_dir():
            folder.mkdir(parents=True)
            folder.chmod(mode)
        probe = folder / f".write-probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise FolderUnusable(
            f"cannot write in {folder}: {error.strerror}. Choose another folder with SMARTROUTE_DATA_DIR."
        ) from None
    return folder


def write_whole(path: Path, text: str, *, mode: int = 0o600) -> None:
    """Replace a file in one step: a reader sees the old text or the new one, never half of it."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, mode)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise


def read_json(path: Path) -> dict[str, object]:
    """The JSON object in `path`; empty when the file is missing or was damaged by a crash."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def write_json(path: Path, document: Mapping[str, object]) -> None:
    """Written whole, readable for its owner alone."""
    write_whole(path, json.dumps(document, indent=2) + "\n")


class Keepsakes:
    """Values that must outlive a restart (passwords, ports), made at first use and kept in one file (0600)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._values = read_json(path)

    def secret(self, name: str) -> str:
        """A random word for URLs and passwords, the same one at every call."""
        value = self._values.get(name)
        return value if isinstance(value, str) else self._keep(name, secrets.token_urlsafe(24))

    def number(self, name: str) -> int | None:
        """What `keep_number` kept."""
        value = self._values.get(name)
        return value if isinstance(value, int) else None

    def keep_number(self, name: str, value: int) -> int:
        if self._values.get(name) != value:
            self._values[name] = value
            write_json(self._path, self._values)
        return value

    def _keep(self, name: str, value: str) -> str:
        self._values[name] = value
        write_json(self._path, self._values)
        return value


def can_pass(account: Account, folder: Path) -> bool:
    """Whether `account` can walk down to `folder` and through it, by owner, group and mode of every step."""
    return all(_may_enter(account, step) for step in (folder, *folder.parents))


def _may_enter(account: Account, folder: Path) -> bool:
    status = folder.stat()
    if status.st_uid == account.uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == account.gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)
