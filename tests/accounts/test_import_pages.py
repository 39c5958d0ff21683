"""The pages of imports: an upload that never lies anywhere in the clear, progress, the second confirmation, the report."""

from __future__ import annotations

import csv
import io
import os
import re
import subprocess
import sys
import tempfile
from io import StringIO

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from accounts import confirmation, imports
from accounts.models import User, UserImport
from accounts.pages import import_upload
from core.ids import uuid7
from core.models import Evidence
from tests.accounts.test_imports import as_csv, as_xlsx, line, numbers_of_nobody, storage  # noqa: F401
from tests.installation import ROOT
from tests.world import work

SECRET_NAME = "欧阳无名"


@pytest.fixture
def zhou(world, login):
    """The identity admin, who confirmed who he is a moment ago."""
    browser = login("zhou")
    session = browser.session
    session[confirmation.CONFIRMED_AT] = confirmation.database_time()
    session[confirmation.CONFIRMED_WHO] = str(world.zhou.pk)
    session.save()
    return browser


def send(browser, world, data, *, pk=None, name="用户.csv", **more):
    pk = pk or uuid7()
    posted = {"service": world.service.pk, "encoding": "", "file": SimpleUploadedFile(name, data), **more}
    return pk, browser.post(reverse("import_start", args=[pk]), posted)


def test_from_the_upload_to_the_report(world, zhou):
    page = zhou.get(reverse("imports")).content.decode()
    address = re.search(r'action="([^"]+/start/)"', page)[1]
    one, two = numbers_of_nobody(2)
    data = as_csv([line("n1", one), line("n2", two[:-1] + "Y"), line("wen")])
    posted = {"service": world.service.pk, "file": SimpleUploadedFile("用户.csv", data)}
    first, again = zhou.post(address, posted), zhou.post(address, {**posted, "file": SimpleUploadedFile("b.csv", data)})
    row = UserImport.objects.get()
    where = reverse("import", args=[row.pk])
    assert (first.status_code, first["Location"], again.status_code) == (302, where, 409)
    assert 'hx-trigger="every 2s"' in zhou.get(where).content.decode()
    work()
    text = zhou.get(where).content.decode()
    assert (
        "every 2s" not in text
        and 'data-action="carry-out"' in text
        and User.objects.filter(external_id="n1").count() == 0
    )
    assert zhou.post(reverse("import_carry_out", args=[row.pk]), {}).status_code == 302
    part = zhou.get(where, headers={"HX-Request": "true"})
    assert "<html" not in part.content.decode() and "<progress" in part.content.decode()
    assert "HX-Refresh" not in part and "HX-Request" in part["Vary"]
    work()
    part = zhou.get(where, headers={"HX-Request": "true"})
    assert part["HX-Refresh"] == "true"
    assert User.objects.filter(external_id="n1", identity_status="pending").count() == 1
    told = zhou.get(reverse("import_report", args=[row.pk]))
    assert "attachment" in told["Content-Disposition"] and "no-store" in told["Cache-Control"]
    rows = list(csv.reader(io.StringIO(b"".join(told.streaming_content).decode("utf-8-sig"))))
    assert [(r[0], r[1], r[4]) for r in rows[1:]] == [("3", "n2", "check_digit")]
    assert zhou.post(reverse("import_carry_out", args=[row.pk]), {}).status_code == 409


def test_nothing_of_an_upload_touches_a_disk_in_the_clear(world, zhou, monkeypatch, storage):  # noqa: F811
    """Every temporary file that the upload makes is looked at before it is closed."""
    written = []
    real = tempfile.TemporaryFile

    def watched(*args, **kwargs):
        opened = real(*args, **kwargs)
        write = opened.write
        opened_proxy = type("Watched", (), {
            "write": staticmethod(lambda data: (written.append(bytes(data)), write(data))[1]),
            "__getattr__": lambda _self, name: getattr(opened, name),
            "__enter__": lambda self: self,
            "__exit__": lambda _self, *_: opened.close(),
        })  # fmt: skip
        return opened_proxy()

    monkeypatch.setattr(import_upload.tempfile, "TemporaryFile", watched)
    rows = [line(f"n{n}", number, name=SECRET_NAME) for n, number in enumerate(numbers_of_nobody(20_000))]
    data = as_csv(rows)
    assert len(data) > 1_500_000  # more than Django keeps in memory
    _pk, answer = send(zhou, world, data)
    assert answer.status_code == 302 and len(b"".join(written)) > len(data)
    kept = b"".join(written) + b"".join(p.read_bytes() for p in storage.rglob("*") if p.is_file())
    assert SECRET_NAME.encode() not in kept and rows[777]["number"].encode() not in kept


