"""What every page may say of this site: where it is, and under which name."""

from dataclasses import dataclass

from gateway.settings import PortalSettings


@dataclass(frozen=True, slots=True)
class Site:
    """`origin` is scheme, host and port, without a slash at the end; `base_url` is what clients are given."""

    origin: str
    oidc_name: str | None = None
    name: str = "Smart Route"

    @property
    def base_url(self) -> str:
        return f"{self.origin}/v1"

    @property
    def is_secure(self) -> bool:
        return self.origin.startswith("https://")


def site_of(settings: PortalSettings) -> Site:
    oidc_name = settings.oidc_name if settings.oidc_issuer is not None else None
    return Site(origin=settings.public_url.rstrip("/"), oidc_name=oidc_name)
