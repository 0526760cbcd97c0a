"""Everything outside that the gateway must be told: `GATEWAY_*` variables, read once in `__main__`."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from chassis.process import default_instance
from gateway.portal.identity.addresses import networks
from gateway.portal.identity.mail_relay import Relay, is_address
from gateway.portal.identity.urls import is_safe_url

Seconds = Annotated[float, Field(gt=0)]
Port = Annotated[int, Field(ge=0, le=65_535)]


class DatabaseSettings(BaseSettings):
    """What `migrate` needs. URLs are secrets, because they carry passwords."""

    model_config = SettingsConfigDict(env_prefix="GATEWAY_", frozen=True)

    database_url: SecretStr


class AdminSettings(DatabaseSettings):
    """What the commands on accounts and tokens need."""

    nats_url: SecretStr = SecretStr("nats://127.0.0.1:4222")
    # Given: NATS is spoken over TLS, with servers that this authority vouches for.
    nats_ca_file: Path | None = None
    plans_file: Path = Path("/etc/smartroute/plans.yaml")
    instance: str = Field(default_factory=default_instance)
    log_level: str = "INFO"
    publish_timeout_seconds: Seconds = 5.0
    block_token_timeout_seconds: Seconds = 5.0


class PortalSettings(BaseSettings):
    """What the portal needs besides."""

    model_config = SettingsConfigDict(env_prefix="GATEWAY_", frozen=True)

    # Where customers reach us: in examples, generated files and mails. Never taken from what a request says.
    public_url: Annotated[str, Field(pattern=r"^https?://[^/?#\s]+/?$")] = "http://127.0.0.1:8080"
    # How long a user stays signed in, without being seen and in all.
    session_idle_seconds: Seconds = 86_400.0
    session_seconds: Seconds = 1_209_600.0
    # What needs a recent proof of who it is asks again after so long.
    session_proof_seconds: Seconds = 3600.0
    portal_ask_timeout_seconds: Seconds = 2.0
    # For what billing has to ask a payment provider for: several calls, each with a limit of its own.
    portal_payment_timeout_seconds: Seconds = 25.0
    # Where this process reaches the public endpoint, for the doctor; None: at itself.
    portal_endpoint_url: Annotated[str | None, Field(pattern=r"^https?://[^/?#\s]+/?$")] = None
    sign_up_open: bool = True
    # Proxies before us whose `X-Forwarded-For` is believed: networks in CIDR notation with commas between.
    trusted_proxies: str = ""

    # The relay that takes our mails, `smtp[s]://[user:password@]host[:port]`. Without one no mail is sent, and whoever
    # asks for one is told so.
    smtp_url: SecretStr | None = None
    mail_from: Annotated[str | None, Field(validate_default=True)] = None

    # Sign-in at an OpenID provider: all three or none.
    oidc_issuer: str | None = None
    oidc_client_id: str | None = None
    oidc_client_secret: Annotated[SecretStr | None, Field(validate_default=True)] = None
    oidc_name: Annotated[str, Field(min_length=1, max_length=60)] = "Company sign-in"

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, value: str) -> str:
        networks(value)
        return value

    @field_validator("smtp_url")
    @classmethod
    def _is_relay(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            Relay.read(value.get_secret_value(), sender="somebody@example.com")
        return value

    @field_validator("mail_from")
    @classmethod
    def _has_sender(cls, value: str | None, others: ValidationInfo) -> str | None:
        if value is None and others.data.get("smtp_url") is not None:
            raise ValueError("is needed with GATEWAY_SMTP_URL: the address that mails are from")
        if value is not None and not is_address(value):
            raise ValueError("is not an e-mail address")
        return value

    @field_validator("oidc_issuer")
    @classmethod
    def _is_issuer(cls, value: str | None) -> str | None:
        if value is not None and not is_safe_url(value):
            raise ValueError("is not an https address without query and fragment (http on loopback is for tests)")
        return value

    @field_validator("oidc_client_secret")
    @classmethod
    def _is_whole(cls, value: SecretStr | None, others: ValidationInfo) -> SecretStr | None:
        given = [value, *(others.data[name] for name in ("oidc_issuer", "oidc_client_id") if name in others.data)]
        if any(given) and not all(given):
            raise ValueError("GATEWAY_OIDC_ISSUER, _CLIENT_ID and _CLIENT_SECRET are given together, or none of them")
        return value


class Settings(AdminSettings):
    """What `serve` needs besides."""

    host: str = "127.0.0.1"
    port: Port = 8080
    reuse_port: bool = False
    grace_seconds: Seconds = 30.0

    # How many processes of this service there are at most, those of a rollout included: all find their connections.
    most_processes: Annotated[int, Field(ge=1)] = 1

    health_host: str = "127.0.0.1"
    health_port: Port = 9080

    # Settlements that their stream does not take are kept here, over a crash, until it does.
    data_dir: Path

    # Signs the ids of tool calls. After a change the previous key stays valid as long as it is given.
    signing_key: Annotated[SecretStr, Field(min_length=32)]
    previous_signing_key: Annotated[SecretStr, Field(min_length=32)] | None = None

    header_limit_bytes: Annotated[int, Field(ge=1024)] = 16_384
    header_limit_count: Annotated[int, Field(ge=10)] = 100
    header_timeout_seconds: Seconds = 10.0
    body_limit_bytes: Annotated[int, Field(ge=1024)] = 8 * 1024 * 1024
    body_timeout_seconds: Seconds = 10.0

    # A revoked token may be believed that long where quota is not asked (models, usage); never longer than 30 s.
    token_cache_seconds: Annotated[float, Field(gt=0, le=30)] = 30.0
    token_refusal_cache_seconds: Annotated[float, Field(ge=0, le=1)] = 1.0
    token_cache_entries: Annotated[int, Field(ge=1)] = 10_000
    token_lookup_timeout_seconds: Seconds = 2.0
    token_use_interval_seconds: Seconds = 60.0

    announce_interval_seconds: Seconds = 5.0

    reserve_timeout_seconds: Seconds = 1.0
    choose_timeout_seconds: Seconds = 1.0
    # When the router has said nothing for so long, an earlier plan for such requests is good enough.
    last_plan_after_seconds: Seconds = 0.05
    # Calls of providers beyond one per request: tries again after a failure, and calls beside a silent one.
    retries_per_request: Annotated[float, Field(ge=0, le=2)] = 0.2
    retries_per_second: Annotated[float, Field(ge=0)] = 10.0
    hedges_per_request: Annotated[float, Field(ge=0, le=1)] = 0.01
    hedges_saved: Annotated[int, Field(ge=0)] = 20
    usage_timeout_seconds: Seconds = 1.0
    # For one answer of billing, and for the receipt of a request that has just ended.
    receipt_timeout_seconds: Seconds = 1.0
    receipt_wait_seconds: Annotated[float, Field(ge=0)] = 2.0
    settle_timeout_seconds: Seconds = 2.0

    # The longest answer, how long a client may take nothing of it, and how many requests may be open at once.
    answer_limit_seconds: Seconds = 3600.0
    client_stall_seconds: Seconds = 120.0
    open_requests_limit: Annotated[int, Field(ge=1)] = 10_000

    # How long responses are kept for their owners, and how large one may be together with its input.
    responses_keep_seconds: Seconds = 2_592_000.0
    responses_size_limit_bytes: Annotated[int, Field(ge=0)] = 8 * 1024 * 1024
    responses_timeout_seconds: Seconds = 2.0

    # A claim that is not renewed for so long is taken over; its holder renews it three times in that time.
    idempotency_hold_seconds: Seconds = 90.0
    idempotency_keep_seconds: Seconds = 86_400.0
    idempotency_body_limit_bytes: Annotated[int, Field(ge=0)] = 1024 * 1024
    idempotency_timeout_seconds: Seconds = 2.0
