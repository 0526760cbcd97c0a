"""`python -m chassis provision`: make the streams, durables and buckets of the bus, or bring them up to date.

It reads `PROVISION_NATS_URL` (the user `provision`), `PROVISION_NATS_CA_FILE` and `PROVISION_STREAM_COPIES`. It may run
again at any time and twice at once; nothing that is stored is touched.
"""

import asyncio
import sys
from pathlib import Path

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from chassis.bus import BusError, provision
from chassis.process import settings_faults

PREFIX = "PROVISION_"
# For everything: a cluster that has just started needs some seconds to choose a leader.
LIMIT_SECONDS = 120.0


class ProvisionSettings(BaseSettings):
    """What the Job is told."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, hide_input_in_errors=True)

    nats_url: SecretStr
    nats_ca_file: Path | None = None
    # Nodes that have each stream: 3 in a cluster, of which one may be lost.
    stream_copies: int = Field(default=1, ge=1, le=5)


def main(arguments: list[str] | None = None) -> int:
    """Status 2 for settings that are wrong, 1 when NATS is away or refuses."""
    if (sys.argv[1:] if arguments is None else arguments) != ["provision"]:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    try:
        settings = ProvisionSettings()
    except ValidationError as exc:
        sys.stderr.writelines(f"{fault}\n" for fault in settings_faults(exc, prefix=PREFIX))
        return 2
    try:
        asyncio.run(_provision(settings))
    except (BusError, OSError) as exc:
        sys.stderr.write(f"not provisioned: {str(exc) or type(exc).__name__}\n")
        return 1
    sys.stdout.write("streams, durables and buckets are as declared\n")
    return 0


async def _provision(settings: ProvisionSettings) -> None:
    async with asyncio.timeout(LIMIT_SECONDS):
        await provision(
            settings.nats_url.get_secret_value(), replicas=settings.stream_copies, ca_file=settings.nats_ca_file
        )


if __name__ == "__main__":
    sys.exit(main())
