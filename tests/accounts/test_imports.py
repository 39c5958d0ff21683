"""Import of a user base: tried first, carried out in pieces that survive anything, in bounded memory, telling nothing."""

from __future__ import annotations

import csv
import io
import itertools
import re
import zipfile
from datetime import timedelta

import pytest
from django.core.files.storage import storages
from django.utils import timezone
from openpyxl import Workbook
from stdnum.cn import ric

from accounts import identities, import_checks, import_run, import_users, imports, sealing, tasks, users
from accounts.import_rows import FileRefused, Table
from accounts.models import Identity, Staff, User, UserImport, UserImportPiece
from core import gates, jobs, pepper, sealed_files
from core.errors import Conflict, Forbidden, NotFound, Refusal
from core.ids import uuid7
from core.models import AuditEvent, DataKey, Evidence, Job, QuarantinedJob
from core.vault import unseal
from tests.world import ID_NUMBER, OTHER_ID_NUMBER, USCC, work

HEAD = ["external_id", "kind", "display_name", "region", "method", "name", "number", "verified_at", "verified_by"]
ADULT_YEARS = ("1900",)


@pytest.fixture(autouse=True)
def storage(settings, tmp_path):
    settings.STORAGES = {
        **settings.STORAGES,
        "evidence": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": str(tmp_path / "evidence")},
        },
    }
    return tmp_path / "evidence"


def numbers_of_nobody(count, *, year="1900", county="110101"):
    """ID numbers with right check digits, birth in January of a year in which nobody living was born."""
    for day, sequence in itertools.islice(itertools.product(range(1, 32), range(1, 1000)), count):
        body = f"{county}{year}01{day:02}{sequence:03}"
        yield body + ric.calc_check_digit(body + "0")


def line(external_id, number="", *, method=None, kind="person", name="试名", verified_at="", **given):
    row = {
        "external_id": external_id, "kind": kind, "display_name": f"昵称{external_id}", "region": "北京",
        "method": ("id_number" if number else "") if method is None else method, "name": name if number else "",
        "number": number, "verified_at": verified_at, "verified_by": "前台" if verified_at else "",
    }  # fmt: skip
    return {**row, **given}


def as_csv(rows, head=HEAD, encoding="utf-8", delimiter=","):
    out = io.StringIO()
    writer = csv.DictWriter(out, head, delimiter=delimiter, extrasaction="ignore", restval="")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode(encoding)


def as_xlsx(rows, head=HEAD):
    book = Workbook(write_only=True)
    sheet = book.create_sheet("用户")
    sheet.append(head)
    for row in rows:
        sheet.append([row.get(name, "") for name in head])
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def incoming(pk, data, name="用户.csv"):
    return imports.Incoming(name, data[:8], len(data), lambda: sealed_files.write([data], aad=imports.aad(pk, "file")))


def start(world, data, by=None, encoding=""):
    pk = uuid7()
    return imports.start(
        import_id=pk, service=world.service, file=incoming(pk, data), by=by or world.zhou, encoding=encoding
    )


def checked(world, data, **kwargs):
    row = start(world, data, **kwargs)
    work()
    row.refresh_from_db()
    return row


def carried_out(world, data, *, trust=False):
    row = checked(world, data)
    assert row.state == "checked", (row.state, row.error)
    imports.carry_out(import_id=row.pk, trust=trust, by=world.zhou)
    work()
    row.refresh_from_db()
    return row


def report_of(row, by):
    text = b"".join(imports.report(import_id=row.pk, by=by)).decode("utf-8-sig")
    return list(csv.reader(io.StringIO(text)))[1:]


def figures(row):
    return (row.state, row.rows, row.done, row.imported, row.known, row.refused)


# The dry run


def test_a_dry_run_counts_reports_and_changes_nothing(world):
    good, other = numbers_of_nobody(2)
    wrong = good[:-1] + ("1" if good[-1] != "1" else "2")
    data = as_csv(
        [
            line("n1", good),
            line("wen", other),  # known
            line("n2", wrong),
            line("n3", kind="robot"),
            line("n1", other),  # repeated
            line("n4"),
            line("", good),
            line("=cmd()", good, method="dna"),
        ]
    )
    before = (User.objects.count(), Identity.objects.count())
    row = checked(world, data)
    assert figures(row) == ("checked", 8, 8, 2, 1, 5)
    assert (User.objects.count(), Identity.objects.count()) == before
    told = [(int(r[0]), r[1], r[3], r[4]) for r in report_of(row, world.zhou)]
    assert told == [
        (4, "n2", "number", "check_digit"),
        (5, "n3", "kind", "unknown"),
        (6, "n1", "external_id", "repeated"),
        (8, "", "external_id", "length"),
        (9, "'=cmd()", "method", "unknown"),
    ]
    assert all(r[5] for r in report_of(row, world.zhou))


