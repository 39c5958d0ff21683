"""Lists brought into the library from a file (DS-10b): tried row by row without an effect, proposed whole or not at all,
approved by somebody else."""

from __future__ import annotations

import csv
import io
import tracemalloc

import pytest
from django.db import connection

from core import jobs
from core.errors import Conflict, Forbidden, Refusal
from core.ids import uuid7
from core.models import AuditEvent
from moderation import feature_files, feature_imports, features, library
from moderation.models import Feature, FeatureImport, FeatureImportRow, TextBand
from tests.world import work as work_quick_things

LIST = """kind,value,category,severity,note,options,allow,source,valid_to,rollout
term,内部渠道包过,fraud.part_time,3,一月通报,,,,,
term,刷单返佣,fraud.part_time,3,在库中,,,,,
term,内部渠道包过,fraud.loan,2,重复,,,,,
pattern,(开,fraud.loan,2,,,,,,
term,等级不对,fraud.loan,5,,,,,,
term,类目不对,fraud,2,,,,,,
link,HTTPS://www.Example.cn/x,fraud.loan,4,,,,令7号,,
text,家里有闲置手机的朋友看过来，高价回收旧手机，当场付款不拖欠。,fraud.loan,2,,"{""threshold"": 0.9}",,,,20%
term,允许的说法,fraud.loan,1,,{},是,,,
term,日子过了,fraud.loan,1,,,,,2020-01-01,
term,选项不对,fraud.loan,1,,{"x",,,,
"""


def work() -> None:
    """Do everything that is due, long things too."""
    while jobs.work(jobs.BULK, seconds=10.0):
        pass
    work_quick_things()


def send(world, text: str | bytes, by=None, source="令5号"):
    raw = text.encode() if isinstance(text, str) else text
    return feature_imports.start(
        import_id=uuid7(), name="list.csv", source=source, chunks=[raw], size=len(raw), by=by or world.lin
    )


def checked(world, text, **given):
    row = send(world, text, **given)
    work()
    row.refresh_from_db()
    return row


def lines(row) -> dict[int, tuple[str, str, str]]:
    return {line[0]: (line[1], line[3], line[4]) for line in feature_imports.report_of(row.pk)}


def test_a_list_is_tried_row_by_row_without_an_effect(world):
    before = Feature.objects.count()
    row = checked(world, LIST)
    assert (row.state, row.rows, row.fit, row.known, row.wrong) == ("checked", 11, 4, 1, 6)
    assert lines(row) == {
        2: ("fit", "", ""),
        3: ("known", "", "already_in_library"),
        4: ("wrong", "value", "repeated"),
        5: ("wrong", "value", "pattern"),
        6: ("wrong", "severity", "range"),
        7: ("wrong", "category", "unknown"),
        8: ("fit", "", ""),
        9: ("fit", "", ""),
        10: ("fit", "", ""),
        11: ("wrong", "valid_to", "past"),
        12: ("wrong", "options", "form"),
    }
    assert Feature.objects.count() == before


def test_carried_out_it_is_proposed_and_another_person_approves_the_list(world):
    row = checked(world, LIST)
    feature_imports.carry_out(import_id=row.pk, by=world.lin)
    work()
    row.refresh_from_db()
    assert (row.state, row.proposed) == ("done", 4)
    made = {f.value: f for f in Feature.objects.filter(state="proposed")}
    assert set(made) == {
        "内部渠道包过",
        "example.cn/x",
        "允许的说法",
        "家里有闲置手机的朋友看过来，高价回收旧手机，当场付款不拖欠。",
    }
    term, link, text = made["内部渠道包过"], made["example.cn/x"], made[next(v for v in made if v.startswith("家里"))]
    assert (term.source, term.note, term.proposed_by_id, term.rollout) == ("令5号", "一月通报", world.lin.pk, 100)
    assert (link.source, link.severity, link.kind) == ("令7号", 4, "link")
    assert (text.options, text.rollout) == ({"threshold": 0.9}, 20)
    assert made["允许的说法"].allow and made["允许的说法"].options == {}
    assert TextBand.objects.filter(feature=text).exists()
    assert {f.history.get().history_type for f in made.values()} == {"+"}
    assert AuditEvent.objects.get(action="feature.list_proposed").data["count"] == 4
    with pytest.raises(Forbidden):
        features.approve_all(source="令5号", by=world.lin)
    assert features.approve_all(source="令5号", by=world.xu) == 3
    library._look_at = 0.0
    assert world.submit("找我内部渠道包过").findings.filter(feature_id=term.pk).exists()


