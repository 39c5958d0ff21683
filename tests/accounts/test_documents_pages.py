"""The pages on which documents are written, looked at and published (DS-08a, DS-08b)."""

from __future__ import annotations

import re

import pytest

from governance import documents
from governance.models import Document

TEXT = "第一条 不得冒充。\n第二条 不得造谣。"


@pytest.fixture
def terms(world):
    made = documents.create(code="terms", kind="agreement", title="服务协议", title_en="Terms", by=world.chen)
    documents.publish(document=made, text=TEXT, text_en="Be honest.", by=world.chen)
    return made


def form(text, *, after=1, previewed="", step="preview", text_en=""):
    return {"text": text, "text_en": text_en, "after": after, "previewed": previewed, "step": step}


def sealed(answer):
    return re.search(r'name="previewed" value="([0-9a-f]{64})"', answer.content.decode())[1]


def test_an_empty_house_says_what_the_law_wants(world, login):
    text = login("lin").get("/governance/documents/").content.decode()
    assert "empty-state" in text and "DS-08a" in text and "new-document" not in text
    assert "new-document" in login("chen").get("/governance/documents/").content.decode()


def test_a_document_is_created_and_leads_to_its_first_version(world, login):
    given = {"code": "rules", "kind": "rules", "title": "管理规则", "title_en": "", "service": str(world.service.pk)}
    answer = login("chen").post("/governance/new-document/", given)
    assert (answer.status_code, answer["Location"]) == (302, "/governance/documents/rules/")
    assert Document.objects.get().service == world.service
    page = login("chen").get("/governance/documents/rules/").content.decode()
    assert "empty-state" in page and 'name="text"' in page
    again = login("chen").post("/governance/new-document/", given)
    assert again.status_code == 409 and 'role="alert"' in again.content.decode()
    assert login("chen").post("/governance/new-document/", {**given, "code": "A B"}).status_code == 422


def test_a_version_is_looked_at_with_what_it_changes_and_published_from_there(world, login, terms):
    browser = login("chen")
    look = browser.post("/governance/documents/terms/publish/", form("第一条 不得冒充。\r\n第二条 不得传谣。"))
    text = look.content.decode()
    assert look.status_code == 200 and terms.versions.count() == 1
    assert "<ins>第二条 不得传谣。</ins>" in text and "<del>第二条 不得造谣。</del>" in text
    assert "<del>Be honest.</del>" in text  # the translation would be gone
    posted = form("第一条 不得冒充。\r\n第二条 不得传谣。", previewed=sealed(look), step="publish")
    done = browser.post("/governance/documents/terms/publish/", posted)
    assert (done.status_code, done["Location"]) == (302, "/governance/documents/terms/")
    assert terms.versions.get(number=2).text == "第一条 不得冒充。\n第二条 不得传谣。"
    again = browser.post("/governance/documents/terms/publish/", posted)
    assert again.status_code == 409 and 'role="alert"' in again.content.decode()
    assert terms.versions.count() == 2


@pytest.mark.parametrize("previewed", ["", "0" * 64])
def test_what_was_not_looked_at_is_not_published(world, login, terms, previewed):
    answer = login("chen").post(
        "/governance/documents/terms/publish/", form("别的", previewed=previewed, step="publish")
    )
    assert answer.status_code == 409 and terms.versions.count() == 1
    assert "别的" in answer.content.decode() and sealed(answer)


def test_a_text_that_changed_after_the_look_is_looked_at_again(world, login, terms):
    look = login("chen").post("/governance/documents/terms/publish/", form("甲"))
    answer = login("chen").post(
        "/governance/documents/terms/publish/", form("乙", previewed=sealed(look), step="publish")
    )
    assert answer.status_code == 409 and terms.versions.count() == 1


@pytest.mark.parametrize(
    "posted", [{}, form(""), form(" "), form("a\x00b"), form("x", after="many"), form("x" * 200_001)]
)
def test_a_form_that_does_not_fit_is_refused_and_keeps_what_was_typed(world, login, terms, posted):
    answer = login("chen").post("/governance/documents/terms/publish/", {**posted, "step": "publish"})
    assert answer.status_code in (409, 422) and 'role="alert"' in answer.content.decode()
    assert terms.versions.count() == 1


def test_the_same_text_again_is_refused_at_the_end(world, login, terms):
    look = login("chen").post("/governance/documents/terms/publish/", form(TEXT, text_en="Be honest."))
    answer = login("chen").post(
        "/governance/documents/terms/publish/",
        form(TEXT, text_en="Be honest.", previewed=sealed(look), step="publish"),
    )
    assert answer.status_code == 422 and terms.versions.count() == 1


def test_every_version_can_be_read_with_what_it_changed(world, login, terms):
    documents.publish(document=terms, text="第一条 不得冒充。", by=world.chen)
    text = login("he").get("/governance/documents/terms/?version=1").content.decode()
    assert "第二条 不得造谣。" in text and 'aria-current="true"' in text
    assert "<del>第二条 不得造谣。</del>" in login("he").get("/governance/documents/terms/").content.decode()
    assert login("he").get("/governance/documents/terms/?version=3").status_code == 404
    assert login("he").get("/governance/documents/terms/?version=nonsense").status_code == 200
    assert login("he").get("/governance/documents/nothing/").status_code == 404


def test_what_must_be_accepted_is_set_and_taken_back(world, login, terms):
    browser = login("chen")
    address = "/governance/documents/terms/require/"
    assert browser.post(address, {"number": "1"}).status_code == 302
    terms.refresh_from_db()
    assert terms.required_number == 1
    assert '<option value="1" selected>' in browser.get("/governance/documents/terms/").content.decode()
    assert browser.post(address, {"number": "2"}).status_code == 422
    assert browser.post(address, {"number": "nonsense"}).status_code == 422
    assert browser.post(address, {"number": ""}).status_code == 302
    terms.refresh_from_db()
    assert terms.required_number is None


def test_those_who_only_read_are_shown_no_forms(world, login, terms):
    for name in ("lin", "xu", "zhou", "he", "fang"):
        text = login(name).get("/governance/documents/terms/").content.decode()
        assert "/publish/" not in text and "/require/" not in text, name


def test_the_page_costs_the_same_however_many_versions_there_are(world, login, terms, django_assert_max_num_queries):
    for number in range(30):
        documents.publish(document=terms, text=f"第{number}版", by=world.chen)
    browser = login("chen")
    browser.get("/governance/documents/terms/")
    with django_assert_max_num_queries(14):
        assert browser.get("/governance/documents/terms/").status_code == 200
    with django_assert_max_num_queries(10):
        browser.get("/governance/documents/")