def test_what_is_kept_is_sealed_and_tells_no_number_and_no_name(world, storage):
    good, bad = numbers_of_nobody(2)
    wrong = bad[:-1] + ("1" if bad[-1] != "1" else "2")
    row = carried_out(world, as_csv([line("n1", good, name="欧阳试"), line("n2", wrong, name="欧阳试")]))
    text = b"".join(imports.report(import_id=row.pk, by=world.zhou))
    kept = [path.read_bytes() for path in storage.rglob("*") if path.is_file()]
    assert len(kept) == 2  # the file and the report; the report of the dry run is gone
    ledger = "".join(f"{e.subject}{e.data}{e.reason}{e.actor}" for e in AuditEvent.objects.all())
    for secret in (good, wrong, "欧阳试"):
        assert secret.encode() not in b"".join(kept) + text and secret not in ledger
    assert not UserImportPiece.objects.exists()
    proof = Identity.objects.get(user__external_id="n1")
    assert sealing.opened(proof) == (good, "欧阳试") and good not in proof.number_masked


def test_pieces_of_the_report_are_sealed_while_the_import_goes_on(world, monkeypatch):
    monkeypatch.setitem(import_run.PIECE, import_run.CHECK, 1)
    start(world, as_csv([line("geheim-1", "123"), line("n2")]))
    monkeypatch.setattr(import_run, "_finish", lambda job, kind, row: jobs.put_back(job, after=60, reset=True))
    jobs.work("courier", seconds=1.0)
    assert b"geheim" not in bytes(UserImportPiece.objects.get().lines_sealed)


# The real run


def test_users_come_in_pending_with_history_ledger_and_a_key_of_their_own(world):
    good, other = numbers_of_nobody(2)
    data = as_csv(
        [
            line("n1", good, verified_at="2024-05-31"),
            line("n2", "13800138000", method="手机", name=""),
            line("n3", USCC, method="统一社会信用代码", kind="企业", name="图言智作"),
            line("n4"),
            line("n5", other[:6] + " " + other[6:], kind="个人", method="身份证"),
        ]
    )
    row = carried_out(world, data)
    assert figures(row) == ("finished", 5, 5, 5, 0, 0) and row.finished_at and report_of(row, world.zhou) == []
    found = {u.external_id: u for u in User.objects.filter(service=world.service, external_id__startswith="n")}
    assert [found[f"n{n}"].identity_status for n in range(1, 6)] == [
        "pending", "pending", "pending", "unverified", "pending",
    ]  # fmt: skip
    assert not any(user.may_publish for user in found.values())
    for user in found.values():
        assert user.history.count() == 1 and user.history.get().history_user == world.zhou
        lines = [e.data["import"] for e in AuditEvent.objects.filter(subject=f"user:{user.pk}")]
        assert lines == [str(row.pk)] * (1 if user.external_id == "n4" else 2)
    proof = found["n5"].identities.get()
    assert sealing.opened(proof).number == other and proof.history.count() == 1
    assert [i.user_id for i in identities.with_number("id_number", other)] == [found["n5"].pk]
    assert DataKey.objects.filter(subject=f"user:{found['n1'].pk}").count() == 1
    with pytest.raises(Exception, match="does not open|no data key"):
        unseal(bytes(proof.number_sealed), subject=f"user:{found['n1'].pk}", context=f"identity:{proof.pk}:number")
    # A person decides about them as about everybody.
    identities.verify(identity_id=proof.pk, by=world.zhou)


def test_an_earlier_verification_counts_only_where_somebody_answers_for_it(world, monkeypatch):
    monkeypatch.setenv("MINGJIAN_ACCOUNTS_PER_IDENTITY", "2")
    one, two, three = numbers_of_nobody(3)
    child = f"110101{timezone.now().year - 5}0101001"
    child += ric.calc_check_digit(child + "0")
    recent = (timezone.now() - timedelta(days=100)).date().isoformat()
    data = as_csv(
        [
            line("a1", one, verified_at=recent),
            line("a2", one, verified_at=recent),
            line("a3", one, verified_at=recent),  # one account too many
            line("a4", two),  # never verified
            line("a5", three, verified_at="2001-01-01"),  # too long ago
            line("a6", child, verified_at=recent),
            line("a7", "13800138000", method="mobile", verified_at=f"{recent} 08:00"),
            line("a8"),
        ]
    )
    row = carried_out(world, data, trust=True)
    assert figures(row) == ("finished", 8, 8, 8, 0, 0)
    status = dict(User.objects.filter(external_id__startswith="a").values_list("external_id", "identity_status"))
    assert status == {
        "a1": "verified", "a2": "verified", "a3": "pending", "a4": "pending", "a5": "pending", "a6": "pending",
        "a7": "verified", "a8": "unverified",
    }  # fmt: skip
    waits = {r[1]: r[4] for r in report_of(row, world.zhou)}
    assert waits == {
        "a3": "identity_limit", "a4": "not_verified_before", "a5": "expired", "a6": "guardian_consent_required",
    }  # fmt: skip
    proof = Identity.objects.get(user__external_id="a1")
    assert (proof.decided_by, proof.check_reference) == (world.zhou, "前台")
    assert timezone.localtime(proof.decided_at).date().isoformat() == recent
    assert proof.expires_at - proof.decided_at == timedelta(days=1095)
    assert User.objects.get(external_id="a1").may_publish and User.objects.get(external_id="a1").minor is False
    event = AuditEvent.objects.get(action="user.identity_verified", subject=f"user:{proof.user_id}")
    assert event.data["import"] == str(row.pk) and event.data["method"] == "id_number"
    assert AuditEvent.objects.get(action="user_import.carry_out").data["trusted"] is True
    again = checked(world, as_csv([line("b1", one, verified_at=recent)]))
    imports.carry_out(import_id=again.pk, trust=True, by=world.zhou)
    work()
    assert User.objects.get(external_id="b1").identity_status == "pending"  # the two are in the database by now


