"""The list of users and the page of one."""

from __future__ import annotations

import re
from html import unescape

import pytest
from django.db import connection, transaction
from django.urls import reverse

from accounts import acceptances, devices, identities, measures, users
from accounts.models import Appeal, Measure, Notice, PersonRequest, User
from accounts.pages import user_page
from accounts.pages import users as user_list
from core import audit
from core.ids import uuid7
from core.models import AuditEvent
from governance import documents
from moderation.models import Submission
from tests.world import ID_NUMBER, OTHER_ID_NUMBER


def rows(answer):
    """The external ids that a list shows."""
    return re.findall(
        r'<th scope="row"><a href="/users/[^"]+">[^<]*</a><small>([^<]*)</small>', answer.content.decode()
    )


def test_the_identity_of_an_abnormal_account_is_demanded_from_its_page(world, login):
    page = login("xu").get(f"/users/{world.wen.pk}/").content.decode()
    assert f'action="/users/{world.wen.pk}/identity/again/"' in page
    answer = login("xu").post(f"/users/{world.wen.pk}/identity/again/", {"reason": "异地频繁登录"})
    world.wen.refresh_from_db()
    assert answer.status_code == 302 and not world.wen.may_publish
    again = login("xu").post(f"/users/{world.wen.pk}/identity/again/", {"reason": "异地频繁登录"})
    assert again.status_code == 409
    assert "/identity/again/" not in login("lin").get(f"/users/{world.wen.pk}/").content.decode()


def test_the_list_is_newest_first_and_shows_no_whole_number(world, login):
    answer = login("he").get("/users/")
    assert rows(answer) == ["ma", "qian", "liu", "wen"]
    text = answer.content.decode()
    assert "110*************23" in text and ID_NUMBER not in text and OTHER_ID_NUMBER not in text


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("identity=verified", ["ma", "qian", "wen"]),
        ("identity=unverified", ["liu"]),
        ("account=suspended", ["qian"]),
        ("account=suspended&identity=unverified", []),
        ("q=w", ["wen"]),
        ("q=W", []),
        ("q=%25", []),
        ("q=_", []),
        ("q=a%00b", ["ma", "qian", "liu", "wen"]),
        ("identity=nonsense", ["ma", "qian", "liu", "wen"]),
        ("before=nonsense", ["ma", "qian", "liu", "wen"]),
        ("same=nonsense", ["ma", "qian", "liu", "wen"]),
    ],
)
def test_filters_narrow_and_nonsense_does_not(world, login, query, shown):
    answer = login("he").get(f"/users/?{query}")
    assert answer.status_code == 200
    assert rows(answer) == shown
    if not shown:
        assert "empty-state" in answer.content.decode()


def test_pages_follow_each_other_without_a_gap(world, login):
    for number in range(120):
        users.register(service=world.service, external_id=f"u{number}", kind="person", display_name="x", by="client:t")
    seen, address = [], "/users/?q=u"
    while address:
        answer = login("he").get(address)
        seen += rows(answer)
        following = re.search(r'rel="next" href="([^"]+)"', answer.content.decode())
        address = "/users/" + unescape(following[1]) if following else ""
    assert seen == [f"u{number}" for number in reversed(range(120))]


def test_an_empty_house_says_what_to_do_next(world, login):
    Measure.objects.all().delete()
    User.objects.all().delete()
    assert "POST /api/v1/users" in login("he").get("/users/").content.decode()


def test_a_number_is_found_by_post_and_stands_in_no_address(world, login):
    browser = login("zhou")
    shared = browser.post("/users/by-number/", {"number": ID_NUMBER})
    assert shared.status_code == 302 and "same=" in shared["Location"] and ID_NUMBER not in shared["Location"]
    assert rows(browser.get(shared["Location"])) == ["ma", "wen"]
    single = browser.post("/users/by-number/", {"number": OTHER_ID_NUMBER})
    assert single["Location"] == f"/users/{world.qian.pk}/"
    nobody = browser.post("/users/by-number/", {"number": "13800138000"}, follow=True)
    assert nobody.redirect_chain == [("/users/", 302)]
    assert "13800138000" not in nobody.content.decode()
    assert AuditEvent.objects.filter(action="user.searched_by_number", actor="staff:zhou").count() == 3


