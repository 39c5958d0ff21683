"""`manage.py export` and `manage.py verify`: what they write and how they end."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from core.models import AuditEvent
from reporting.models import Bundle


def run_verify(path, *args) -> tuple[int, str]:
    out, err = StringIO(), StringIO()
    try:
        call_command("verify", str(path), *args, stdout=out, stderr=err)
    except SystemExit as end:
        return int(end.code or 0), out.getvalue() + err.getvalue()
    return 0, out.getvalue() + err.getvalue()


def export(out, *args, name: str = "decisions") -> str:
    told = StringIO()
    call_command(
        "export", name, "--from", "2020-01-01", "--to", "2100-01-01T00:00:00Z", "--out", str(out), *args, stdout=told
    )
    return told.getvalue()


def test_an_export_is_whole_and_one_changed_byte_is_not(open_world, tmp_path):
    open_world.submit()
    told = export(tmp_path / "deep" / "out")
    digest = told.split()[-1]
    assert sorted(p.name for p in (tmp_path / "deep" / "out").iterdir()) == [
        "README.txt",
        "decisions.csv",
        "decisions.jsonl",
        "manifest.json",
        "manifest.sha256",
    ]
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["out"]
    code, text = run_verify(tmp_path / "deep" / "out", "--digest", digest)
    assert code == 0 and "whole: decisions, 1 rows" in text
    path = tmp_path / "deep" / "out" / "decisions.csv"
    raw = bytearray(path.read_bytes())
    raw[-4] ^= 1
    path.write_bytes(raw)
    code, text = run_verify(tmp_path / "deep" / "out")
    assert code == 1 and text.splitlines() == ["decisions.csv: changed: its SHA-256 is not the one in the manifest"]
    assert run_verify(tmp_path / "nothing")[0] == 2
    line = AuditEvent.objects.get(action="bundle.exported")
    assert (line.data["manifest"], line.actor) == (digest, "system:command")
    assert not Bundle.objects.exists()


def test_an_export_goes_into_an_empty_folder_only(open_world, tmp_path):
    (tmp_path / "out").mkdir()
    export(tmp_path / "out", "--no-guard", name="rumor_cases")
    assert run_verify(tmp_path / "out")[0] == 0
    with pytest.raises(CommandError, match="|".join(["empty", "空"])):
        export(tmp_path / "out")


@pytest.mark.parametrize(
    "args",
    [
        ["secrets", "--from", "2026-01-01", "--to", "2026-01-02"],
        ["decisions", "--from", "2026-01-02", "--to", "2026-01-01"],
        ["decisions", "--from", "yesterday", "--to", "2026-01-01"],
    ],
)
def test_what_makes_no_sense_writes_nothing(world, tmp_path, args):
    with pytest.raises(CommandError):
        call_command("export", *args, "--out", str(tmp_path / "out"))
    assert list(tmp_path.iterdir()) == [] or not (tmp_path / "out").exists()


def test_the_seeds_put_the_schedule_down_and_the_tasks_follow_it(world):
    from django_celery_beat.models import PeriodicTask

    from reporting import tasks

    daily = PeriodicTask.objects.get(name="reporting.tasks.daily_bundles")
    assert (daily.crontab.hour, daily.crontab.minute, str(daily.crontab.timezone)) == ("2", "0", "Asia/Shanghai")
    tasks.daily_bundles()
    tasks.missed_bundles()
    assert Bundle.objects.filter(name="decisions").count() == 1