def test_without_trust_nobody_is_verified(world):
    one = next(numbers_of_nobody(1))
    carried_out(world, as_csv([line("a1", one, verified_at="2024-05-31")]))
    assert User.objects.get(external_id="a1").identity_status == "pending"


def test_the_same_file_twice_changes_nothing_the_second_time(world):
    data = as_csv([line(f"n{n}", number) for n, number in enumerate(numbers_of_nobody(7))])
    assert figures(carried_out(world, data)) == ("finished", 7, 7, 7, 0, 0)
    before = list(User.objects.order_by("pk").values())
    ledger = AuditEvent.objects.filter(subject__startswith="user:").count()
    assert figures(carried_out(world, data)) == ("finished", 7, 7, 0, 7, 0)
    assert list(User.objects.order_by("pk").values()) == before
    assert AuditEvent.objects.filter(subject__startswith="user:").count() == ledger


@pytest.mark.parametrize("killed_at", [1, 2, 4])
@pytest.mark.parametrize("kind", [import_run.CHECK, import_run.RUN])
def test_a_worker_killed_in_the_middle_is_followed_by_one_that_goes_on_there(world, monkeypatch, killed_at, kind):
    """Both before a piece is committed and right after it: the counts are exact either way."""
    monkeypatch.setattr(import_run, "PIECE", {import_run.CHECK: 3, import_run.RUN: 3})
    number = list(numbers_of_nobody(10))
    rows = [line(f"n{n}", number[n]) for n in range(10)] + [line("n3", number[9]), line("wen"), line("x", "1")]
    real, calls = import_run._Worker.piece, []

    class Killed(BaseException):
        pass

    def piece(self, given):
        if self.kind == kind:
            calls.append(1)
            if len(calls) == killed_at:
                raise Killed
        answer = real(self, given)
        if self.kind == kind and len(calls) == killed_at + 1:
            calls.append(1)
            raise Killed
        return answer

    monkeypatch.setattr(import_run._Worker, "piece", piece)

    def work_on():
        for _ in range(4):
            try:
                work()
                return
            except Killed:
                Job.objects.update(due_at=timezone.now() - timedelta(seconds=1))  # its lease ran out
        raise AssertionError

    row = start(world, as_csv(rows))
    work_on()
    row.refresh_from_db()
    assert figures(row) == ("checked", 13, 13, 10, 1, 2)
    imports.carry_out(import_id=row.pk, trust=False, by=world.zhou)
    work_on()
    row.refresh_from_db()
    assert figures(row) == ("finished", 13, 13, 10, 1, 2) and len(calls) >= killed_at + 1
    assert [(r[1], r[4]) for r in report_of(row, world.zhou)] == [("n3", "repeated"), ("x", "check_digit")]
    assert User.objects.filter(external_id__startswith="n").count() == 10
    assert AuditEvent.objects.filter(action="user.registered", data__has_key="import").count() == 10


def test_a_worker_that_slept_past_its_lease_writes_nothing(world, monkeypatch):
    monkeypatch.setattr(import_run, "PIECE", {import_run.CHECK: 3, import_run.RUN: 3})
    row = checked(world, as_csv([line(f"n{n}") for n in range(9)]))
    imports.carry_out(import_id=row.pk, trust=False, by=world.zhou)
    real = import_run._Worker.piece

    def piece(self, given):
        if self.row.done == 3:
            Job.objects.update(lease_token=uuid7())  # another worker has it now
        return real(self, given)

    with monkeypatch.context() as patched:
        patched.setattr(import_run._Worker, "piece", piece)
        jobs.work("courier", seconds=1.0)
    row.refresh_from_db()
    assert (row.state, row.done) == ("running", 3) and User.objects.filter(external_id__startswith="n").count() == 3
    Job.objects.update(due_at=timezone.now() - timedelta(seconds=1))
    work()
    row.refresh_from_db()
    assert figures(row) == ("finished", 9, 9, 9, 0, 0)


def test_long_imports_let_others_have_a_turn_and_count_no_attempt(world, monkeypatch):
    monkeypatch.setattr(import_run, "PIECE", {import_run.CHECK: 1, import_run.RUN: 1})
    monkeypatch.setattr(import_run, "BUDGET", -1.0)
    assert figures(carried_out(world, as_csv([line(f"n{n}") for n in range(8)]))) == ("finished", 8, 8, 8, 0, 0)
    assert not QuarantinedJob.objects.exists()


