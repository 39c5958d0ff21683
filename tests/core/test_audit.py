"""The ledger only grows, and only together with what it records (security.md P21)."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, connection, transaction

from core import audit
from core.models import AuditEvent


def one(**given):
    with transaction.atomic():
        return audit.record(**{"action": "a.b", "subject": "thing:1", "by": "system:test", **given})


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE core_auditevent SET actor = 'x'",
        "UPDATE core_auditevent SET data = data",
        "UPDATE core_auditevent SET id = id + 1",
        "DELETE FROM core_auditevent",
        "TRUNCATE core_auditevent",
        "TRUNCATE core_auditevent CASCADE",
        "INSERT INTO core_auditevent (id, action, actor, subject) SELECT id, 'x', 'x', 'x' FROM core_auditevent"
        " ON CONFLICT (id) DO UPDATE SET actor = 'x'",
        "MERGE INTO core_auditevent USING (SELECT 1) AS one ON true WHEN MATCHED THEN DELETE",
        "WITH gone AS (DELETE FROM core_auditevent RETURNING 1) SELECT count(*) FROM gone",
    ],
)
def test_sql_cannot_change_what_is_written(db, statement):
    line = one()
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    again = AuditEvent.objects.get(pk=line.pk)
    assert (again.actor, again.action, again.subject) == ("system:test", "a.b", "thing:1")


def test_the_orm_cannot_either(db):
    line = one()
    for change in (
        lambda: AuditEvent.objects.filter(pk=line.pk).update(actor="x"),
        lambda: AuditEvent.objects.all().delete(),
        lambda: line.delete(),
        lambda: AuditEvent.objects.bulk_update([AuditEvent(pk=line.pk, actor="x")], ["actor"]),
        lambda: AuditEvent(pk=line.pk, action="x", actor="x", subject="x").save(),
    ):
        with pytest.raises(DatabaseError), transaction.atomic():
            change()
    assert AuditEvent.objects.filter(actor="system:test").count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_line_without_a_transaction_is_refused():
    before = AuditEvent.objects.count()
    with pytest.raises(audit.OutsideTransaction):
        audit.record(action="a.b", subject="thing:1", by="system:test")
    assert AuditEvent.objects.count() == before


@pytest.mark.django_db(transaction=True)
def test_a_line_goes_when_its_act_is_rolled_back():
    with pytest.raises(RuntimeError), transaction.atomic():
        audit.record(action="a.b", subject="thing:1", by="system:test")
        raise RuntimeError
    assert not AuditEvent.objects.filter(subject="thing:1").exists()


def test_a_history_is_one_subjects_in_order(db):
    for n in range(3):
        one(data={"n": n})
        one(subject="thing:10")
    assert [e.data["n"] for e in audit.of("thing:1")] == [0, 1, 2]
    assert audit.of("thing:2") == []


def test_the_database_dates_a_line_and_the_request_is_named(db, api):
    api.post("users", {"external_id": "n", "kind": "person", "display_name": "n"}, HTTP_X_REQUEST_ID="rid-of-a-caller")
    line = AuditEvent.objects.get(action="user.registered", request_id="rid-of-a-caller")
    line.refresh_from_db()
    assert line.at is not None and line.actor.startswith("client:")
