"""ID tokens, as a provider could make them wrong: only what is right in every part is read."""

import base64
import hashlib
import json
from collections.abc import Mapping

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey

from gateway.portal.identity.id_token import (
    Expected,
    OidcIdentity,
    SignatureUnknown,
    TokenRefused,
    identity_of,
    read_id_token,
    read_keys,
)

NOW = 1_795_000_000
RSA = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})
EC = ECKey.generate_key("P-256", {"kid": "two"})
ED = OKPKey.generate_key("Ed25519", {"kid": "three"})
ACCESS = "access-token"
EXPECTED = Expected("https://id.example", "smart-route", "nonce", ACCESS)
CLAIMS: dict[str, object] = {
    "iss": "https://id.example",
    "sub": "ada",
    "aud": "smart-route",
    "exp": NOW + 300,
    "iat": NOW,
    "nonce": "nonce",
}


def _token(claims: Mapping[str, object], *, key: Key = RSA, alg: str = "RS256", **header: str) -> str:
    return jwt.encode({"alg": alg, **header}, dict(claims), key, algorithms=[alg])


def _read(text: str, expected: Expected = EXPECTED, *, keys: list[Key] | None = None) -> Mapping[str, object]:
    return read_id_token(text, keys if keys is not None else [EC, ED, RSA], expected, now=NOW)


@pytest.mark.parametrize(("key", "alg"), [(RSA, "RS256"), (EC, "ES256"), (ED, "Ed25519")])
def test_a_right_token_is_read_with_and_without_the_name_of_its_key(key: Key, alg: str) -> None:
    assert _read(_token(CLAIMS, key=key, alg=alg))["sub"] == "ada"
    assert _read(_token(CLAIMS, key=key, alg=alg, kid=str(key.kid)))["sub"] == "ada"


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "https://id.example/"},
        {"iss": None},
        {"sub": ""},
        {"sub": 7},
        {"sub": "s" * 256},
        {"sub": "a\0b"},
        {"aud": "other"},
        {"aud": []},
        {"aud": ["smart-route", "other"]},
        {"aud": {"smart-route": True}},
        {"azp": "other"},
        {"exp": NOW - 61},
        {"exp": "soon"},
        {"exp": None},
        {"iat": NOW + 61},
        {"nbf": NOW + 61},
        {"nonce": "other"},
        {"nonce": ["nonce"]},
        {"nonce": None},
        {"at_hash": "wrong"},
        {"at_hash": 7},
    ],
)
def test_a_claim_that_is_wrong_missing_or_of_another_shape_refuses_the_token(changed: dict[str, object]) -> None:
    claims = {name: value for name, value in {**CLAIMS, **changed}.items() if value is not None}
    with pytest.raises(TokenRefused):
        _read(_token(claims))


def test_several_audiences_need_us_as_the_authorized_party() -> None:
    assert _read(_token({**CLAIMS, "aud": ["other", "smart-route"], "azp": "smart-route"}))


@pytest.mark.parametrize(
    ("key", "alg", "hashed"), [(RSA, "RS256", "sha256"), (RSA, "RS512", "sha512"), (ED, "Ed25519", "sha512")]
)
def test_the_hash_of_the_access_token_is_that_of_the_algorithm(key: Key, alg: str, hashed: str) -> None:
    whole = hashlib.new(hashed, ACCESS.encode()).digest()
    half = base64.urlsafe_b64encode(whole[: len(whole) // 2]).rstrip(b"=").decode()
    assert _read(_token({**CLAIMS, "at_hash": half}, key=key, alg=alg))


@pytest.mark.parametrize("alg", ["HS256", "HS512", "none", "EdDSA", "RS1"])
def test_an_algorithm_that_proves_nothing_or_is_not_ours_is_refused(alg: str) -> None:
    head, body, signature = _token(CLAIMS).split(".")
    head = base64.urlsafe_b64encode(json.dumps({"alg": alg, "kid": "one"}).encode()).rstrip(b"=").decode()
    for text in (f"{head}.{body}.", f"{head}.{body}.{signature}"):
        with pytest.raises(TokenRefused, match="algorithm"):
            _read(text)


@pytest.mark.parametrize("secret", ["the client's secret", RSA.as_pem(private=False).decode()])
def test_a_shared_secret_or_a_public_key_in_its_place_signs_nothing(secret: str) -> None:
    key = OctKey.import_key(base64.urlsafe_b64encode(secret.encode()).decode())
    with pytest.raises(TokenRefused, match="algorithm"):
        _read(_token(CLAIMS, key=key, alg="HS256"))


def test_a_signature_of_another_key_is_refused_as_such() -> None:
    stranger = RSAKey.generate_key(2048, {"kid": "one"})
    with pytest.raises(SignatureUnknown):
        _read(_token(CLAIMS, key=stranger, kid="one"))
    with pytest.raises(SignatureUnknown):
        _read(_token(CLAIMS, kid="four"))


@pytest.mark.parametrize("text", ["", "a.b", "a.b.c", "é.é.é", "." * 2, "x" * 100_000, "e30.e30.e30"])
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(TokenRefused):
        _read(text)


@pytest.mark.parametrize("auth_time", [None, True, "now", NOW - 361, NOW + 61])
def test_a_proof_that_is_asked_for_has_to_be_given_since_then(auth_time: object) -> None:
    expected = Expected("https://id.example", "smart-route", "nonce", ACCESS, proven_since=NOW - 300)
    assert _read(_token({**CLAIMS, "auth_time": NOW - 10}), expected)
    told = {} if auth_time is None else {"auth_time": auth_time}
    with pytest.raises(TokenRefused):
        _read(_token({**CLAIMS, **told}), expected)


def test_keys_that_cannot_check_a_signature_are_left_out() -> None:
    usable = RSA.as_dict(private=False)
    others: list[object] = [
        {"kty": "oct", "k": "c2VjcmV0"},
        {"kty": "unheard of"},
        {"kty": "RSA", "n": "!", "e": "AQAB"},
        {**usable, "use": "enc"},
        "no key",
    ]
    assert [key.kid for key in read_keys({"keys": [*others, usable]})] == ["one"]
    assert read_keys({}) == read_keys({"keys": "none"}) == []


def test_an_e_mail_counts_when_the_provider_vouches_for_it() -> None:
    told = {**CLAIMS, "email": " Ada@Example.com", "email_verified": True}
    assert identity_of(told) == OidcIdentity("https://id.example", "ada", "ada@example.com")


@pytest.mark.parametrize("verified", [False, None, "true", 1])
def test_an_e_mail_that_is_not_vouched_for_is_none(verified: object) -> None:
    assert identity_of({**CLAIMS, "email": "ada@example.com", "email_verified": verified}).email is None


def test_what_the_provider_says_besides_has_to_be_of_the_same_user() -> None:
    userinfo = {"sub": "ada", "email": "ada@example.com", "email_verified": True}
    assert identity_of(CLAIMS, userinfo=userinfo).email == "ada@example.com"
    with pytest.raises(TokenRefused):
        identity_of(CLAIMS, userinfo={**userinfo, "sub": "eve"})