def test_two_imports_at_once_with_the_same_users(open_world, at_once, monkeypatch):
    world = open_world
    monkeypatch.setattr(import_run, "PIECE", {import_run.CHECK: 50, import_run.RUN: 20})
    number = list(numbers_of_nobody(120))
    first = [line(f"u{n:03}", number[n], verified_at="2024-05-31") for n in range(80)]
    second = [line(f"u{n:03}", number[n], verified_at="2024-05-31") for n in range(119, 39, -1)]
    rows = [checked(world, as_csv(each)) for each in (first, second)]
    for row in rows:
        imports.carry_out(import_id=row.pk, trust=True, by=world.zhou)
    done = at_once(*[lambda: jobs.work("courier", seconds=20.0)] * 2)
    assert not any(isinstance(d, Exception) for d in done), done
    work()
    for row in rows:
        row.refresh_from_db()
    assert [(row.state, row.done, row.refused) for row in rows] == [("finished", 80, 0)] * 2
    assert sum(row.imported for row in rows) == 120 and sum(row.known for row in rows) == 40
    assert User.objects.filter(external_id__startswith="u").count() == 120
    assert Identity.objects.filter(user__external_id__startswith="u", state="verified").count() == 120


def test_a_registration_over_the_api_in_the_same_moment_wins(world, monkeypatch):
    real = User.objects.bulk_create

    def register_first(objs, **kwargs):
        with monkeypatch.context() as undone:
            undone.undo()
        users.register(service=world.service, external_id="n1", kind="person", display_name="先到", by="client:test")
        return real(objs, **kwargs)

    row = checked(world, as_csv([line("n0"), line("n1", next(numbers_of_nobody(1)))]))
    imports.carry_out(import_id=row.pk, trust=False, by=world.zhou)
    monkeypatch.setattr(import_users.User.objects, "bulk_create", register_first)
    work()
    row.refresh_from_db()
    assert figures(row) == ("finished", 2, 2, 1, 1, 0)
    assert User.objects.get(external_id="n1").display_name == "先到"
    assert not Identity.objects.filter(user__external_id="n1").exists()


def test_other_services_keep_their_users_of_the_same_name(world):
    assert figures(carried_out(world, as_csv([line("ma")]))) == ("finished", 1, 1, 1, 0, 0)
    assert User.objects.filter(external_id="ma").count() == 2


# Rights, gates, stopping


def running(world, monkeypatch, rows=9):
    """An import that has done three of its rows."""
    monkeypatch.setattr(import_run, "PIECE", {import_run.CHECK: 3, import_run.RUN: 3})
    row = checked(world, as_csv([line(f"n{n}", "1" if n == 1 else "") for n in range(rows)]))
    imports.carry_out(import_id=row.pk, trust=False, by=world.zhou)
    with monkeypatch.context() as patched:
        patched.setattr(import_run, "BUDGET", -1.0)
        patched.setattr(import_run.jobs, "put_back", lambda job, **_: None)  # its lease keeps it from running at once
        jobs.work("courier", seconds=0.5)
    Job.objects.update(due_at=timezone.now() - timedelta(seconds=1), attempts=0)
    row.refresh_from_db()
    assert (row.state, row.done) == ("running", 3)
    return row


@pytest.mark.parametrize("loss", [{"role": "auditor"}, {"is_active": False}])
def test_whoever_lost_the_grant_stops_the_import_and_a_colleague_goes_on(world, monkeypatch, loss):
    row = running(world, monkeypatch)
    Staff.objects.filter(pk=world.zhou.pk).update(**loss)
    work()
    row.refresh_from_db()
    assert (row.state, row.error, row.done) == ("failed", "grant_lost", 3) and not Job.objects.exists()
    qi = Staff.objects.create(username="qi", display_name="齐眉", role="identity_admin")
    imports.resume(import_id=row.pk, by=qi)
    work()
    row.refresh_from_db()
    assert figures(row) == ("finished", 9, 9, 8, 0, 1) and row.carried_by == qi
    assert [r[1] for r in report_of(row, qi)] == ["n1"]


def test_while_registration_is_closed_the_import_waits(world, monkeypatch):
    row = running(world, monkeypatch)
    gate = gates.close_gate(capability="registration", by=world.chen, directive="令7号")
    work()
    row.refresh_from_db()
    assert (row.state, row.done, row.error) == ("running", 3, "gate_closed")
    gates.open_gate(gate_id=gate.pk, by=world.chen, reason="x")
    Job.objects.update(due_at=timezone.now() - timedelta(seconds=1))
    work()
    row.refresh_from_db()
    assert figures(row) == ("finished", 9, 9, 8, 0, 1) and row.error == ""


def test_while_the_digest_key_is_away_the_import_waits(world, monkeypatch):
    row = checked(world, as_csv([line("n1", next(numbers_of_nobody(1)))]))
    imports.carry_out(import_id=row.pk, trust=False, by=world.zhou)

    def away(value, purpose):
        raise pepper.Away("lookup_unavailable", "x", retry_after=60)

    with monkeypatch.context() as patched:
        patched.setattr(import_users.crypto, "digest", away)
        work()
    job = Job.objects.get()
    assert (job.attempts, job.lease_token) == (0, None)
    Job.objects.update(due_at=timezone.now() - timedelta(seconds=1))
    work()
    row.refresh_from_db()
    assert row.state == "finished"


