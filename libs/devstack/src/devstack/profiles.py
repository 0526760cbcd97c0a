"""The profiles file of this stack: the shipped one with all its targets replaced by one, or one that was given."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import yaml

from devstack import repository
from devstack.folders import write_whole
from devstack.model import CONTEXT_TOKENS, MODEL
from devstack.ports import LOOPBACK
from devstack.settings import Upstream

_LOCAL_TIMEOUTS = {"connect_seconds": 2, "first_byte_seconds": 120, "silence_seconds": 60}


def write_given(path: Path, profiles: Path | Mapping[str, object]) -> Path:
    """A document is written to `path`; a file of the user is used where it is, so that the router sees it change."""
    if isinstance(profiles, Path):
        return profiles
    write_whole(path, yaml.safe_dump(dict(profiles), sort_keys=False))
    return path


def write_local(path: Path, *, port: int) -> Path:
    """Every profile goes to the local model."""
    target = {
        "base_url": f"http://{LOOPBACK}:{port}/v1",
        "model": MODEL,
        "key": None,
        "timeouts": _LOCAL_TIMEOUTS,
        "context_window": CONTEXT_TOKENS,
    }
    return _write_single(path, target)


def write_upstream(path: Path, upstream: Upstream) -> Path:
    """Every profile goes to one provider. Its key lies in a file of its own (0600), the profiles only point there."""
    key: str | None = None
    if upstream.key is not None:
        secret = path.with_name("upstream.key")
        write_whole(secret, upstream.key)
        key = f"file:{secret}"
    return _write_single(path, {"base_url": upstream.url, "model": upstream.model, "key": key})


def copy_shipped(path: Path) -> Path:
    """The file in deploy/config, as it is."""
    shutil.copyfile(repository.PROFILES, path)
    return path


def _write_single(path: Path, target: Mapping[str, object]) -> Path:
    shipped = yaml.safe_load(repository.PROFILES.read_text(encoding="utf-8"))
    document = {
        "version": shipped["version"],
        "targets": {"default": dict(target)},
        "profiles": {alias: _replaced(profile) for alias, profile in shipped["profiles"].items()},
    }
    write_whole(path, yaml.safe_dump(document, sort_keys=False))
    return path


def _replaced(profile: Mapping[str, object]) -> dict[str, object]:
    """The same vector over the one target."""
    return {name: ["default"] if name in ("targets", "light", "strong") else value for name, value in profile.items()}
