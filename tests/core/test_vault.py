"""A key per subject: what it seals, what destroying it does."""

from __future__ import annotations

import os
import threading

import pytest
from django.db import connection

from core import crypto, vault
from core.models import DataKey

pytestmark = pytest.mark.django_db
ONE, TWO = "user:1", "user:2"


def test_what_was_sealed_opens_for_its_own_subject_and_place_only():
    sealed = vault.seal("110101", subject=ONE, context="identity:1:number")
    vault.data_key(TWO)
    assert vault.unseal(sealed, subject=ONE, context="identity:1:number") == "110101"
    assert vault.unseal(memoryview(sealed), subject=ONE, context="identity:1:number") == "110101"
    for subject, context in ((TWO, "identity:1:number"), (ONE, "identity:2:number"), (ONE, "identity:1:name")):
        with pytest.raises(crypto.Unreadable):
            vault.unseal(sealed, subject=subject, context=context)


def test_one_changed_bit_anywhere_and_it_does_not_open():
    sealed = vault.seal("110101", subject=ONE, context="c")
    for place in range(len(sealed)):
        changed = bytearray(sealed)
        changed[place] ^= 1
        with pytest.raises(crypto.Unreadable):
            vault.unseal(bytes(changed), subject=ONE, context="c")
    for short in (b"", b"v2.", sealed[:8], sealed[:-1]):
        with pytest.raises(crypto.Unreadable):
            vault.unseal(short, subject=ONE, context="c")


def test_a_subject_without_a_key_opens_nothing():
    sealed = vault.seal_under(os.urandom(32), "x", subject=ONE, context="c")
    with pytest.raises(crypto.Unreadable):
        vault.unseal(sealed, subject=ONE, context="c")


def test_what_was_sealed_before_there_were_data_keys_still_opens():
    assert vault.unseal(crypto.seal("old", "c"), subject=ONE, context="c") == "old"


def test_a_shredded_subject_is_gone_for_good_and_says_so():
    sealed = vault.seal("x", subject=ONE, context="c")
    other = vault.seal("y", subject=TWO, context="c")
    assert vault.shred([ONE, "user:never"]) == 1
    for act in (
        lambda: vault.unseal(sealed, subject=ONE, context="c"),
        lambda: vault.seal("again", subject=ONE, context="c"),
        lambda: vault.data_key(ONE),
    ):
        with pytest.raises(vault.Shredded):
            act()
    assert vault.unseal(other, subject=TWO, context="c") == "y"
    row = DataKey.objects.get(pk=ONE)
    assert row.wrapped is None and row.destroyed_at
    assert vault.shred([ONE]) == 0  # once is enough
    row.refresh_from_db()
    assert row.destroyed_at


def test_a_wrapped_key_belongs_to_its_subject():
    vault.data_key(ONE)
    DataKey.objects.create(subject=TWO, wrapped=DataKey.objects.get(pk=ONE).wrapped, key_id="1")
    with pytest.raises(crypto.Unreadable):
        vault.data_key(TWO)


def test_two_at_once_get_the_same_key(transactional_db):
    found, start = [], threading.Barrier(6)

    def ask():
        try:
            start.wait(10)
            found.append(vault.data_key(ONE))
        finally:
            connection.close()

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(found) == 6 and len(set(found)) == 1


def test_many_keys_come_in_a_few_statements_and_the_erased_are_left_out(django_assert_max_num_queries):
    first = vault.data_key(ONE)
    vault.data_key(TWO)
    vault.shred([TWO])
    subjects = [ONE, TWO, *(f"user:{n}" for n in range(100, 300))]
    with django_assert_max_num_queries(6):
        keys = vault.data_keys(subjects)
    assert keys[ONE] == first and TWO not in keys and len(keys) == 201
    assert vault.data_keys(subjects) == keys
    assert (
        vault.unseal(
            vault.seal_under(keys["user:150"], "x", subject="user:150", context="c"), subject="user:150", context="c"
        )
        == "x"
    )