def test_an_aborted_import_stops_at_once_and_reports_what_it_did(world, monkeypatch):
    row = running(world, monkeypatch)
    imports.abort(import_id=row.pk, by=world.zhou)
    work()
    row.refresh_from_db()
    assert (row.state, row.done, row.refused) == ("aborted", 3, 1) and not Job.objects.exists()
    assert [r[1] for r in report_of(row, world.zhou)] == ["n1"]
    assert User.objects.filter(external_id__startswith="n").count() == 2
    with pytest.raises(Conflict):
        imports.carry_out(import_id=row.pk, trust=False, by=world.zhou)
    with pytest.raises(Conflict):
        imports.abort(import_id=row.pk, by=world.zhou)


def test_an_import_aborted_while_it_is_checked_goes_no_further(world):
    row = start(world, as_csv([line("n1")]))
    imports.abort(import_id=row.pk, by=world.zhou)
    work()
    row.refresh_from_db()
    assert (row.state, row.done) == ("aborted", 0) and not Job.objects.exists()


def test_what_fails_three_times_stops_and_is_resumed_by_a_person(world, monkeypatch):
    row = checked(world, as_csv([line(f"n{n}") for n in range(4)]))
    imports.carry_out(import_id=row.pk, trust=False, by=world.zhou)

    def broken(*args, **kwargs):
        raise RuntimeError("Key (external_id)=(n1)")

    with monkeypatch.context() as patched:
        patched.setattr(import_users, "bring_in", broken)
        for _ in range(4):
            work()
            Job.objects.update(due_at=timezone.now() - timedelta(seconds=1))
    row.refresh_from_db()
    assert (row.state, row.error) == ("failed", "crashed") and QuarantinedJob.objects.count() == 1
    imports.resume(import_id=row.pk, by=world.zhou)
    work()
    row.refresh_from_db()
    assert figures(row) == ("finished", 4, 4, 4, 0, 0)


def test_a_second_job_for_the_same_import_does_nothing_twice(world, monkeypatch):
    row = running(world, monkeypatch)
    jobs.enqueue(imports.RUN, str(row.pk))  # as a retry out of quarantine beside a resumed one
    work()
    row.refresh_from_db()
    assert figures(row) == ("finished", 9, 9, 8, 0, 1) and not Job.objects.exists()


@pytest.mark.parametrize("who", ["lin", "xu", "chen", "he", "fang"])
def test_only_identity_admins_import(world, who):
    person = world.staff[who]
    row = checked(world, as_csv([line("n1")]))
    for call in (
        lambda: start(world, as_csv([line("n1")]), by=person),
        lambda: imports.carry_out(import_id=row.pk, trust=False, by=person),
        lambda: imports.resume(import_id=row.pk, by=person),
        lambda: imports.abort(import_id=row.pk, by=person),
        lambda: imports.report(import_id=row.pk, by=person),
    ):
        with pytest.raises(Forbidden):
            call()
    assert UserImport.objects.count() == 1


def test_pressed_twice_is_one_import_and_one_run(world):
    pk = uuid7()
    data = as_csv([line("n1")])
    imports.start(import_id=pk, service=world.service, file=incoming(pk, data), by=world.zhou)
    with pytest.raises(Conflict):
        imports.start(import_id=pk, service=world.service, file=incoming(pk, data), by=world.zhou)
    assert Evidence.objects.count() == 1
    work()
    imports.carry_out(import_id=pk, trust=False, by=world.zhou)
    with pytest.raises(Conflict):
        imports.carry_out(import_id=pk, trust=True, by=world.zhou)
    assert Job.objects.count() == 1
    with pytest.raises(NotFound):
        imports.abort(import_id=uuid7(), by=world.zhou)


def test_files_are_forgotten_after_their_time(world, storage, monkeypatch):
    done = carried_out(world, as_csv([line("n1"), line("n2", "1")]))
    left = checked(world, as_csv([line("n3")]))
    busy = start(world, as_csv([line("n4")]))
    tasks.forget_imports()
    assert UserImport.objects.exclude(file_key_sealed=None).count() == 3
    UserImport.objects.update(created_at=timezone.now() - timedelta(days=8))
    UserImport.objects.exclude(finished_at=None).update(finished_at=timezone.now() - timedelta(days=7, minutes=1))
    tasks.forget_imports()
    for row in (done, left, busy):
        row.refresh_from_db()
    assert (done.state, left.state, busy.state) == ("finished", "aborted", "checking")
    assert done.file_key_sealed is None is done.report_key_sealed and busy.file_key_sealed is not None
    assert [path.name for path in storage.rglob("*") if path.is_file()] == [busy.file_sha256]
    with pytest.raises(NotFound):
        imports.report(import_id=done.pk, by=world.zhou)
    with pytest.raises(Conflict):
        imports.carry_out(import_id=left.pk, trust=False, by=world.zhou)