def test_a_number_that_cannot_be_right_is_refused_beside_the_form_and_not_said_back(world, login):
    wrong = ID_NUMBER[:-1] + "0"
    answer = login("zhou").post("/users/by-number/", {"number": wrong})
    text = answer.content.decode()
    assert answer.status_code == 422 and 'role="alert"' in text and wrong not in text


# One user


def test_the_page_of_a_user_tells_everything_and_no_number(world, login):
    world.submit()
    answer = login("xu").get(f"/users/{world.wen.pk}/")
    text = answer.content.decode()
    assert "110*************23" in text and ID_NUMBER not in text and "试名" not in text
    assert f'href="/users/{world.ma.pk}/"' in text  # shares the identity
    assert "item-" in text  # what was handed in
    assert text.count("<li") >= len(audit.of(f"user:{world.wen.pk}"))


def test_a_user_that_does_not_exist_is_404(world, login):
    assert login("xu").get(f"/users/{uuid7()}/").status_code == 404
    assert login("xu").get("/users/nonsense/").status_code == 404


def fill(world, terms, *, rows):
    """So many of everything that a user's page shows."""
    for number in range(rows):
        item = world.take()
        Submission.objects.filter(pk=item.pk).update(state="withdrawn")
        measure = measures.apply(user=world.wen, kind="warn", ground=f"第{number}次", by=world.xu)
        Appeal.objects.create(
            number=f"A-{uuid7().hex[-8:]}", measure=measure, first_decider=world.xu, due_at="2099-01-01T00:00Z",
            statement="不服",
        )  # fmt: skip
        Notice.objects.create(
            user=world.wen, measure=measure, kind="measure_applied", title=f"通知{number}", body="正文"
        )
        documents.publish(document=terms, text=f"第{terms.versions.count()}版", by=world.chen)
        acceptances.accept(user=world.wen, document="terms", version=terms.versions.count(), by="client:t")
        other, _new = users.register(
            service=world.service, external_id=uuid7().hex[-12:], kind="person", display_name="同机", by="client:t",
            device=f"device-{number}",
        )  # fmt: skip
        with transaction.atomic():
            devices.seen(user=world.wen, device=f"device-{number}")
        identities.submit(user=other, method="id_number", number=ID_NUMBER, name="试名", by="client:t")
    if rows:
        for kind in ("access", "copy"):
            PersonRequest.objects.get_or_create(
                user=world.wen, kind=kind, defaults={"number": f"R-{kind}", "due_at": "2099-01-01T00:00Z"}
            )


def queries_of(browser, address):
    from django.core.cache import cache
    from django.test.utils import CaptureQueriesContext

    browser.get(address)  # what a process remembers is remembered
    cache.clear()  # but for the numbers of the rail, which are counted anew every few seconds: now, in any case
    with CaptureQueriesContext(connection) as seen:
        answer = browser.get(address)
    assert answer.status_code == 200
    return len(seen), answer.content.decode()


@pytest.fixture
def terms(world):
    made = documents.create(code="terms", kind="agreement", title="服务协议", by=world.chen)
    documents.publish(document=made, text="第零版", by=world.chen)
    return made


def test_the_page_costs_the_same_however_much_there_is(world, login, terms):
    browser = login("xu")
    address = f"/users/{world.wen.pk}/"
    fill(world, terms, rows=2)
    few, _text = queries_of(browser, address)
    fill(world, terms, rows=24)
    many, text = queries_of(browser, address)
    assert many == few <= 36
    for section, shown in (("appeals", 10), ("notices", 10), ("acceptances", 10), ("related", 10), ("history", 20)):
        part = text.split(f'id="{section}"')[1].split("</section>")[0]
        assert part.count("<li" if section != "appeals" else 'data-state="open"') == shown, section
    assert text.split('id="submissions"')[1].split("</section>")[0].count('<th scope="row">') == 20
    assert "R-access" in text and "R-copy" in text
    assert queries_of(browser, "/users/")[0] <= 18


