"""After a whole run nothing personal stands where it doesn't belong: ledger, logs, outbox, jobs, webhooks, sessions,
history, in no spelling and no encoding (design.md §3.7, security.md §4)."""

from __future__ import annotations

import base64
import hashlib
import logging
import re

from django.db import connection
from django.urls import reverse

from accounts import identities, keys, users
from core import outbox, webhooks
from core.models import WebhookDelivery
from tests.accounts.test_lookup import born
from tests.world import work

NAME = "欧阳试名"
NUMBER = born(1991)
MOBILE = "13912345678"


def spellings():
    """The personal values raw, in hex, in the three alignments of base64, and hashed without a key."""
    for value in (NAME, NUMBER, MOBILE):
        raw = value.encode()
        yield raw
        yield value.encode("unicode_escape")
        yield raw.hex().encode()
        for shift in range(3):
            yield base64.b64encode(b"\x00" * shift + raw)[4 if shift else 0 : -4]
        for unkeyed in ("sha256", "sha1", "md5"):
            digest = hashlib.new(unkeyed, raw)
            yield digest.hexdigest().encode()
            yield digest.digest()
            yield base64.b64encode(digest.digest()).rstrip(b"=")


def every_row():
    """Every column of every row of every table, as bytes."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        for (table,) in cursor.fetchall():
            cursor.execute(f'SELECT * FROM "{table}"')
            for row in cursor.fetchall():
                for column in row:
                    yield table, bytes(column) if isinstance(column, memoryview) else str(column).encode()


def test_after_a_whole_run_nothing_personal_lies_anywhere(world, api, login, caplog, capsys):
    caplog.set_level(logging.DEBUG)
    webhooks.register_endpoint(service_id=world.service.pk, url="http://127.0.0.1:9/", by=world.fang)
    zhou, chen = login("zhou"), login("chen")
    for external_id, proof in (
        ("p1", {"method": "id_number", "number": NUMBER, "name": NAME}),
        ("p2", {"method": "id_number", "number": NUMBER, "name": NAME}),
        ("p3", {"method": "mobile", "number": MOBILE, "name": NAME}),
        ("p4", {"method": "id_number", "number": NUMBER[:-1] + ("0" if NUMBER[-1] != "0" else "1"), "name": NAME}),
    ):
        api.post("users", {"external_id": external_id, "kind": "person", "display_name": "网名"})
        api.post(f"users/{external_id}/identity", proof)
        api.get(f"users/{external_id}")
    first, second, third = (
        users.find(service=world.service, external_id=name).identities.get() for name in ("p1", "p2", "p3")
    )
    shown = zhou.post(reverse("verification_reveal", args=[first.pk]), {"reason": "核对"})
    assert NUMBER.encode() in shown.content  # it is there where it belongs
    zhou.get("/users/verification/")
    for identity, given in (
        (first, {"outcome": "verify"}),
        (second, {"outcome": "reject", "reason": "不符"}),
        (third, {"outcome": "verify"}),
    ):
        page = zhou.get(f"/users/verification/?open={identity.pk}").content.decode()
        token = re.search(r'name="token" value="([^"]+)"', page)[1]
        decided = zhou.post(reverse("verification_decide", args=[identity.pk]), {**given, "token": token})
        assert decided.status_code == 302
    for number in (NUMBER, MOBILE, NUMBER[:-1] + "?"):
        zhou.post("/users/by-number/", {"number": number})
    chen.post(reverse("measure_apply", args=[first.user_id]), {"kind": "suspend", "ground": "测试"})
    api.post("submissions", world.body(user="p1"))
    api.post("submissions", world.body(user="p3"))
    while outbox.relay():
        work()
    assert WebhookDelivery.objects.exists()
    keys.forget()

    secret = list(spellings())
    seen = 0
    for table, column in every_row():
        seen += 1
        for spelling in secret:
            assert spelling not in column, (table, spelling)
    assert seen > 1000
    written = caplog.text.encode() + "".join(capsys.readouterr()).encode()
    assert b"/users/by-number/" in written
    for spelling in secret:
        assert spelling not in written, spelling


def test_the_search_of_this_test_finds_what_it_looks_for(world):
    from core.models import Job

    for value in (NUMBER, NUMBER.encode().hex(), base64.b64encode(b"a" + NUMBER.encode()).decode()):
        job = Job.objects.create(kind="x", subject="x", payload={"leak": value})
        assert any(s in column for _table, column in every_row() for s in spellings())
        job.delete()


def test_masks_and_digests_are_all_that_is_readable_of_an_identity(world):
    row = identities.submit(user=world.liu, method="id_number", number=NUMBER, name=NAME, by="client:t")
    row.refresh_from_db()
    for column in (row.number_sealed, row.name_sealed, row.number_digest):
        assert not any(spelling in bytes(column) for spelling in spellings())
    assert (row.number_masked, row.name_masked) == (f"{NUMBER[:3]}{'*' * 13}{NUMBER[-2:]}", "欧***")
