"""A bundle's way from the request to the stored archive."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
import zipfile
from datetime import timedelta

import psutil
import pytest
from django.db import connection
from django.utils import timezone

from accounts.models import User
from core import evidence, jobs
from core.errors import Conflict, Forbidden, NotFound, Refusal
from core.models import AuditEvent, Job, QuarantinedJob
from moderation import queue
from moderation.decisions import decide as decide_item
from moderation.models import Decision
from reporting import archive, bundles, folder, verification
from reporting.models import Bundle
from reporting.periods import start_of
from tests.reporting.conftest import BEGINNING, made, whole
from tests.reporting.reading import cells, ids, lines, save
from tests.world import BLOCKED, SCAM, work


def test_every_decision_is_in_the_bundle_with_what_it_rests_on(open_world, tmp_path):
    released, blocked, judged = open_world.submit(), open_world.submit(BLOCKED), open_world.submit(SCAM)
    held = queue.next_task(by=open_world.lin)
    decide_item(
        submission_id=judged.pk,
        token=held.token,
        outcome="block",
        category="fraud.part_time",
        reason="刷单",
        by=open_world.lin,
    )
    bundle = whole(open_world.chen)
    assert (bundle.state, bundle.rows, bundle.continuity) == ("ready", Decision.objects.count(), "period")
    rows = {row["submission_id"]: row for row in lines(bundle)}
    assert rows[str(released.pk)]["outcome"] == "release"
    assert rows[str(released.pk)]["statement_puid"] is None
    assert rows[str(blocked.pk)]["decided_by"] == "policy"
    person = rows[str(judged.pk)]
    assert (person["staff"], person["reason"], person["category"]) == ("lin", "刷单", "fraud.part_time")
    assert (person["automated_detection"], person["automated_decision"]) == (True, False)
    assert (person["service"], person["user_id"]) == ("tuyan", str(open_world.wen.pk))
    assert person["decided_at"].endswith("Z") and isinstance(person["policy_version"], int)
    assert [c["decision_id"] for c in cells(bundle)] == ids(bundle)
    assert verification.verify(save(bundle, tmp_path / "b.zip"), expected_digest=bundle.manifest_digest).problems == []


def test_the_manifest_says_what_the_bundle_is_and_the_ledger_its_digest(open_world):
    open_world.submit()
    bundle = whole(open_world.chen)
    with zipfile.ZipFile(evidence.open_file(bundle.archive_id)) as packed:
        raw = packed.read("manifest.json")
        names = packed.namelist()
        readme = packed.read("README.txt").decode()
    manifest = json.loads(raw)
    assert names == ["decisions.csv", "decisions.jsonl", "README.txt", "manifest.json", "manifest.sha256"]
    assert hashlib.sha256(raw).hexdigest() == bundle.manifest_digest
    assert (manifest["bundle_id"], manifest["rows"], manifest["previous"]) == (str(bundle.pk), 1, None)
    assert manifest["providers"][0]["name"] == "图言智作"
    assert manifest["period"]["from_shanghai"] == "2020-01-01"
    assert manifest["period"]["over"] is False
    assert [c["name"] for c in manifest["columns"]] == list(lines(bundle)[0])
    assert "sha256sum -c" in readme and "核验" in readme
    line = AuditEvent.objects.get(subject=f"bundle:{bundle.pk}", action="bundle.finish")
    assert line.data["manifest"] == bundle.manifest_digest


def test_sha256sum_alone_can_check_an_unpacked_bundle(open_world, tmp_path):
    open_world.submit()
    bundle = whole(open_world.chen)
    with zipfile.ZipFile(evidence.open_file(bundle.archive_id)) as packed:
        packed.extractall(tmp_path / "out")
    check = ["sha256sum", "-c", "--strict", "manifest.sha256"]
    assert subprocess.run(check, cwd=tmp_path / "out", capture_output=True, check=False).returncode == 0
    (tmp_path / "out" / "decisions.csv").write_bytes(b"x")
    assert subprocess.run(check, cwd=tmp_path / "out", capture_output=True, check=False).returncode == 1


def test_nothing_of_a_person_is_in_a_bundle(open_world):
    from tests.world import ID_NUMBER, OTHER_ID_NUMBER

    open_world.submit()
    open_world.submit(BLOCKED)
    for name in ("decisions", "rumor_cases"):
        bundle = whole(open_world.chen, name=name)
        with zipfile.ZipFile(evidence.open_file(bundle.archive_id)) as packed:
            text = "".join(packed.read(n).decode("utf-8-sig") for n in packed.namelist())
        secrets = [ID_NUMBER, OTHER_ID_NUMBER, "试名", *User.objects.values_list("display_name", flat=True)]
        secrets += [person.display_name for person in open_world.staff.values()]
        assert [s for s in secrets if s in text] == []


def test_a_period_ends_before_its_end(decide, open_world):
    day = start_of(timezone.now().date() - timedelta(days=10))
    inside = [decide(at=day), decide(at=day + timedelta(days=1) - timedelta(microseconds=1))]
    decide(at=day - timedelta(microseconds=1))
    decide(at=day + timedelta(days=1))
    bundle = made(bundles.request_bundle(name="decisions", start=day, end=day + timedelta(days=1), by=open_world.chen))
    assert ids(bundle) == inside


AWKWARD = [
    "=1+1",
    "+1",
    "-1",
    "@a",
    "\tx",
    "\r\nx",
    "\x01",
    "\x85",
    "plain",
    "'=x",
    'a "b", c',
    "两行\n的",
    "a\u2028b",
    "",
]


@pytest.mark.parametrize("guard", [True, False])
def test_cells_that_look_like_formulas_are_guarded_in_csv_only(decide, open_world, guard):
    """Ruling 14."""
    for reason in AWKWARD:
        decide(reason=reason)
    bundle = whole(open_world.chen, guard=guard)
    assert bundle.manifest["csv_guarded"] is guard
    by_id = {row["decision_id"]: row["reason"] for row in cells(bundle)}
    seen = [(row["reason"], by_id[row["decision_id"]]) for row in lines(bundle) if row["decision_id"] in by_id][1:]
    assert [told for told, _cell in seen] == AWKWARD
    begin = "=+-@\t\r\x01\x85"
    for told, cell in seen:
        assert cell == (f"'{told}" if guard and told and told[0] in begin else told)


def test_an_empty_period_is_a_bundle_that_says_so(open_world, tmp_path):
    bundle = whole(open_world.chen, name="rumor_cases")
    assert (bundle.state, bundle.rows) == ("ready", 0)
    assert verification.verify(save(bundle, tmp_path / "b.zip")).whole


def test_rumor_cases_come_with_their_events(open_world):
    from rumors import cases

    case = cases.open_case(claim="某地停水三天", found="monitoring", by=open_world.chen)
    bundle = whole(open_world.chen, name="rumor_cases")
    row = lines(bundle)[0]
    assert (row["case_number"], row["claim"], row["event"]) == (case.number, "某地停水三天", "opened")
    assert row["actor"] == "staff:chen" and row["detail"]["number"] == case.number


@pytest.mark.parametrize("name", ["lin", "xu", "zhou", "he", "fang"])
def test_only_a_compliance_officer_asks_for_bundles(world, name):
    with pytest.raises(Forbidden):
        bundles.request_bundle(name="decisions", start=BEGINNING, end=timezone.now(), by=world.staff[name])
    assert not Bundle.objects.exists() and not Job.objects.filter(kind=bundles.JOB).exists()


def test_what_does_not_exist_or_runs_backwards_is_refused(world):
    with pytest.raises(NotFound):
        bundles.request_bundle(name="secrets", start=BEGINNING, end=timezone.now(), by=world.chen)
    with pytest.raises(Refusal):
        bundles.request_bundle(name="decisions", start=timezone.now(), end=BEGINNING, by=world.chen)


def test_the_same_request_while_it_is_on_its_way_is_one_bundle(world):
    end = timezone.now()
    first, second = (
        bundles.request_bundle(name="decisions", start=BEGINNING, end=end, by=world.chen) for _ in range(2)
    )
    assert first.pk == second.pk
    assert Job.objects.filter(kind=bundles.JOB).count() == 1


def test_a_bundle_that_fails_three_times_says_why_and_can_be_tried_again(open_world, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(archive, "pack", full)
        bundle = bundles.request_bundle(name="decisions", start=BEGINNING, end=timezone.now(), by=open_world.chen)
        for _ in range(jobs.TRIES):
            Job.objects.filter(kind=bundles.JOB).update(due_at=timezone.now() - timedelta(seconds=1))
            work()
    bundle.refresh_from_db()
    assert (bundle.state, bundle.failure) == ("failed", "no_room")
    assert QuarantinedJob.objects.filter(subject=str(bundle.pk)).count() == 1
    with pytest.raises(Forbidden):
        bundles.retry(bundle_id=bundle.pk, by=open_world.he)
    bundles.retry(bundle_id=bundle.pk, by=open_world.chen)
    assert made(bundle).state == "ready"
    with pytest.raises(Conflict):
        bundles.retry(bundle_id=bundle.pk, by=open_world.chen)


def test_a_worker_that_lost_its_lease_writes_no_result(open_world, monkeypatch):
    bundle = bundles.request_bundle(name="decisions", start=BEGINNING, end=timezone.now(), by=open_world.chen)
    claimed = jobs.claim(bundles.KIND)
    write = folder.write_manifest

    def stolen(*args, **kwargs):
        digest = write(*args, **kwargs)
        Job.objects.filter(kind=bundles.JOB).update(lease_token=None, due_at=timezone.now())
        return digest

    with monkeypatch.context() as patch:
        patch.setattr(folder, "write_manifest", stolen)
        assert bundles.run(claimed) == {}
    bundle.refresh_from_db()
    assert (bundle.state, bundle.manifest_digest) == ("making", "")
    assert made(bundle).state == "ready"


def test_damaged_bytes_never_arrive_as_a_complete_file(open_world):
    open_world.submit()
    bundle = whole(open_world.chen)
    path = evidence.storages["evidence"].path(evidence.path_of(bundle.archive_id))
    with open(path, "r+b") as stored:
        stored.seek(50)
        stored.write(b"?")
    _bundle, pieces = bundles.download(bundle_id=bundle.pk, by=open_world.he)
    arrived = b""
    with pytest.raises(evidence.Damaged):
        for piece in pieces:
            arrived += piece
    assert len(arrived) < bundle.archive.size


MANY = 200_000


def test_memory_does_not_grow_with_the_rows_and_progress_is_told(decide, open_world, monkeypatch):
    decide()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO moderation_decision (id, submission_id, outcome, by_kind, policy_version, rule, clause, reason)"
            " SELECT gen_random_uuid(), %s, 'release', 'policy', 1, 'clean', '', repeat('理由', 20)"
            " FROM generate_series(1, %s)",
            [decide.item.pk, MANY],
        )
    told = []
    tell = bundles.Progress.__call__
    monkeypatch.setattr(
        bundles.Progress, "__call__", lambda self, *counts: (told.append(counts), tell(self, *counts))[1]
    )
    process = psutil.Process()
    bundle = bundles.request_bundle(
        name="decisions", start=BEGINNING, end=timezone.now() + timedelta(days=1), by=open_world.chen
    )
    before, most = process.memory_info().rss, 0
    alive = bundles.Progress.alive

    def watched(self):
        nonlocal most
        most = max(most, process.memory_info().rss)
        return alive(self)

    monkeypatch.setattr(bundles.Progress, "alive", watched)
    began = time.perf_counter()
    bundle = made(bundle)
    seconds = time.perf_counter() - began
    assert bundle.rows == bundle.progress == Decision.objects.count() == MANY + 2
    assert len(told) > MANY / folder.BATCH and told[-1] == (MANY + 2, MANY + 2)
    assert most - before < 50 * 1024 * 1024, f"grew by {(most - before) / 1e6:.0f} MB"
    sys.stdout.write(f"rss +{(most - before) / 1e6:.1f} MB, {MANY / seconds:,.0f} rows/s\n")
