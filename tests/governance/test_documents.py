"""Documents of the provider: versions that never change, and which of them must be accepted (DS-08a, DS-08b)."""

from __future__ import annotations

import hashlib

import pytest
from django.db import IntegrityError, InternalError, connection, transaction
from django.db.utils import DatabaseError
from django.test import Client

from core.errors import Conflict, Forbidden, Refusal
from core.models import AuditEvent, OutboxEvent
from governance import documents
from governance.models import Document, DocumentVersion
from tests.accounts.conftest import at_once, plain_static_files  # noqa: F401  (fixtures)


@pytest.fixture
def terms(world):
    """The service agreement of "tuyan", with one version."""
    made = documents.create(
        code="terms", kind="agreement", title="服务协议", title_en="Terms", service=world.service, by=world.chen
    )
    documents.publish(
        document=made, text="第一条 不得冒充。\n第二条 不得造谣。", text_en="1. Be honest.", by=world.chen
    )
    return made


def test_a_version_is_numbered_hashed_and_recorded(world, terms):
    second = documents.publish(
        document=terms, text="第一条 不得冒充。\r\n第二条 不得造谣传谣。\r\n", after=1, by=world.chen
    )
    assert second.number == 2
    assert second.text == "第一条 不得冒充。\n第二条 不得造谣传谣。"
    assert second.sha256 == hashlib.sha256(second.text.encode()).hexdigest()
    assert (second.published_by, second.published_at is not None) == ("staff:chen", True)
    event = AuditEvent.objects.get(action="document.published", data__number=2)
    assert (event.subject, event.data["sha256"]) == (f"document:{terms.pk}", second.sha256)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE governance_documentversion SET text = 'x'",
        "UPDATE governance_documentversion SET published_at = now()",
        "DELETE FROM governance_documentversion",
    ],
)
def test_nobody_changes_or_removes_a_version_not_even_by_sql(world, terms, change):
    with pytest.raises((InternalError, IntegrityError, DatabaseError)), transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(change)
    assert terms.versions.get().text.startswith("第一条")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (" \r\n ", "required"),
        ("第一条 不得冒充。\r\n第二条 不得造谣。", "unchanged"),
        ("x" * 200_001, "length"),
        ("a\x00b", "nul_character"),
    ],
)
def test_a_text_that_says_nothing_new_or_nothing_at_all_is_refused(world, terms, text, code):
    same_translation = "1. Be honest." if code == "unchanged" else ""
    with pytest.raises(Refusal) as refused:
        documents.publish(document=terms, text=text, text_en=same_translation, by=world.chen)
    assert refused.value.errors[0]["code"] == code
    assert terms.versions.count() == 1


def test_the_same_form_twice_is_one_version(world, terms):
    documents.publish(document=terms, text="新的", after=1, by=world.chen)
    with pytest.raises(Conflict):
        documents.publish(document=terms, text="新的", after=1, by=world.chen)
    assert terms.versions.count() == 2


def test_two_who_publish_at_once_make_one_version(open_world, at_once):  # noqa: F811
    made = documents.create(code="terms", kind="agreement", title="服务协议", by=open_world.chen)
    said = at_once(
        *[lambda n=n: documents.publish(document=made, text=f"文本{n}", after=0, by=open_world.chen) for n in range(3)]
    )
    assert sorted(type(one).__name__ for one in said) == ["Conflict", "Conflict", "DocumentVersion"]
    assert made.versions.count() == 1


def test_only_those_with_the_grant_publish_create_and_require(world, terms):
    for person in (world.lin, world.xu, world.zhou, world.he, world.fang):
        with pytest.raises(Forbidden):
            documents.publish(document=terms, text="x", by=person)
        with pytest.raises(Forbidden):
            documents.require(document=terms, number=1, by=person)
        with pytest.raises(Forbidden):
            documents.create(code="x", kind="rules", title="x", by=person)


@pytest.mark.parametrize(
    ("given_", "field"),
    [({"code": "Terms!"}, "code"), ({"code": ""}, "code"), ({"kind": "poem"}, "kind"), ({"title": " "}, "title")],
)
def test_a_document_that_does_not_fit_is_refused(world, given_, field):
    with pytest.raises(Refusal) as refused:
        documents.create(**{"code": "rules", "kind": "rules", "title": "规则", **given_}, by=world.chen)
    assert refused.value.errors[0]["field"] == field


def test_a_code_is_taken_once(world, terms):
    with pytest.raises(Conflict):
        documents.create(code="terms", kind="rules", title="规则", by=world.chen)


