"""Rotation of the field keys: nothing is forgotten, nothing is lost, nobody waits."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import sys
import threading
import time
from io import StringIO
from pathlib import Path

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import connection, models, transaction

from accounts.models import Identity, IdentityDocument
from core import crypto, rotation, sealed_files, startup_checks, vault, webhooks
from core.errors import Conflict
from core.models import AuditEvent, DataKey, Job, WebhookEndpoint
from core.vault import SEALED

ROOT = Path(__file__).resolve().parents[2]
OLD, NEW = (base64.urlsafe_b64encode(letter * 32).decode() for letter in (b"f", b"g"))


@pytest.fixture
def keys(settings):
    """The tests' own key as "1", a second one as "2"; "1" is in use until `settings.FIELD_KEY_ID` says otherwise."""
    settings.FIELD_KEYS = {"1": OLD, "2": NEW}
    settings.FIELD_KEY_ID = "1"
    crypto._field_key.cache_clear()
    yield settings
    crypto._field_key.cache_clear()


def rotate_command(*arguments):
    out, err = StringIO(), StringIO()
    call_command("rotate_keys", *arguments, stdout=out, stderr=err)
    return out.getvalue() + err.getvalue()


def old_identity(user, number="110101190001029823"):
    """An identity as it was sealed before there were data keys."""
    identity = Identity(user=user, method="id_number", state="replaced")
    identity.number_sealed = crypto.seal(number, f"identity:{identity.pk}:number")
    identity.name_sealed = crypto.seal("试名", f"identity:{identity.pk}:name")
    identity.save(force_insert=True)
    return identity


def test_every_sealed_column_is_known_to_rotation():
    """A column that holds sealed bytes, by its name, is registered; what isn't sealed is named here with its reason."""
    not_sealed = {"digest", "number_digest", "hash", "token_hash", "key_hash", "body_digest"}
    unknown = []
    for model in apps.get_models():
        for field in model._meta.get_fields():
            if isinstance(field, models.BinaryField) and field.name not in not_sealed:
                name = f"{model._meta.label_lower}.{field.name}"
                if name not in SEALED and name != rotation.DATA_KEYS:
                    unknown.append(name)
    assert not unknown


def test_everything_is_brought_under_the_key_in_use(world, keys):
    endpoint, secret = webhooks.register_endpoint(
        service_id=world.service.pk, url="https://example.cn/hook", by=world.fang
    )
    legacy = old_identity(world.liu)
    picture = IdentityDocument.objects.create(
        service=world.service, sha256="0" * 64, media_type="image/png", size=1,
    )  # fmt: skip
    picture.key_sealed = sealed_files.seal_key(b"k" * 32, f"document:{picture.pk}:key")
    picture.save()
    current = world.wen.identities.get()
    bytes_before = bytes(current.number_sealed)
    keys.FIELD_KEY_ID = "2"

    plan = rotation.plan()
    assert plan[rotation.DATA_KEYS]["1"] >= 3 and plan["core.webhookendpoint.secret"] == {"1": 1}
    assert plan["accounts.identity.number_sealed"] == {"1": 1} == plan["accounts.identitydocument.key_sealed"]
    told = rotate_command()
    assert "key 1: 0 values, no longer used" in told and "in use" in told

    assert not rotation.used("1")
    keys.FIELD_KEYS = {"2": NEW}  # the old key is really not needed any more
    crypto._field_key.cache_clear()
    endpoint.refresh_from_db()
    assert webhooks.secret_of(endpoint) == secret
    legacy.refresh_from_db()
    subject = f"user:{world.liu.pk}"
    assert bytes(legacy.number_sealed).startswith(vault.VERSION)
    assert (
        vault.unseal(legacy.number_sealed, subject=subject, context=f"identity:{legacy.pk}:number")
        == "110101190001029823"
    )
    assert vault.unseal(legacy.name_sealed, subject=subject, context=f"identity:{legacy.pk}:name") == "试名"
    picture.refresh_from_db()
    assert sealed_files.open_key(picture.key_sealed, f"document:{picture.pk}:key") == b"k" * 32
    current.refresh_from_db()
    assert bytes(current.number_sealed) == bytes_before  # only its data key was wrapped anew
    assert vault.unseal(current.number_sealed, subject=f"user:{world.wen.pk}", context=f"identity:{current.pk}:number")
    line = AuditEvent.objects.get(action="keys.rotated")
    assert line.data["to"] == "2" and line.data["values"] == sum(sum(found.values()) for found in plan.values())
    assert rotation.rotate(by="system:t").moved == 0  # nothing is left to do