def test_a_list_is_proposed_whole_or_not_at_all(world, monkeypatch):
    row = checked(world, LIST)
    feature_imports.carry_out(import_id=row.pk, by=world.lin)

    def fails(_features):
        raise RuntimeError("the database went away")

    monkeypatch.setattr(feature_imports, "worked_in", fails)
    for _ in range(4):
        with connection.cursor() as cursor:
            cursor.execute("UPDATE core_job SET due_at = statement_timestamp()")
        jobs.work(jobs.BULK, seconds=5)
    row.refresh_from_db()
    assert (row.state, row.error) == ("failed", "crashed")
    assert not Feature.objects.filter(source="令5号").exists()


def test_what_came_into_the_library_since_the_check_is_left_out(world):
    row = checked(world, LIST)
    made = features.propose(value="内部渠道包过", category="fraud.loan", severity=1, by=world.bai)
    feature_imports.carry_out(import_id=row.pk, by=world.lin)
    work()
    row.refresh_from_db()
    assert (row.proposed, row.known) == (3, 2)
    assert Feature.objects.filter(value="内部渠道包过").get() == made
    assert lines(row)[2][0] == "known"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("value,category\nx,fraud.loan\n", "columns"),
        ("value,value,category,severity\n", "columns"),
        (b"\xff\xfe\x80\x80,\n", "encoding"),
        ('value,category,severity\n"' + "x" * 3_000_000, "unreadable"),
    ],
)
def test_a_file_that_is_no_list_says_why(world, text, error):
    row = checked(world, text)
    assert (row.state, row.error) == ("failed", error)
    assert str(feature_files.REASONS[error])


def test_chinese_spreadsheets_are_read_as_they_are_saved(world):
    row = checked(
        world, "value,category,severity\n內部渠道包過,fraud.loan,2\n内部渠道包过甲,fraud.loan,2\n".encode("gb18030")
    )
    assert (row.state, row.fit) == ("checked", 2)
    row = checked(world, "\ufeffvalue,category,severity\r\n另一个词语,fraud.loan,2\r\n\r\n")
    assert (row.rows, row.fit) == (1, 1)


def test_more_rows_than_are_taken(world, monkeypatch):
    monkeypatch.setattr(feature_files, "MOST_ROWS", 2)
    row = checked(world, "value,category,severity\n" + "".join(f"词语{n}甲,fraud.loan,2\n" for n in range(3)))
    assert (row.state, row.error) == ("failed", "too_many_rows")


def test_a_form_sent_twice_is_one_import_and_an_empty_one_none(world):
    given = {"import_id": uuid7(), "name": "x", "source": "令5号", "chunks": [b"value"], "size": 5, "by": world.lin}
    feature_imports.start(**given)
    with pytest.raises(Conflict, match="already_received"):
        feature_imports.start(**given)
    for changes, status in (({"size": 0}, 422), ({"source": " "}, 422), ({"size": 2**40}, 413)):
        with pytest.raises(Refusal) as refused:
            feature_imports.start(**{**given, "import_id": uuid7(), **changes})
        assert refused.value.status == status


def test_who_may_and_when(world):
    row = checked(world, LIST)
    for act in (feature_imports.carry_out, feature_imports.abort):
        with pytest.raises(Forbidden):
            act(import_id=row.pk, by=world.chen)
    feature_imports.abort(import_id=row.pk, by=world.bai)
    with pytest.raises(Conflict):
        feature_imports.carry_out(import_id=row.pk, by=world.lin)
    nothing = checked(world, "value,category,severity\nx,fraud.loan,2\n")
    with pytest.raises(Conflict, match="nothing_to_propose"):
        feature_imports.carry_out(import_id=nothing.pk, by=world.lin)


