"""Runs what an image says, on the image's files: read-only, as its user, with /tmp and two mounts of ours.

An engine is not needed for that, only a mount namespace, which goes with the process.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.deploy.images.building import Image

USER = 65532
# Where manifests mount plans and profiles, and the journal.
CONFIGURATION = Path("/etc/smartroute")
DATA = Path("/var/lib/smartroute")
# $1: the files of the image, $2: configuration, $3: data, $4: who runs it; then the command.
_ENTER = """
set -e
files=$1 configuration=$2 data=$3 user=$4
shift 4
mount --bind "$files" "$files"
mount --options remount,bind,ro "$files"
mount --types tmpfs --options mode=1777,size=64m tmpfs "$files/tmp"
mount --bind "$configuration" "$files/etc/smartroute"
mount --options remount,bind,ro "$files/etc/smartroute"
mount --bind "$data" "$files/var/lib/smartroute"
mount --rbind /dev "$files/dev"
mount --types proc proc "$files/proc"
exec /usr/sbin/chroot --userspec="$user" --groups= "$files" "$@"
"""


@dataclass(frozen=True, slots=True)
class Mounts:
    """Folders of this machine that a container sees at `CONFIGURATION` and `DATA`."""

    configuration: Path
    data: Path


def command(image: Image, mounts: Mounts, *arguments: str) -> tuple[str, ...]:
    """The image's own entry point with these arguments, or its own ones."""
    (image.files / "etc/smartroute").mkdir(exist_ok=True)
    entry, own, user = (image.configuration[key] for key in ("Entrypoint", "Cmd", "User"))
    assert isinstance(entry, list)
    assert isinstance(own, list)
    places = [str(image.files), str(mounts.configuration), str(mounts.data), str(user)]
    inside = ["/bin/sh", "-c", _ENTER, "enter", *places, *entry, *(arguments or own)]
    return ("/usr/bin/unshare", "--mount", "--propagation", "private", *inside)


def environment(image: Image, own: Mapping[str, str]) -> dict[str, str]:
    """The image's variables and these; nothing of this machine's."""
    listed = image.configuration["Env"]
    assert isinstance(listed, list)
    return {**dict(line.split("=", 1) for line in listed), **own}
