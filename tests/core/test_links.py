"""Addresses that only their holder knows."""

from __future__ import annotations

from uuid import UUID

import pytest

from core import links
from core.ids import uuid7

RECORD = UUID("01890a5d-ac96-774b-bcce-b302099a8057")


def test_a_token_leads_back_to_its_record_and_is_always_the_same():
    token = links.make("request", RECORD)
    assert links.read("request", token) == RECORD
    assert links.make("request", RECORD) == token
    assert len(token) == 48


def test_another_purpose_does_not_open_it():
    assert links.read("notice", links.make("request", RECORD)) is None


@pytest.mark.parametrize("token", ["", "x", "é" * 48, "A" * 48, "A" * 5000, "....", "\x00" * 48])
def test_what_was_not_made_here_opens_nothing(token):
    assert links.read("request", token) is None


def test_every_changed_character_closes_it():
    token = links.make("request", RECORD)
    for place in range(len(token)):
        other = "B" if token[place] != "B" else "C"
        assert links.read("request", token[:place] + other + token[place + 1 :]) is None


def test_a_replaced_secret_still_opens_addresses_that_were_told(settings):
    token = links.make("request", RECORD)
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another-secret-key-that-came-later"
    assert links.read("request", token) == RECORD
    assert links.make("request", RECORD) != token
    settings.SECRET_KEY_FALLBACKS = []
    assert links.read("request", token) is None


def test_records_have_different_tokens():
    assert len({links.make("request", uuid7()) for _ in range(100)}) == 100
