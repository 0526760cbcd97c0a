"""Every outside fact that billing needs, read once in `__main__`. Documented in the service's README."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, Json, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from chassis.process import default_instance


class Settings(BaseSettings):
    """`BILLING_*`. The database address holds a password: it never appears in a log or an error."""

    model_config = SettingsConfigDict(env_prefix="BILLING_", frozen=True, extra="ignore", hide_input_in_errors=True)

    database_url: SecretStr
    nats_url: SecretStr = SecretStr("nats://127.0.0.1:4222")
    # Given: NATS is spoken over TLS, with servers that this authority vouches for.
    nats_ca_file: Path | None = None
    # How many processes of this service there are at most, those of a rollout included: all find their connections.
    most_processes: int = Field(1, ge=1)
    plans_file: Path = Path("/etc/smartroute/plans.yaml")
    health_host: str = "127.0.0.1"
    health_port: int = Field(9083, ge=0, le=65_535)
    instance: str = Field(default_factory=default_instance)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    publish_timeout_seconds: float = Field(5.0, gt=0)
    close_key_file: Path | None = None
    close_seconds: float = Field(60.0, ge=0)
    reconcile_seconds: float = Field(60.0, ge=0)
    # All three or none: without them staff decides on upgrades.
    stripe_secret_key: SecretStr | None = None
    stripe_webhook_secret: SecretStr | None = None
    stripe_prices: Json[dict[str, str]] | None = None
    stripe_api_url: str | None = None
    # For all that one ask needs of Stripe.
    stripe_timeout_seconds: float = Field(5.0, gt=0)

    @model_validator(mode="after")
    def _stripe_is_whole(self) -> Self:
        needed = {
            "BILLING_STRIPE_SECRET_KEY": self.stripe_secret_key is not None
            and self.stripe_secret_key.get_secret_value(),
            "BILLING_STRIPE_WEBHOOK_SECRET": self.stripe_webhook_secret is not None
            and self.stripe_webhook_secret.get_secret_value(),
            "BILLING_STRIPE_PRICES": self.stripe_prices,
        }
        missing = [name for name, value in needed.items() if not value]
        if missing and len(missing) < len(needed):
            raise ValueError(f"Stripe is given by halves: {' and '.join(missing)} missing")
        return self