def test_submissions_are_counted_by_state_and_no_further_than_so_many(world, login, monkeypatch):
    monkeypatch.setattr(user_page, "COUNTED", 3)
    for state in ("withdrawn", "withdrawn", "blocked", "blocked", "blocked"):
        Submission.objects.filter(pk=world.take().pk).update(state=state)
    assert user_page.counts(world.wen) == {"by_state": [("blocked", 3)], "counted": 3, "more": True}
    monkeypatch.setattr(user_page, "COUNTED", 5)
    assert user_page.counts(world.wen) == {"by_state": [("blocked", 3), ("withdrawn", 2)], "counted": 5, "more": False}
    assert 'class="tally"' in login("xu").get(f"/users/{world.wen.pk}/").content.decode()


def test_the_history_is_read_in_pages_without_a_gap(world, login, monkeypatch):
    monkeypatch.setattr(user_page, "SHOWN_HISTORY", 2)
    for number in range(5):
        measures.apply(user=world.wen, kind="warn", ground=f"原因{number}", by=world.xu)
    total = len(audit.of(f"user:{world.wen.pk}"))
    address, seen, pages = f"/users/{world.wen.pk}/", 0, 0
    while address:
        part = login("xu").get(address).content.decode().split('id="history"')[1]
        seen += part.split("</ol>")[0].count("<li")
        pages += 1
        following = re.search(r'rel="next" href="([^"#]+)#history"', part)
        address = unescape(following[1]) if following else ""
    assert seen == total and pages == (total + 1) // 2
    nonsense = login("xu").get(f"/users/{world.wen.pk}/?history=nonsense")
    assert nonsense.status_code == 200


def test_related_accounts_stand_once_with_what_ties_them(world, login):
    with transaction.atomic():
        devices.seen(user=world.wen, device="d1")
        devices.seen(user=world.ma, device="d1")
        devices.seen(user=world.liu, device="d1")
    tied = {user.external_id: (identity, device) for user, identity, device in user_page.related(
        world.wen, list(world.wen.identities.all())
    )}  # fmt: skip
    assert tied == {"ma": (True, True), "liu": (False, True)}
    text = login("xu").get(f"/users/{world.wen.pk}/").content.decode().split('id="related"')[1].split("</section>")[0]
    assert text.count(f"/users/{world.ma.pk}/") == 1 and text.count('class="tie"') == 3


@pytest.mark.parametrize("name", ["xu", "zhou", "chen", "he", "lin"])
def test_a_user_about_whom_nothing_is_known_says_so_in_every_part(world, login, name):
    fresh, _new = users.register(
        service=world.service, external_id="fresh", kind="person", display_name="新客", by="client:t"
    )
    text = login(name).get(f"/users/{fresh.pk}/").content.decode()
    for section in ("identity", "measures", "submissions", "appeals", "notices", "related", "acceptances"):
        assert 'class="hint"' in text.split(f'id="{section}"')[1].split("</section>")[0], section
    assert "DS-09b" in text


def test_what_is_asked_of_a_user_is_said_first(world, login, terms):
    documents.require(document=terms, number=1, by=world.chen)
    users.change(user=world.wen, profession="教师", by="client:t")
    text = login("zhou").get(f"/users/{world.wen.pk}/").content.decode()
    asked = text.split('class="panel asked"')[1].split("</section>")[0]
    pending = world.wen.identities.get(state="pending")
    assert f'href="/users/verification/?open={pending.pk}"' in asked
    assert 'href="/public/documents/terms/"' in asked and "DS-08b" in asked
    assert asked.count("<li") == 3
    others = login("xu").get(f"/users/{world.wen.pk}/").content.decode().split('class="panel asked"')[1]
    assert "?open=" not in others.split("</section>")[0]  # who may not decide is not sent to the desk