def test_whoever_lost_the_grant_meanwhile_proposes_nothing(world):
    row = checked(world, LIST)
    feature_imports.carry_out(import_id=row.pk, by=world.lin)
    world.lin.role = "auditor"
    world.lin.save(update_fields=["role"])
    work()
    row.refresh_from_db()
    assert (row.state, row.error) == ("failed", "grant_lost")
    assert not Feature.objects.filter(source="令5号").exists()


def test_a_worker_that_was_killed_begins_again(world, monkeypatch):
    row = send(world, LIST)
    monkeypatch.setattr(feature_imports, "PIECE", 4)
    put, calls = feature_imports._put, []

    def dies(rows):
        calls.append(len(rows))
        if len(calls) == 2:
            raise KeyboardInterrupt
        put(rows)

    monkeypatch.setattr(feature_imports, "_put", dies)
    with pytest.raises(KeyboardInterrupt):
        jobs.work(jobs.BULK, seconds=5)
    assert FeatureImportRow.objects.filter(feature_import=row).count() == 4
    with connection.cursor() as cursor:
        cursor.execute("UPDATE core_job SET due_at = statement_timestamp()")
    work()
    row.refresh_from_db()
    assert (row.state, row.rows, row.fit) == ("checked", 11, 4)
    assert len(lines(row)) == 11


def test_an_export_is_an_import_again(world):
    row = checked(world, LIST)
    feature_imports.carry_out(import_id=row.pk, by=world.lin)
    work()
    features.propose(value="=cmd|x", category="fraud.loan", severity=1, by=world.lin, source="令5号")
    before = Feature.objects.filter(state="proposed").order_by("pk")
    said = [
        (f.kind, f.value, f.digest, f.options, f.allow, f.category_id, f.severity, f.note, f.source, f.rollout)
        for f in before
    ]
    for guard in (False, True):
        text = "".join(feature_files.write_rows(before, guard=guard))
        cells = {row["value"] for row in csv.DictReader(io.StringIO(text.lstrip("\ufeff")))}
        assert ("'=cmd|x" in cells) is guard and ("=cmd|x" in cells) is not guard
        again = []
        for _number, given in feature_files.read_rows(io.BytesIO(text.encode())):
            leaves = {"fraud.part_time", "fraud.loan"}
            taken = feature_files.understand(given, leaves=leaves, source="", now=features.now()).given
            again.append(tuple(taken[name] for name in ("kind", "value", "digest", "options", "allow", "category_id",
                                                        "severity", "note", "source", "rollout")))  # fmt: skip
        assert again == said


def test_a_long_file_is_read_in_pieces(world):
    """A hundred thousand rows are never all in memory."""

    class Endless(io.RawIOBase):
        def __init__(self):
            self.left = 100_000
            self.rest = b"value,category,severity\n"

        def readable(self):
            return True

        def seekable(self):
            return True

        def seek(self, offset, whence=0):
            self.__init__()
            return 0

        def readinto(self, buffer):
            while self.left and len(self.rest) < len(buffer):
                self.left -= 1
                self.rest += f"词语{self.left}甲,fraud.loan,2\n".encode()
            piece, self.rest = self.rest[: len(buffer)], self.rest[len(buffer) :]
            buffer[: len(piece)] = piece
            return len(piece)

    tracemalloc.start()
    try:
        rows = sum(1 for _ in feature_files.read_rows(Endless()))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert rows == 100_000
    assert peak < 3_000_000


def test_rows_are_forgotten_after_a_while_and_entries_are_not(world, monkeypatch):
    done, waiting = checked(world, LIST), checked(world, "value,category,severity\n另一个词语,fraud.loan,2\n")
    feature_imports.carry_out(import_id=done.pk, by=world.lin)
    work()
    assert feature_imports.forget_old() == 0
    monkeypatch.setenv("MINGJIAN_IMPORT_KEEP_DAYS", "0")
    assert feature_imports.forget_old() == 2
    assert not FeatureImportRow.objects.exists()
    states = dict(FeatureImport.objects.values_list("pk", "state"))
    assert states == {done.pk: "done", waiting.pk: "aborted"}
    assert Feature.objects.filter(source="令5号").exists()
