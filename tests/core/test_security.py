"""Passwords, tokens and signed links: only what we made ourselves is let through."""

from __future__ import annotations

import base64
import json
import time
from typing import Any
from uuid import UUID

import argon2
import jwt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core import security
from core.ids import TenantId, new_id
from core.security import InvalidTokenError, TokenSigner, hash_password, verify_password

SECRET = "a secret for tests of 32 characters or more"
SIGNER = TokenSigner(SECRET, access_ttl=900)
OTHER = TokenSigner(SECRET + "!", access_ttl=900)
USER, TENANT, SESSION, DOCUMENT = new_id(), TenantId(new_id()), new_id(), new_id()
TOKEN, _ = SIGNER.issue_access(USER, TENANT, SESSION)
FUTURE = 2**40
LINK = SIGNER.sign_file(TENANT, DOCUMENT, FUTURE)


def part(value: Any) -> str:
    """One part of a JWT."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def claims(token: str) -> dict[str, Any]:
    """What a token says, unchecked."""
    return jwt.decode(token, options={"verify_signature": False})


def test_a_token_says_who_and_until_when() -> None:
    before = int(time.time())
    token, expires_at = SIGNER.issue_access(USER, TENANT, SESSION)
    checked = SIGNER.check_access(token)
    assert (checked.user_id, checked.tenant_id, checked.session_id) == (USER, TENANT, SESSION)
    assert checked.expires_at == expires_at
    assert before + 900 <= expires_at.timestamp() <= time.time() + 900


def test_a_token_holds_no_more_than_it_must() -> None:
    assert set(claims(TOKEN)) == {"iss", "sub", "tenant", "sid", "iat", "exp", "jti"}


def test_a_token_of_another_secret_is_refused() -> None:
    with pytest.raises(InvalidTokenError, match="not valid"):
        OTHER.check_access(TOKEN)


def test_an_expired_token_is_refused_with_the_reason() -> None:
    token, _ = TokenSigner(SECRET, access_ttl=-1).issue_access(USER, TENANT, SESSION)
    with pytest.raises(InvalidTokenError, match="expired"):
        SIGNER.check_access(token)


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "HS384", "RS256", ""])
def test_a_token_chooses_no_algorithm_of_its_own(algorithm: str) -> None:
    _, body, signature = TOKEN.split(".")
    header = part({"alg": algorithm, "typ": "JWT"})
    for forged in (f"{header}.{body}.", f"{header}.{body}.{signature}", f"{header}.{body}"):
        with pytest.raises(InvalidTokenError):
            SIGNER.check_access(forged)


def test_the_signature_of_one_token_is_not_another_s() -> None:
    header, _, signature = TOKEN.split(".")
    other = part(claims(TOKEN) | {"tenant": new_id().hex})
    with pytest.raises(InvalidTokenError):
        SIGNER.check_access(f"{header}.{other}.{signature}")


@pytest.mark.parametrize(
    "changed",
    [
        *({name: None} for name in ("iss", "exp", "sub", "tenant")),
        *({"iss": "elsewhere"}, {"sub": "nobody"}, {"sub": 7}, {"tenant": "x"}, {"tenant": [1]}),
        *({"exp": "soon"}, {"exp": 10**30}, {"iat": 2**40}),
    ],
)
def test_a_genuine_signature_under_other_claims_is_refused(changed: dict[str, Any]) -> None:
    values = {name: value for name, value in (claims(TOKEN) | changed).items() if value is not None}
    with pytest.raises(InvalidTokenError):
        SIGNER.check_access(jwt.encode(values, SIGNER._token_key, algorithm="HS256"))


@given(st.text())
@example("")
@example("..")
@example("\ud800")
@example("\x00")
@example(LINK)
@example(TOKEN + "\n")
@example(TOKEN[:-1])
@example("é" * 10_000)
def test_any_other_text_is_not_a_token(text: str) -> None:
    with pytest.raises(InvalidTokenError):
        SIGNER.check_access(text)


def test_a_link_opens_what_it_was_signed_for_until_it_expires() -> None:
    signed = SIGNER.sign_file(TENANT, DOCUMENT, 1_000)
    assert SIGNER.check_file(signed, 999.9) == (TENANT, DOCUMENT)
    for now in (1_000, 1_000.1, 10**12):
        with pytest.raises(InvalidTokenError, match="expired"):
            SIGNER.check_file(signed, now)


def test_a_link_needs_no_quoting_in_a_url() -> None:
    assert LINK.isascii()
    assert all(character.isalnum() or character == "." for character in LINK)


@given(st.data())
def test_a_link_with_anything_changed_opens_nothing(data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(LINK) - 1))
    other = data.draw(st.characters().filter(lambda character: character != LINK[place]))
    for changed in (LINK[:place] + other + LINK[place + 1 :], LINK[:place] + other + LINK[place:], LINK[:place]):
        with pytest.raises(InvalidTokenError, match="not valid"):
            SIGNER.check_file(changed, 0)


def test_a_link_of_another_secret_or_tenant_or_document_opens_nothing() -> None:
    with pytest.raises(InvalidTokenError):
        OTHER.check_file(LINK, 0)
    tenant, document, expires_at, signature = LINK.split(".")
    for forged in (
        f"{new_id().hex}.{document}.{expires_at}.{signature}",
        f"{tenant}.{new_id().hex}.{expires_at}.{signature}",
        f"{tenant}.{document}.{int(expires_at) + 1}.{signature}",
    ):
        with pytest.raises(InvalidTokenError):
            SIGNER.check_file(forged, 0)


def test_a_signature_made_for_another_purpose_opens_nothing() -> None:
    payload, _, _ = LINK.rpartition(".")
    for key in (SIGNER._token_key, SECRET.encode()):
        forged = TokenSigner(SECRET, access_ttl=900)
        forged._link_key = key
        with pytest.raises(InvalidTokenError):
            SIGNER.check_file(forged.sign_file(TENANT, DOCUMENT, FUTURE), 0)
    with pytest.raises(InvalidTokenError):
        SIGNER.check_file(TOKEN, 0)
    with pytest.raises(InvalidTokenError):
        SIGNER.check_file(f"{payload}.{TOKEN.rpartition('.')[2]}", 0)


@given(st.text())
@example("")
@example("...")
@example("\ud800")
@example("a.b.c.\udfff")
@example("\udfff.b.c.d")
@example("é.é.é.é")
@example(f"{TENANT.hex}.{DOCUMENT.hex}.٣.{'0' * 64}")
@example("." * 10_000)
def test_any_other_text_is_not_a_link(text: str) -> None:
    with pytest.raises(InvalidTokenError):
        SIGNER.check_file(text, 0)


@pytest.mark.parametrize("secret", ["", "short", "x" * 31])
def test_a_short_secret_is_refused_without_being_shown(secret: str) -> None:
    with pytest.raises(ValueError, match="SECRET_KEY") as caught:
        TokenSigner(secret, access_ttl=900)
    assert "32" in str(caught.value)
    assert not secret or secret not in str(caught.value)


def test_a_password_is_known_again_and_no_other_is() -> None:
    stored = hash_password("correct horse battery")
    assert stored.startswith("$argon2id$")
    assert stored != hash_password("correct horse battery")
    assert verify_password(stored, "correct horse battery")
    for wrong in ("Correct horse battery", "correct horse battery ", ""):
        assert not verify_password(stored, wrong)


def test_no_account_has_no_password() -> None:
    assert not verify_password(None, "anything")
    assert not verify_password(None, "")


def test_what_is_verified_for_no_account_costs_as_much_as_a_password_of_the_product() -> None:
    product = argon2.PasswordHasher()
    assert argon2.extract_parameters(security._DUMMY_HASH) == argon2.extract_parameters(product.hash("a password"))
    assert (product.memory_cost, product.time_cost) >= (64 * 1024, 3)


def test_a_damaged_hash_lets_nobody_in() -> None:
    for damaged in ("$argon2id$v=19$m=65536,t=3,p=4$", "not a hash"):
        assert not verify_password(damaged, "anything")


def test_ids_in_a_token_are_uuids() -> None:
    checked = SIGNER.check_access(TOKEN)
    assert isinstance(checked.user_id, UUID)
    assert isinstance(checked.tenant_id, UUID)
