"""Sign-in at an OpenID provider: authorization code flow with PKCE, bound to the browser that began it.

What has to be known again when the browser comes back lies in a sealed cookie of that browser: no state of ours can be
guessed, planted from another browser (login CSRF, RFC 9700 4.7), or pile up. The cookie is taken back in any case, so a
callback is good once.
"""

import base64
import hashlib
import hmac
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit
from uuid import UUID

from gateway.portal.identity.boxes import Box
from gateway.portal.identity.id_token import (
    Expected,
    OidcIdentity,
    SignatureUnknown,
    TokenRefused,
    identity_of,
    read_id_token,
)
from gateway.portal.identity.oidc_provider import Client, Provider, ProviderAway, Tokens
from gateway.portal.site import Site
from gateway.portal.visit import cookie, new_secret
from gateway.settings import PortalSettings

log = logging.getLogger(__name__)

COOKIE = "__Host-smartroute_oidc"
CALLBACK = "/sign-in/oidc/callback"
FLOW_SECONDS = 600

_CODE_LENGTH = 4096
_ANSWERED = ("code", "state", "iss", "error")
_CANCELLED = frozenset({"access_denied", "login_required", "interaction_required", "consent_required"})


class SignInFailed(Exception):
    """The sign-in at the provider came to nothing. Why is in the log, by reasons of ours."""


class SignInCancelled(SignInFailed):
    """The user, or the provider in the user's name, said no."""


@dataclass(frozen=True, slots=True)
class Begun:
    """Where the browser goes, and what it keeps meanwhile."""

    url: str = field(repr=False)
    set_cookie: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Arrived:
    """Who came back, and what for. `prover` is the user who was signed in already, and was to prove it anew."""

    identity: OidcIdentity
    back: str
    prover: UUID | None


@dataclass(frozen=True, slots=True)
class _Flow:
    state: str
    nonce: str
    verifier: str
    back: str
    prover: str
    begun_at: str


class Oidc:
    """Flows of one provider."""

    def __init__(self, provider: Provider, *, key: bytes, clock: Callable[[], float] = time.time) -> None:
        self._provider = provider
        self._box = Box(key, purpose="sign-in at a provider", seconds=FLOW_SECONDS, clock=clock)
        self._clock = clock

    def running(self) -> AbstractAsyncContextManager[Provider]:
        """Connections to the provider while the block runs."""
        return self._provider.running()

    async def begin(self, *, back: str, prover: UUID | None) -> Begun:
        """Raises `ProviderAway`."""
        facts = await self._provider.facts()
        flow = _Flow(
            state=new_secret(),
            nonce=new_secret(),
            verifier=new_secret(),
            back=back,
            prover=str(prover or ""),
            begun_at=f"{self._clock():.0f}",
        )
        asked = {
            "response_type": "code",
            "client_id": self._provider.client.client_id,
            "redirect_uri": self._provider.client.callback,
            "scope": "openid email",
            "state": flow.state,
            "nonce": flow.nonce,
            "code_challenge": _challenge(flow.verifier),
            "code_challenge_method": "S256",
        }
        if prover is not None:
            asked |= {"prompt": "login", "max_age": "0"}
        joint = "&" if urlsplit(facts.authorization).query else "?"
        kept = cookie(COOKIE, self._box.close(_written(flow)), max_age_seconds=FLOW_SECONDS)
        return Begun(f"{facts.authorization}{joint}{urlencode(asked)}", kept)

    async def finish(self, answered: Mapping[str, list[str]], kept: str | None) -> Arrived:
        """`answered` is the query of the callback. Raises `SignInFailed`, `ProviderAway`."""
        try:
            return await self._finish(answered, kept)
        except TokenRefused as exc:
            log.warning("sign-in at the provider refused", extra={"reason": exc.reason})
            raise SignInFailed from exc
        except ProviderAway as exc:
            log.warning("sign-in at the provider failed", extra={"reason": exc.reason})
            raise

    async def _finish(self, answered: Mapping[str, list[str]], kept: str | None) -> Arrived:
        content = self._box.open(kept)
        if content is None:
            raise TokenRefused("not begun with this browser, or too long ago")
        flow = _Flow(**content)
        code = await self._code(answered, flow)
        tokens = await self._provider.tokens(code, verifier=flow.verifier)
        claims = await self._claims(tokens, flow)
        userinfo = None if "email" in claims else await self._provider.userinfo(tokens.access_token)
        identity = identity_of(claims, userinfo=userinfo)
        return Arrived(identity, flow.back, UUID(flow.prover) if flow.prover else None)

    async def _code(self, answered: Mapping[str, list[str]], flow: _Flow) -> str:
        if any(len(answered.get(name, [])) > 1 for name in _ANSWERED):
            raise TokenRefused("a parameter came twice")
        code, state, issuer, error = ("".join(answered.get(name, [])) for name in _ANSWERED)
        if not hmac.compare_digest(state.encode(), flow.state.encode()):
            raise TokenRefused("state of another flow")
        await self._check_issuer(issuer, is_named="iss" in answered)
        if error:
            log.info("sign-in at the provider was not given", extra={"is_cancelled": error in _CANCELLED})
            raise SignInCancelled if error in _CANCELLED else SignInFailed
        if not code or len(code) > _CODE_LENGTH:
            raise TokenRefused("no code")
        return code

    async def _check_issuer(self, issuer: str, *, is_named: bool) -> None:
        """RFC 9207: an answer of another provider is not mistaken for this one's (mix-up)."""
        if not is_named and (await self._provider.facts()).names_issuer:
            raise TokenRefused("issuer of the answer is not named")
        if is_named and issuer != self._provider.client.issuer:
            raise TokenRefused("answer of another issuer")

    async def _claims(self, tokens: Tokens, flow: _Flow) -> Mapping[str, object]:
        client = self._provider.client
        expected = Expected(
            issuer=client.issuer,
            client_id=client.client_id,
            nonce=flow.nonce,
            access_token=tokens.access_token,
            proven_since=int(flow.begun_at) if flow.prover else None,
        )
        now = int(self._clock())
        try:
            return read_id_token(tokens.id_token, await self._provider.keys(), expected, now=now)
        except SignatureUnknown:
            newer = await self._provider.newer_keys()
            if newer is None:
                raise
            return read_id_token(tokens.id_token, newer, expected, now=now)


def oidc_of(settings: PortalSettings, site: Site, *, key: bytes) -> Oidc | None:
    """Sign-in at the provider of the settings, if they name one."""
    issuer, client_id, secret = settings.oidc_issuer, settings.oidc_client_id, settings.oidc_client_secret
    if issuer is None or client_id is None or secret is None:
        return None
    client = Client(issuer, client_id, secret.get_secret_value(), callback=f"{site.origin}{CALLBACK}")
    return Oidc(Provider(client), key=key)


def _written(flow: _Flow) -> dict[str, str]:
    return {name: getattr(flow, name) for name in _Flow.__slots__}


def _challenge(verifier: str) -> str:
    """RFC 7636, 4.2, S256."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
