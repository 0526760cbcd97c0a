"""Every outside fact that billing needs, read once in `__main__`. Documented in the service's README."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from chassis.process import default_instance


class Settings(BaseSettings):
    """`BILLING_*`. The database address holds a password: it never appears in a log or an error."""

    model_config = SettingsConfigDict(env_prefix="BILLING_", frozen=True, extra="ignore", hide_input_in_errors=True)

    database_url: SecretStr
    nats_url: SecretStr = SecretStr("nats://127.0.0.1:4222")
    plans_file: Path = Path("/etc/smartroute/plans.yaml")
    health_host: str = "127.0.0.1"
    health_port: int = Field(9083, ge=0, le=65_535)
    instance: str = Field(default_factory=default_instance)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    publish_timeout_seconds: float = Field(5.0, gt=0)
    close_key_file: Path | None = None
    close_seconds: float = Field(60.0, ge=0)
    reconcile_seconds: float = Field(60.0, ge=0)