def test_a_harmed_file_stops_the_import(world):
    row = start(world, as_csv([line(f"n{n}") for n in range(5000)]))
    raw = bytearray(storages["evidence"].open(f"{row.file_sha256[:2]}/{row.file_sha256}").read())
    raw[100_000] ^= 1
    path = storages["evidence"].path(f"{row.file_sha256[:2]}/{row.file_sha256}")
    with open(path, "wb") as out:
        out.write(raw)
    work()
    row.refresh_from_db()
    assert (row.state, row.error) == ("refused", "damaged") and not Job.objects.exists()


# Files: CSV


def table(data, kind="csv", encoding=""):
    return list(Table(io.BytesIO(data), kind=kind, encoding=encoding))


def error_of(data, kind="csv", encoding=""):
    with pytest.raises(FileRefused) as refused:
        table(data, kind, encoding)
    return refused.value.error


ROW = line("甲,乙\n丙", "123", name='带"引号"')


@pytest.mark.parametrize(
    ("encoding", "chosen"),
    [("utf-8", ""), ("utf-8-sig", ""), ("gb18030", ""), ("gb18030", "gb18030"), ("utf-8", "utf-8"), ("gbk", "")],
)
@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
def test_encodings_delimiters_and_quoted_newlines(encoding, chosen, delimiter):
    rows = table(as_csv([ROW, line("x")], encoding=encoding, delimiter=delimiter), encoding=chosen)
    assert [number for number, _given in rows] == [2, 3]
    assert rows[0][1]["external_id"] == "甲,乙\n丙" and rows[0][1]["name"] == '带"引号"'


def test_chinese_heads_unknown_columns_and_blank_rows():
    data = "用户编号,类型,昵称,地区,认证方式,姓名,证件号码,备注,\n\n1,个人,甲,,,,,x,y\n,,,,,,,,\n2,个人,乙,,,,,,\n".encode()
    opened = Table(io.BytesIO(data), kind="csv")
    assert opened.ignored == ["备注"]
    assert [(number, given["external_id"]) for number, given in opened] == [(3, "1"), (5, "2")]


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", "empty"),
        (b"\n\n", "empty"),
        (b"external_id,kind\n1,person\n", "columns_missing|display_name, region, method, name, number"),
        (as_csv([], [*HEAD, "外部编号"]), "column_twice|external_id"),
        (as_csv([line("x")]).decode().encode("utf-16"), "utf16"),
        (as_csv([line("x"), line("y")]) + b'"never closed,person\n' + b"z\n" * 10, "malformed_csv|4"),
        (as_csv([line("x")]) + b'"never closed,person\n' + b"z\n" * 5000, "line_too_long|3"),
        (as_csv([line("x")]) + b"z" * 70_000, "line_too_long|3"),
        (as_csv([line("x")]) + b'"' + b"z\n" * 70_000 + b'"', "line_too_long|3"),
    ],
)
def test_a_file_that_is_no_table_is_refused_with_the_reason(data, error):
    assert error_of(data) == error


def test_a_wrong_encoding_says_so():
    assert error_of(as_csv([line("用户")], encoding="gb18030"), encoding="utf-8") == "not_decodable|UTF-8"
    late = (
        as_csv([line("x" * 50, name="") for _ in range(20_000)])
        .replace("昵称".encode(), b"")
        .replace("北京".encode(), b"")
    )
    assert error_of(late + "用户\n".encode("gb18030")) == "not_decodable|UTF-8"


def test_more_rows_than_the_limit_are_refused(monkeypatch):
    from accounts import import_rows

    monkeypatch.setattr(import_rows, "MOST_ROWS", 3)
    assert len(table(as_csv([line(str(n)) for n in range(3)]))) == 3
    assert error_of(as_csv([line(str(n)) for n in range(4)])) == "too_many_rows|3"


def test_a_refused_file_says_why_on_the_import(world):
    row = checked(world, b"external_id,kind\n1,person\n")
    assert (row.state, row.error.partition("|")[0], row.finished_at is not None) == ("refused", "columns_missing", True)


def test_an_old_excel_file_an_empty_one_and_a_huge_one_are_refused_at_once(world):
    for data, status in ((b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 422), (b"", 422)):
        with pytest.raises(Refusal) as refused:
            start(world, data)
        assert refused.value.status == status
    pk = uuid7()
    with pytest.raises(Refusal) as refused:
        imports.start(
            import_id=pk, service=world.service, by=world.zhou,
            file=imports.Incoming("x", b"a", imports.LARGEST + 1, lambda: pytest.fail("kept")),
        )  # fmt: skip
    assert refused.value.status == 413 and not Evidence.objects.exists()


# Files: XLSX


def test_an_xlsx_file_is_read_as_the_csv_is(world):
    number = list(numbers_of_nobody(3))
    rows = [line(f"n{n}", each, verified_at="2024-05-31") for n, each in enumerate(number)]
    data = as_xlsx(rows)
    assert [given for _n, given in table(data, "xlsx")] == [given for _n, given in table(as_csv(rows))]
    row = carried_out(world, data)
    assert figures(row) == ("finished", 3, 3, 3, 0, 0) and row.file_kind == "xlsx"


