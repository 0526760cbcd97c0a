"""Everything outside that quota must be told: `QUOTA_*` variables, read once in `__main__`; the README lists them."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from chassis.process import default_instance


class Settings(BaseSettings):
    """URLs are secrets, because they carry passwords."""

    model_config = SettingsConfigDict(env_prefix="QUOTA_", frozen=True, extra="ignore", hide_input_in_errors=True)

    database_url: SecretStr
    nats_url: SecretStr = SecretStr("nats://127.0.0.1:4222")
    # Given: NATS is spoken over TLS, with servers that this authority vouches for.
    nats_ca_file: Path | None = None
    # How many processes of this service there are at most, those of a rollout included: all find their connections.
    most_processes: int = Field(1, ge=1)
    plans_file: Path = Path("/etc/smartroute/plans.yaml")
    health_host: str = "127.0.0.1"
    health_port: int = Field(9081, ge=0, le=65_535)
    instance: str = Field(default_factory=default_instance)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    # An ask that waits longer is answered `unavailable`; a little less than what the gateway waits.
    reserve_deadline_seconds: float = Field(0.9, gt=0)
    batch_limit: int = Field(512, ge=1, le=10_000)
    # Gateways renew every third of it. A prompt whose gateway died is back within a minute: lease, sweep and folding.
    lease_seconds: float = Field(50, gt=0)
    # Between looks for leases that ran out; 0 leaves that to other replicas.
    sweep_seconds: float = Field(5, ge=0)
