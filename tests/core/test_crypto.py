"""Sealed fields and keyed digests."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from core import crypto, pepper


@pytest.fixture
def keys(settings):
    """Two field keys, the second in use; caches forget them afterwards."""
    settings.FIELD_KEYS = {
        "1": base64.urlsafe_b64encode(b"1" * 32).decode(),
        "2": base64.urlsafe_b64encode(b"2" * 32).decode(),
        "short": base64.urlsafe_b64encode(b"3" * 16).decode(),
    }
    settings.FIELD_KEY_ID = "2"
    crypto._field_key.cache_clear()
    yield settings
    crypto._field_key.cache_clear()


@given(text=st.text(), context=st.text())
def test_what_was_sealed_opens_in_its_own_place(text, context):
    try:
        text.encode(), context.encode()
    except UnicodeEncodeError:
        return  # half of a surrogate pair never gets past the door
    sealed = crypto.seal(text, context)
    assert crypto.unseal(sealed, context) == text
    assert crypto.unseal(memoryview(sealed), context) == text
    with pytest.raises(crypto.Unreadable):
        crypto.unseal(sealed, context + "x")


def test_the_same_text_twice_is_two_ciphertexts():
    assert crypto.seal("a", "c") != crypto.seal("a", "c")


def test_one_changed_bit_anywhere_and_it_does_not_open():
    sealed = crypto.seal("110101", "identity:1:number")
    for place in range(len(sealed)):
        for bit in (1, 128):
            changed = bytearray(sealed)
            changed[place] ^= bit
            with pytest.raises(crypto.Unreadable):
                crypto.unseal(bytes(changed), "identity:1:number")
    for short in (sealed[:-1], sealed[:10], b"", b"v1.", b"v1.1.", b"v9" + sealed[2:]):
        with pytest.raises(crypto.Unreadable):
            crypto.unseal(short, "identity:1:number")


def test_a_new_key_seals_and_the_old_one_still_opens(keys):
    keys.FIELD_KEY_ID = "1"
    old = crypto.seal("x", "c")
    keys.FIELD_KEY_ID = "2"
    new = crypto.seal("x", "c")
    assert (old[:5], new[:5]) == (b"v1.1.", b"v1.2.")
    assert crypto.unseal(old, "c") == crypto.unseal(new, "c") == "x"
    # The key's name is authenticated: a ciphertext can't be passed off as another key's.
    with pytest.raises(crypto.Unreadable):
        crypto.unseal(b"v1.2." + old[5:], "c")


@pytest.mark.parametrize("key_id", ["gone", "short"])
def test_without_its_key_nothing_is_sealed_and_nothing_opens(keys, key_id):
    sealed = crypto.seal("x", "c")
    keys.FIELD_KEY_ID = key_id
    with pytest.raises(crypto.Unreadable):
        crypto.seal("x", "c")
    with pytest.raises(crypto.Unreadable):
        crypto.unseal(sealed.replace(b"v1.2.", b"v1." + key_id.encode() + b"."), "c")


def test_digests_are_keyed_and_differ_by_purpose(keys):
    number = "13800138000"
    digest = crypto.digest(number, "identity.mobile")
    assert digest == crypto.digest(number, "identity.mobile") and len(digest) == 32
    assert digest != crypto.digest(number, "identity.id_number")
    assert digest not in {hashlib.new(name, number.encode()).digest() for name in ("sha256", "sha3_256", "blake2s")}
    keys.DIGEST_KEY = base64.urlsafe_b64encode(b"e" * 32).decode()
    assert crypto.digest(number, "identity.mobile") != digest
    keys.DIGEST_KEY = base64.urlsafe_b64encode(b"e" * 8).decode()
    with pytest.raises(pepper.Away):
        crypto.digest(number, "identity.mobile")


def test_the_purpose_and_the_value_cannot_flow_into_each_other():
    assert crypto.digest("b", "a\x00") != crypto.digest("\x00b", "a")


def test_digests_are_what_they_were_before_the_key_had_a_port(keys):
    """A changed derivation would lose every identity that was registered before."""
    keys.DIGEST_KEY = base64.urlsafe_b64encode(b"d" * 32).decode()
    own = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=b"identity.mobile").derive(b"d" * 32)
    expected = hmac.new(own, b"identity.mobile\x0013800138000", hashlib.sha256).digest()
    assert crypto.digest("13800138000", "identity.mobile") == expected