def test_the_plan_changes_nothing(world, keys):
    keys.FIELD_KEY_ID = "2"
    before = list(DataKey.objects.order_by("pk").values_list("pk", "wrapped", "key_id"))
    told = rotate_command("--plan")
    assert "key 1: " in told and "still needed" in told
    assert list(DataKey.objects.order_by("pk").values_list("pk", "wrapped", "key_id")) == before


def test_small_batches_find_everything(world, keys):
    for number in range(23):
        vault.data_key(f"user:extra-{number}")
    keys.FIELD_KEY_ID = "2"
    outcome = rotation.rotate(by="system:t", batch=5)
    assert outcome.whole and not DataKey.objects.exclude(key_id="2").exists()


def test_a_destroyed_key_stays_destroyed(world, keys):
    vault.data_key("user:gone")
    vault.shred(["user:gone"])
    keys.FIELD_KEY_ID = "2"
    assert rotation.rotate(by="system:t").whole
    assert DataKey.objects.get(pk="user:gone").wrapped is None


def test_a_change_of_somebody_else_is_never_overwritten(world, keys, monkeypatch):
    """Between reading and writing the row gets other bytes: they stay, and the next pass takes them."""
    endpoint, _secret = webhooks.register_endpoint(
        service_id=world.service.pk, url="https://example.cn/hook", by=world.fang
    )
    context = f"webhook_endpoint:{endpoint.pk}:secret"
    changed = crypto.seal("whsec_changed", context)
    real, passes = rotation._write, []

    def write(column, anew):
        if column and column.name == "core.webhookendpoint.secret" and not passes:
            passes.append(1)
            WebhookEndpoint.objects.filter(pk=endpoint.pk).update(secret=changed)
        return real(column, anew)

    monkeypatch.setattr(rotation, "_write", write)
    keys.FIELD_KEY_ID = "2"
    outcome = rotation.rotate(by="system:t")
    endpoint.refresh_from_db()
    assert passes and outcome.whole and outcome.passes == 2
    assert webhooks.secret_of(endpoint) == "whsec_changed" and bytes(endpoint.secret).startswith(b"v1.2.")


def test_what_does_not_open_is_named_left_alone_and_keeps_the_key_needed(world, keys):
    DataKey.objects.create(subject="user:bad", wrapped=b"v1.1." + b"x" * 40, key_id="1")
    WebhookEndpoint.objects.create(
        service_id=world.service.pk, url="https://example.cn/bad", secret=crypto.seal("x", "elsewhere")
    )
    keys.FIELD_KEY_ID = "2"
    with pytest.raises(CommandError):
        rotate_command()
    outcome = rotation.rotate(by="system:t")
    assert outcome.unreadable == {rotation.DATA_KEYS: 1, "core.webhookendpoint.secret": 1} and not outcome.whole
    assert bytes(DataKey.objects.get(pk="user:bad").wrapped) == b"v1.1." + b"x" * 40
    with pytest.raises(Conflict) as refused:
        rotation.retire(key_id="1", by="system:t")
    assert refused.value.extra["left"] == {rotation.DATA_KEYS: 1, "core.webhookendpoint.secret": 1}


def test_a_key_retires_only_when_nothing_names_it(world, keys):
    with pytest.raises(Conflict):
        rotation.retire(key_id="1", by="system:t")  # in use
    keys.FIELD_KEY_ID = "2"
    with pytest.raises(CommandError):
        rotate_command("--retire", "1")
    rotation.rotate(by="system:t")
    # A process that was not restarted still seals under the old key.
    keys.FIELD_KEY_ID = "1"
    vault.data_key("user:late")
    keys.FIELD_KEY_ID = "2"
    with pytest.raises(CommandError):
        rotate_command("--retire", "1")
    rotation.rotate(by="system:t")
    assert "key 1" in rotate_command("--retire", "1")
    assert AuditEvent.objects.get(action="keys.retired").data == {"key": "1"}


def test_a_job_that_carries_a_sealed_text_keeps_its_key_needed(world, keys):
    sealed = base64.b64encode(crypto.seal("token", "invitation:1:token")).decode()
    Job.objects.create(kind="x", subject="x", payload={"token": sealed, "other": 5})
    keys.FIELD_KEY_ID = "2"
    assert rotation.rotate(by="system:t").whole
    assert rotation.used("1") == {rotation.JOBS: 1}
    Job.objects.all().delete()
    assert not rotation.used("1")


