"""ID tokens of an OpenID provider: read, and believed only when everything about them is right. Pure.

The rules are those of OpenID Connect Core 1.0, 3.1.3.7, made strict: signatures by keys that only the provider has
(RFC 8725, 3.1: no `none`, no shared secret), exactly our issuer, audience and nonce, and no claim of another shape.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey, import_key

LEEWAY_SECONDS = 60
LONGEST_SUBJECT = 255

# Of each algorithm the hash that `at_hash` is made with (Core 3.1.3.6; Ed25519 hashes with SHA-512 itself). `EdDSA`
# does not say which curve it is, and is deprecated for that (RFC 9864).
_HASHES = {
    **{f"{family}{bits}": f"sha{bits}" for family in ("RS", "PS", "ES") for bits in (256, 384, 512)},
    "Ed25519": "sha512",
}


class TokenRefused(Exception):
    """`reason` is of a closed set of ours: for the log, never for a page."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class SignatureUnknown(TokenRefused):
    """No key that we know fits: the provider may have newer ones."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What the token must say. `proven_since`: when the user must have been asked at the earliest, if it matters."""

    issuer: str
    client_id: str
    nonce: str = field(repr=False)
    access_token: str = field(repr=False)
    proven_since: int | None = None


@dataclass(frozen=True, slots=True)
class OidcIdentity:
    """Who signed in at the provider; the pair of issuer and subject is for ever one person.

    `email` is there only when the provider has verified it.
    """

    issuer: str
    subject: str
    email: str | None = field(default=None, repr=False)


def read_keys(document: Mapping[str, object]) -> list[Key]:
    """The keys of a JWK set (RFC 7517) that can check a signature; those that we do not understand are left out."""
    listed = document.get("keys")
    found: list[Key] = []
    for each in listed if isinstance(listed, list) else ():
        if not isinstance(each, dict) or each.get("use") == "enc" or each.get("kty") not in ("RSA", "EC", "OKP"):
            continue
        try:
            key = import_key(each)
        except (JoseError, ValueError, TypeError, KeyError):
            continue
        if isinstance(key, RSAKey | ECKey | OKPKey):
            found.append(key)
    return found


def read_id_token(text: str, keys: Sequence[Key], expected: Expected, *, now: int) -> Mapping[str, object]:
    """The claims of a token that is what it has to be. Raises `TokenRefused`."""
    algorithm, claims = _verified(text, keys)
    _check_claims(claims, expected, now=now)
    _check_party(claims, expected.client_id)
    _check_access_token(claims, expected.access_token, algorithm)
    if expected.proven_since is not None:
        _check_proof(claims, expected.proven_since, now=now)
    return claims


def identity_of(claims: Mapping[str, object], *, userinfo: Mapping[str, object] | None = None) -> OidcIdentity:
    """Who it is, by the claims of an ID token that was read, and by what the provider says when it is asked further.

    Raises `TokenRefused`.
    """
    if userinfo is not None and userinfo.get("sub") != claims["sub"]:
        raise TokenRefused("userinfo is of another subject")
    told = claims if "email" in claims or userinfo is None else userinfo
    email = told.get("email")
    # Nothing but `true` is true: some providers write "false", and it is no e-mail of anybody then.
    is_verified = told.get("email_verified") is True and isinstance(email, str)
    return OidcIdentity(str(claims["iss"]), str(claims["sub"]), str(email).strip().lower() if is_verified else None)


def _verified(text: str, keys: Sequence[Key]) -> tuple[str, dict[str, object]]:
    try:
        header = jws.extract_compact(text.encode()).headers()
    except (JoseError, ValueError) as exc:
        raise TokenRefused("not a signed token") from exc
    algorithm, key_id = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in _HASHES:
        raise TokenRefused("algorithm not accepted")
    for key in keys:
        if key_id is not None and key.kid not in (None, key_id):
            continue
        try:
            return algorithm, jwt.decode(text, key, algorithms=[algorithm]).claims
        except (JoseError, ValueError, TypeError):
            continue
    raise SignatureUnknown("signature fits no key")


def _check_claims(claims: dict[str, object], expected: Expected, *, now: int) -> None:
    registry = jwt.JWTClaimsRegistry(
        now=now,
        leeway=LEEWAY_SECONDS,
        iss={"essential": True, "value": expected.issuer},
        sub={"essential": True},
        aud={"essential": True, "value": expected.client_id},
        exp={"essential": True},
        iat={"essential": True},
        nonce={"essential": True, "value": expected.nonce},
    )
    try:
        registry.validate(claims)
    except JoseError as exc:
        # The name of the claim is ours; what it says is not repeated.
        raise TokenRefused(f"{type(exc).__name__} {getattr(exc, 'claim', '')}".strip()) from exc
    if not isinstance(claims["nonce"], str):
        raise TokenRefused("nonce is not a text")
    if len(str(claims["sub"])) > LONGEST_SUBJECT or "\0" in str(claims["sub"]):
        raise TokenRefused("subject too long")


def _check_party(claims: Mapping[str, object], client_id: str) -> None:
    audience, party = claims["aud"], claims.get("azp")
    if party is None and isinstance(audience, list) and len(audience) > 1:
        raise TokenRefused("several audiences, and no authorized party")
    if party is not None and party != client_id:
        raise TokenRefused("authorized for another party")


def _check_access_token(claims: Mapping[str, object], access_token: str, algorithm: str) -> None:
    """`at_hash` ties the two tokens together; optional here, and right when it is there."""
    given = claims.get("at_hash")
    if given is None:
        return
    whole = hashlib.new(_HASHES[algorithm], access_token.encode()).digest()
    half = base64.urlsafe_b64encode(whole[: len(whole) // 2]).rstrip(b"=")
    if not isinstance(given, str) or not hmac.compare_digest(half, given.encode()):
        raise TokenRefused("at_hash does not fit")


def _check_proof(claims: Mapping[str, object], since: int, *, now: int) -> None:
    """The provider was told to ask the user again (Core 3.1.2.1, `max_age`): whether it did."""
    at = claims.get("auth_time")
    if isinstance(at, bool) or not isinstance(at, int | float):
        raise TokenRefused("auth_time is missing")
    if not since - LEEWAY_SECONDS <= at <= now + LEEWAY_SECONDS:
        raise TokenRefused("the user was not asked again")