def test_what_must_be_accepted_is_a_version_that_exists_and_leaves_a_trace(world, terms):
    with pytest.raises(Refusal):
        documents.require(document=terms, number=2, by=world.chen)
    documents.require(document=terms, number=1, by=world.chen)
    documents.require(document=terms, number=1, by=world.chen)
    terms.refresh_from_db()
    assert terms.required_number == 1
    assert AuditEvent.objects.filter(action="document.required", subject=f"document:{terms.pk}").count() == 1
    assert [row.required_number for row in terms.history.order_by("history_id")] == [None, 1]


def test_only_asking_for_less_has_waiting_items_looked_at_again(world, terms):
    def news():
        return OutboxEvent.objects.filter(topic="internal.acceptance_eased").count()

    documents.publish(document=terms, text="二", by=world.chen)
    documents.require(document=terms, number=1, by=world.chen)
    documents.require(document=terms, number=2, by=world.chen)
    assert news() == 0
    documents.require(document=terms, number=1, by=world.chen)
    documents.require(document=terms, number=None, by=world.chen)
    assert news() == 2


def test_a_service_meets_its_own_documents_and_those_of_all_but_nothing_unpublished(world, terms):
    house = documents.create(code="rules", kind="rules", title="管理规则", by=world.chen)
    documents.publish(document=house, text="规则", by=world.chen)
    documents.create(code="draft", kind="rules", title="草案", by=world.chen)
    assert [d.code for d in documents.for_service(world.service)] == ["rules", "terms"]
    assert [d.code for d in documents.for_service(world.other_service)] == ["rules"]


@pytest.mark.parametrize(
    ("before", "after", "signs"),
    [
        ("a\nb\nc", "a\nx\nc", " -+ "),
        ("a", "a", ""),
        ("", "a", "+"),
        ("-- a\n++ b", "c", "--+"),  # lines that look like a diff's own head are kept
        ("\n".join("abcdefghijk"), "A\n" + "\n".join("bcdefghij") + "\nK", "-+  …  -+"),
    ],
)
def test_a_comparison_says_what_changed(before, after, signs):
    assert "".join(change.sign for change in documents.compared(before, after)) == signs


# The public pages


def page(path, language="zh-hans"):
    return Client(HTTP_ACCEPT_LANGUAGE=language).get(path)


def test_documents_are_public_in_every_version_with_date_and_hash(world, terms):
    second = documents.publish(document=terms, text="第一条 新文本。", by=world.chen)
    first = DocumentVersion.objects.get(number=1)
    index = page("/public/")
    assert index.status_code == 200 and 'href="/public/documents/"' in index.content.decode()
    assert 'href="/public/refutations/"' in index.content.decode()
    assert 'href="/public/documents/terms/"' in page("/public/documents/").content.decode()
    latest = page("/public/documents/terms/").content.decode()
    assert "第一条 新文本。" in latest and first.sha256 in latest and second.sha256 in latest
    earlier = page("/public/documents/terms/v1/").content.decode()
    assert "第二条 不得造谣。" in earlier and 'role="note"' in earlier and "第一条 新文本。" not in earlier


def test_the_text_file_is_what_was_hashed(world, terms):
    answer = page("/public/documents/terms/v1/text/")
    assert hashlib.sha256(answer.content).hexdigest() == terms.versions.get().sha256
    assert answer["Content-Type"] == "text/plain; charset=utf-8"
    assert answer["Content-Disposition"] == 'attachment; filename="terms-v1.txt"'


def test_in_english_the_translation_is_shown_as_one_and_its_absence_is_said(world, terms):
    english = page("/public/documents/terms/", "en").content.decode()
    assert "1. Be honest." in english and "不得冒充" not in english and "binding" in english
    documents.publish(document=terms, text="只有中文。", by=world.chen)
    untranslated = page("/public/documents/terms/", "en").content.decode()
    assert "只有中文。" in untranslated and "no translation" in untranslated


@pytest.mark.parametrize(
    "path", ["nothing/", "terms/v2/", "terms/v0/", "terms/v99999999999999999999/", "draft/", "terms/v2/text/"]
)
def test_what_was_never_published_is_404(world, terms, path):
    documents.create(code="draft", kind="rules", title="草案", by=world.chen)
    assert page(f"/public/documents/{path}").status_code == 404
    assert "草案" not in page("/public/documents/").content.decode()


def test_an_empty_house_says_so(world):
    assert Document.objects.count() == 0
    assert "empty-state" in page("/public/documents/").content.decode()
    assert page("/public/").status_code == 200


def test_markup_in_a_document_is_text(world, terms):
    documents.publish(document=terms, text="<script>alert(1)</script>", by=world.chen)
    assert b"<script>alert" not in page("/public/documents/terms/").content