def test_a_key_that_is_named_and_not_configured_is_told(world, keys):
    DataKey.objects.create(subject="user:lost", wrapped=b"v1.9." + b"x" * 40, key_id="9")
    told = rotate_command("--plan")
    assert "key 9: 1 values, still needed, NOT CONFIGURED" in told


def test_a_key_that_is_named_and_not_configured_stops_the_start(world, keys):
    assert startup_checks.keys_that_are_named(databases=["default"]) == []
    keys.FIELD_KEYS = {"2": NEW}
    (error,) = startup_checks.keys_that_are_named(databases=["default"])
    assert error.id == "core.E004" and "1" in error.msg


def test_rows_that_somebody_holds_are_not_waited_for_and_not_forgotten(open_world, keys):
    """Another transaction holds a row: the rest is moved at once, and the row when it is free."""
    keys.FIELD_KEY_ID = "2"
    held, free = threading.Event(), threading.Event()

    def hold():
        try:
            with transaction.atomic():
                DataKey.objects.select_for_update().get(pk=f"user:{open_world.wen.pk}")
                held.set()
                free.wait(30)
        finally:
            connection.close()

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(10)
    moved = []

    def progress(place, done):
        moved.append(done)
        if sum(moved) >= 2:
            free.set()

    outcome = rotation.rotate(by="system:t", progress=progress)
    holder.join(30)
    assert outcome.whole and outcome.passes >= 2
    assert not DataKey.objects.exclude(key_id="2").exists()


def test_two_rotations_at_once_share_the_work(open_world, keys):
    for number in range(300):
        vault.data_key(f"user:extra-{number}")
    keys.FIELD_KEY_ID = "2"
    total = DataKey.objects.count()
    outcomes, start = [], threading.Barrier(2)

    def one():
        try:
            start.wait(10)
            outcomes.append(rotation.rotate(by="system:t", batch=20))
        finally:
            connection.close()

    both = [threading.Thread(target=one) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join(60)
    assert [o.whole for o in outcomes] == [True, True]
    assert sum(o.moved for o in outcomes) == total and not DataKey.objects.exclude(key_id="2").exists()


def test_a_killed_run_is_resumed_by_another_while_people_register(open_world, keys):
    """kill -9 in the middle; users are registered meanwhile, half of them by a process that still knows the old key."""
    from accounts import identities, users

    crypto_keys = [vault.wrapped(f"user:extra-{number}", os.urandom(32)) for number in range(1500)]
    DataKey.objects.bulk_create(crypto_keys)
    database = connection.settings_dict
    environment = {
        **os.environ,
        "FIELD_KEYS": f"1={OLD},2={NEW}",
        "FIELD_KEY_ID": "2",
        "DATABASE_URL": f"postgres://{database['USER']}@{database['HOST'].replace('/', '%2F')}/{database['NAME']}",
        "PYTHONUNBUFFERED": "1",
    }
    command = [sys.executable, "manage.py", "rotate_keys", "--batch", "10"]
    first = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    failures = []
    stop = threading.Event()

    def register():
        number = 0
        try:
            while not stop.is_set():
                number += 1
                user, _created = users.register(
                    service=open_world.service,
                    external_id=f"r{number}",
                    kind="person",
                    display_name="网名",
                    by="client:t",
                )
                identities.submit(
                    user=user, method="mobile", number=f"139{number:08}", name="试名", by="client:t"
                )  # fmt: skip
        except Exception as exc:
            failures.append(exc)
        finally:
            connection.close()

    people = threading.Thread(target=register)
    people.start()
    try:
        until = time.monotonic() + 90
        while DataKey.objects.filter(key_id="2").count() < 300:
            assert first.poll() is None and time.monotonic() < until
        first.send_signal(signal.SIGKILL)
        first.wait(20)
        left = DataKey.objects.filter(key_id="1").count()
        assert 0 < left < 1500 + 200  # killed half-way
    finally:
        stop.set()
        people.join(60)
        first.stdout.close()
    assert not failures
    second = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=110)
    assert second.returncode == 0, second.stdout + second.stderr
    assert not DataKey.objects.exclude(key_id="2").exists()
    registered = Identity.objects.filter(user__external_id__startswith="r").order_by("pk")
    assert registered.exists()
    for identity in (registered.first(), registered.last()):
        assert vault.unseal(
            identity.number_sealed, subject=f"user:{identity.user_id}", context=f"identity:{identity.pk}:number"
        ).startswith("139")