def test_an_xlsx_upload_and_a_trusted_run(world, zhou):
    one = next(numbers_of_nobody(1))
    pk, _answer = send(zhou, world, as_xlsx([line("n1", one, verified_at="2026-01-05")]), name="用户.xlsx")
    work()
    assert zhou.post(reverse("import_carry_out", args=[pk]), {"trust": "on"}).status_code == 302
    work()
    assert User.objects.get(external_id="n1").identity_status == "verified"


def test_what_is_no_table_is_refused_in_the_form(world, zhou, monkeypatch):
    for data, more in ((b"", {}), (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", {}), (b"x", {"encoding": "latin-1"})):
        _pk, answer = send(zhou, world, data, **more)
        assert answer.status_code == 422 and 'role="alert"' in answer.content.decode()
    missing = zhou.post(reverse("import_start", args=[uuid7()]), {"service": world.service.pk})
    assert missing.status_code == 422
    monkeypatch.setattr(imports, "LARGEST", 1_000_000)
    _pk, answer = send(zhou, world, b"x" * 1_000_001)
    assert answer.status_code == 413
    assert not Evidence.objects.exists() and not UserImport.objects.exists()


def test_an_upload_from_elsewhere_is_refused_and_keeps_nothing(world):
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(world.zhou, backend="django.contrib.auth.backends.ModelBackend")
    assert send(browser, world, as_csv([line("n1")]))[1].status_code == 403
    assert not Evidence.objects.exists()


def test_a_file_that_can_not_be_read_says_why_on_its_page(world, zhou):
    pk, _answer = send(zhou, world, b"external_id,kind\n1,person\n")
    work()
    text = zhou.get(reverse("import", args=[pk])).content.decode()
    assert 'role="alert"' in text and "display_name, region" in text and "carry-out" not in text


def test_abort_resume_and_what_is_not_there(world, zhou):
    pk, _answer = send(zhou, world, as_csv([line("n1")]))
    assert zhou.post(reverse("import_resume", args=[pk])).status_code == 409
    assert zhou.get(reverse("import_report", args=[pk])).status_code == 404
    assert zhou.post(reverse("import_abort", args=[pk])).status_code == 302
    assert UserImport.objects.get().state == "aborted"
    for name in ("import_abort", "import_resume", "import_carry_out"):
        assert zhou.post(reverse(name, args=[uuid7()])).status_code == 404
    assert zhou.get(reverse("import", args=[uuid7()])).status_code == 404


def test_carrying_out_asks_who_one_is(world, login, zhou):
    pk, _answer = send(zhou, world, as_csv([line("n1")]))
    work()
    session = zhou.session
    session.pop(confirmation.CONFIRMED_AT)
    session.save()
    answer = zhou.post(reverse("import_carry_out", args=[pk]))
    assert answer.status_code == 302 and "next=" in answer["Location"]
    assert UserImport.objects.get().state == "checked"


def test_the_command_line_checks_and_carries_out(world, tmp_path):
    path, report = tmp_path / "users.csv", tmp_path / "report.csv"
    one = next(numbers_of_nobody(1))
    path.write_bytes(as_csv([line("n1", one, verified_at="2026-01-05"), line("n2", "1")]))
    out = StringIO()
    given = {"service": "tuyan", "by": "zhou", "report": report, "stdout": out, "stderr": StringIO()}
    call_command("import_users", path, **given)
    assert "state checked" in out.getvalue() and not User.objects.filter(external_id="n1").exists()
    assert b"check_digit" in report.read_bytes()
    call_command("import_users", path, carry_out=True, trust=True, **given)
    assert "imported 1" in out.getvalue() and "state finished" in out.getvalue()
    assert User.objects.get(external_id="n1").identity_status == "verified"
    for wrong in ({"by": "nobody"}, {"by": "lin"}, {"service": "nothing"}):
        with pytest.raises(CommandError):
            call_command("import_users", path, **{**given, **wrong})
    path.write_bytes(b"a,b\n1,2\n")
    with pytest.raises(CommandError, match="external_id"):
        call_command("import_users", path, **given)


def test_a_fresh_worker_knows_the_jobs_of_imports():
    """In a process of its own: in this one the tests have imported everything."""
    code = (
        "import django; django.setup(); from core import jobs; print({'import.check', 'import.run'} <= set(jobs.KINDS))"
    )
    path = f"{ROOT}{os.pathsep}{ROOT / 'platform'}"
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings", "PYTHONPATH": path},
    )  # fmt: skip
    assert told.stdout.split() == ["True"], told.stderr