def test_a_name_of_an_organisation_that_may_mislead_is_pointed_out(world, login):
    made, _new = users.register(
        service=world.service, external_id="org", kind="organization", display_name="某市公安局", by="client:t"
    )
    assert "GEN-10" in login("zhou").get(f"/users/{made.pk}/").content.decode()


def test_the_beginning_of_an_external_id_and_a_rare_state_are_found_by_an_index(world):
    """Among many users, with what the planner knows of them."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO accounts_user (id, service_id, external_id, kind, display_name, region, identity_status,"
            " account_status) SELECT gen_random_uuid(), %s, 'u' || lpad(n::text, 6, '0'), 'person', 'x', '', 'verified',"
            " CASE WHEN n %% 5000 = 0 THEN 'closed' ELSE 'active' END FROM generate_series(1, 20000) AS n",
            [world.service.pk],
        )
        cursor.execute("ANALYZE accounts_user")
    listed = User.objects.order_by("-pk")
    prefix = user_list._narrowed(listed, {"q": "u01234"})[:51]
    plan = prefix.explain()
    assert "external_id_is_unique_per_service" in plan, plan
    assert "external_id" in plan.split("Index Cond:")[1].splitlines()[0], plan
    assert sorted(user.external_id for user in prefix) == [f"u01234{n}" for n in range(10)]
    rare = user_list._narrowed(listed, {"account": "closed"})[:51]
    assert "user_restricted" in rare.explain() and len(rare) == 4


def test_a_measure_is_applied_from_the_page_in_beijing_time(world, login):
    answer = login("xu").post(
        reverse("measure_apply", args=[world.wen.pk]),
        {"kind": "limit", "functions": ["writing"], "ground": "广告", "clause": "3.2", "ends_at": "2099-01-02T03:04"},
    )
    assert (answer.status_code, answer["Location"]) == (302, f"/users/{world.wen.pk}/")
    measure = world.wen.measures.get()
    assert (measure.kind, measure.functions, measure.clause, measure.applied_by) == (
        "limit",
        ["writing"],
        "3.2",
        world.xu,
    )
    assert measure.ends_at.isoformat() == "2099-01-01T19:04:00+00:00"


@pytest.mark.parametrize(
    "posted",
    [
        {},
        {"kind": "suspend", "ground": " "},
        {"kind": "limit", "ground": "x"},
        {"kind": "limit", "ground": "x", "functions": ["painting"]},
        {"kind": "banish", "ground": "x"},
        {"kind": "warn", "ground": "x", "clause": "x" * 201},
        {"kind": "warn", "ground": "a\x00b"},
        {"kind": "warn", "ground": "x", "ends_at": "tomorrow"},
        {"kind": "suspend", "ground": "x", "ends_at": "2001-01-01T00:00"},
    ],
)
def test_a_measure_that_does_not_fit_is_refused_beside_its_form(world, login, posted):
    answer = login("xu").post(reverse("measure_apply", args=[world.wen.pk]), posted)
    assert answer.status_code == 422 and 'role="alert"' in answer.content.decode()
    assert world.wen.measures.count() == 0


def test_a_measure_is_lifted_from_the_page_once(world, login):
    measure = world.qian.measures.get()
    address = reverse("measure_lift", args=[world.qian.pk, measure.pk])
    assert login("chen").post(address, {"reason": ""}).status_code == 422
    assert login("chen").post(address, {"reason": "申诉成立"}).status_code == 302
    again = login("chen").post(address, {"reason": "申诉成立"})
    assert again.status_code == 409 and 'role="alert"' in again.content.decode()
    stranger = reverse("measure_lift", args=[world.wen.pk, measure.pk])
    assert login("chen").post(stranger, {"reason": "x"}).status_code == 404