def test_numbers_dates_formulas_and_lost_digits():
    book = Workbook()
    sheet = book.active
    sheet.append(HEAD)
    sheet.append(
        [1001, "person", "甲", "", "mobile", "", 13800138000, timezone.now().replace(tzinfo=None, microsecond=0)]
    )
    sheet.append(["n2", "person", "=1+1", "", "id_number", "名", int(ID_NUMBER), None])
    sheet.append([12.5, "person", "=HYPERLINK(1)", None, True])
    sheet["A4"].value, sheet["C4"].data_type = 12.5, "f"
    out = io.BytesIO()
    book.save(out)
    read = [given for _number, given in table(out.getvalue(), "xlsx")]
    assert (read[0]["external_id"], read[0]["number"]) == ("1001", "13800138000")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", read[0]["verified_at"])
    assert (read[1]["display_name"].why, read[1]["number"].why) == ("formula", "rounded")
    assert read[2]["external_id"] == "12.5"


def test_untaken_cells_refuse_their_row(world):
    book = Workbook()
    book.active.append(HEAD)
    book.active.append(["n1", "person", "甲", "", "id_number", "名", int(ID_NUMBER)])
    book.active.append(["n2", "person", "=1+1", "", "", "", ""])
    out = io.BytesIO()
    book.save(out)
    row = checked(world, out.getvalue())
    assert [(r[0], r[3], r[4]) for r in report_of(row, world.zhou)] == [
        ("2", "number", "rounded"), ("3", "display_name", "formula"),
    ]  # fmt: skip


