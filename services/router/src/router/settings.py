"""Every outside fact of the router: `ROUTER_*` variables, read once in `__main__`."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from chassis.process import default_instance


class Settings(BaseSettings):
    """Frozen for the life of the process. The table in README.md says the same to operators."""

    model_config = SettingsConfigDict(env_prefix="ROUTER_", frozen=True)

    # Kept out of `repr`: the address may carry user and password.
    nats_url: str = Field(default="nats://127.0.0.1:4222", repr=False)
    # Given: NATS is spoken over TLS, with servers that this authority vouches for.
    nats_ca_file: Path | None = None
    health_host: str = "127.0.0.1"
    health_port: int = Field(default=9082, ge=0, le=65535)
    instance: str = Field(default_factory=default_instance)
    log_level: str = "INFO"
    plans_file: Path = Path("/etc/smartroute/plans.yaml")
    profiles_file: Path = Path("/etc/smartroute/profiles.yaml")
    # A decision is some 2 kB, and the record keeps 2 GiB: at many requests a second, a share of them says as much.
    recorded_share: float = Field(default=1.0, ge=0, le=1)