def repacked(data, **changed):
    """An XLSX with members replaced or added."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            if name not in changed:
                new.writestr(name, old.read(name))
        for name, content in changed.items():
            new.writestr(name, content)
    return out.getvalue()


SHEET = "xl/worksheets/sheet1.xml"
ENTITIES = (
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;"><!ENTITY c SYSTEM "file:///etc/passwd">]>'
)


@pytest.mark.parametrize("member", [SHEET, "xl/workbook.xml", "xl/_rels/workbook.xml.rels", "xl/styles.xml"])
def test_a_document_type_is_refused_wherever_it_stands(member):
    data = as_xlsx([line("n1")])
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        xml = archive.read(member).decode()
    head, _mark, rest = xml.partition("?>") if xml.startswith("<?xml") else ("", "", xml)
    evil = (f"{head}?>" if head else "") + ENTITIES + rest.replace("n1", "&c;")
    assert error_of(repacked(data, **{member: evil}), "xlsx") == "xlsx_dtd"
    late = (f"{head}?>" if head else "") + "<!--" + "x" * 200_000 + "-->" + ENTITIES + rest
    assert error_of(repacked(data, **{member: late}), "xlsx") == "xlsx_dtd"


def test_bombs_are_refused_before_they_go_off():
    data = as_xlsx([line("n1")])
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        sheet = archive.read(SHEET).decode()
    bomb = sheet.replace("</sheetData>", " " * 300_000_000 + "</sheetData>")
    assert error_of(repacked(data, **{SHEET: bomb}), "xlsx") == "xlsx_bomb"
    many = repacked(data, **{f"m{n}": "" for n in range(1_001)})
    assert error_of(many, "xlsx") == "xlsx_bomb"
    endless = sheet.replace("<row", f'<row spans="{"1" * 3_000_000}"', 1)
    with pytest.raises(FileRefused):
        table(repacked(data, **{SHEET: endless}), "xlsx")


def test_a_lying_size_a_password_and_rubbish_are_refused():
    data = as_xlsx([line(f"n{n}") for n in range(500)])
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        at, size = archive.getinfo(SHEET).header_offset, archive.getinfo(SHEET).file_size
    assert at >= 0
    lying = data.replace(size.to_bytes(4, "little"), (100).to_bytes(4, "little"))
    assert lying != data and error_of(lying, "xlsx") in ("not_xlsx", "xlsx_bomb")
    where = data.rindex(b"PK\x01\x02")
    locked = bytearray(data)
    locked[where + 8] |= 1
    assert error_of(bytes(locked), "xlsx") == "xlsx_encrypted"
    for rubbish in (b"PK\x03\x04", b"PK\x03\x04" + b"\x00" * 1000, data[:-30], data[: len(data) // 2]):
        assert error_of(rubbish, "xlsx") == "not_xlsx"
    assert error_of(repacked(data, **{"xl/workbook.xml": "<workbook/>"}), "xlsx") == "not_xlsx"


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s.replace('r="2"', 'r="99999999999"', 1),
        lambda s: s.replace('<row r="3"', '<row r="2"', 1),
        lambda s: s.replace('r="A2"', 'r="ZZZZZZZZ2"', 1),
        lambda s: s.replace("n0", "x" * 40_000, 1),
    ],
)
def test_a_sheet_that_can_not_be_is_refused_or_harmless(change):
    data = as_xlsx([line(f"n{n}") for n in range(3)])
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        sheet = archive.read(SHEET).decode()
    changed = change(sheet)
    assert changed != sheet
    with pytest.raises(FileRefused):
        table(repacked(data, **{SHEET: changed}), "xlsx")


def with_shared_texts(rows):
    """An XLSX as Excel writes it: texts lie in a list of their own, some of them in runs with phonetic hints."""
    spread = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    texts = [cell for row in rows for cell in row]
    shared = "".join(
        f"<si><r><t>{text[:1]}</t></r><r><rPr/><t>{text[1:]}</t></r><rPh sb='0' eb='1'><t>hint</t></rPh></si>" if at % 2
        else f"<si><t xml:space='preserve'>{text}</t></si>"
        for at, text in enumerate(texts)
    )  # fmt: skip
    numbers = itertools.count()

    def cell():
        return f"<c t='s'><v>{next(numbers)}</v></c>"

    cells = "".join(f"<row>{''.join(cell() for _text in row)}</row>" for row in rows)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as book:
        book.writestr(
            "xl/workbook.xml",
            f"<workbook xmlns='{spread}' xmlns:r='{office}'><sheets><sheet name='x' r:id='r1'/></sheets></workbook>",
        )
        book.writestr(
            "xl/_rels/workbook.xml.rels",
            "<Relationships xmlns='http://schemas.openxmlformats.org/package/2006/relationships'>"
            f"<Relationship Id='r1' Type='{office}/worksheet' Target='/xl/worksheets/sheet1.xml'/>"
            f"<Relationship Id='r2' Type='{office}/sharedStrings' Target='sharedStrings.xml'/>"
            f"<Relationship Id='r3' Type='{office}/hyperlink' Target='file:///etc/passwd' TargetMode='External'/>"
            "</Relationships>",
        )
        book.writestr("xl/sharedStrings.xml", f"<sst xmlns='{spread}'>{shared}</sst>")
        book.writestr(SHEET, f"<worksheet xmlns='{spread}'><sheetData>{cells}</sheetData></worksheet>")
    return out.getvalue()


def test_shared_texts_are_packed_and_bounded(monkeypatch):
    from accounts import import_xlsx

    data = with_shared_texts(
        [HEAD[:7], ["用户一", "person", "甲 乙", "北京", "", "", ""], ["二", "person", "丙", "", "", "", ""]]
    )
    rows = table(data, "xlsx")
    assert [given["external_id"] for _n, given in rows] == ["用户一", "二"] and rows[0][1]["display_name"] == "甲 乙"
    monkeypatch.setattr(import_xlsx, "LARGEST_TEXTS", 200)
    assert error_of(data, "xlsx") == "xlsx_texts"
    monkeypatch.undo()
    missing = repacked(data, **{"xl/sharedStrings.xml": "<sst/>"})
    assert error_of(missing, "xlsx") == "not_xlsx"


# Single rows


def refusal_of(world, **given):
    try:
        import_checks.read(2, line(**{"external_id": "n1", **given}), service=world.service, now=timezone.now())
    except import_checks.RowRefused as refused:
        return refused.field, refused.code
    return None


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({}, None),
        ({"number": ID_NUMBER}, None),
        ({"number": ID_NUMBER[:-1] + "X"}, ("number", "check_digit")),
        ({"number": ID_NUMBER, "name": ""}, ("name", "length")),
        ({"number": ID_NUMBER, "method": ""}, ("method", "unknown")),
        ({"number": ID_NUMBER, "method": "network_identity"}, ("method", "unknown")),
        ({"number": "", "method": "mobile"}, ("number", "length")),
        ({"number": USCC, "method": "uscc"}, ("method", "not_for_this_kind")),
        ({"number": OTHER_ID_NUMBER, "kind": "organization"}, ("method", "not_for_this_kind")),
        ({"number": "1" * 50, "method": "mobile"}, ("number", "length")),
        ({"display_name": ""}, ("display_name", "length")),
        ({"display_name": "x" * 81}, ("display_name", "length")),
        ({"region": "x" * 41}, ("region", "length")),
        ({"external_id": "x" * 129}, ("external_id", "length")),
        ({"display_name": "a\x00b"}, ("display_name", "nul_character")),
        ({"verified_at": "gestern"}, ("verified_at", "invalid")),
        ({"verified_at": "2199-01-01"}, ("verified_at", "out_of_range")),
        ({"verified_at": "1999-12-31"}, ("verified_at", "out_of_range")),
        ({"verified_at": "2024/5/1"}, None),
        ({"verified_at": "2024年5月1日 08:30"}, None),
        ({"verified_at": "2024-05-01T08:30:00Z"}, None),
        ({"verified_by": "x" * 81, "verified_at": "2024-05-01"}, ("verified_by", "length")),
    ],
)
def test_what_a_row_must_say(world, given, why):
    assert refusal_of(world, **given) == why


def test_earlier_ids_are_remembered_in_little_room():
    seen = import_checks.Seen()
    assert all(seen.add(f"user-{n}") for n in range(100_000))
    assert not any(seen.add(f"user-{n}") for n in range(0, 100_000, 997))
    assert len(seen._slots) * 8 <= 32 * 131_072
