"""The feature library and the policies on screen."""

from __future__ import annotations

import hashlib

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone, translation

from core import jobs
from core.ids import uuid7
from core.models import AuditEvent
from moderation import decisions, library, policy_pages, queue
from moderation.models import Feature, FeatureImport, Library, PolicyVersion
from tests.moderation.test_desk import HOSTILE, plain_static_files_and_an_empty_cache  # noqa: F401
from tests.world import SCAM
from tests.world import work as work_quick_things

FORM = {
    "kind": "term",
    "value": "内部渠道包过",
    "category": "fraud.part_time",
    "severity": "3",
    "source": "",
    "note": "",
}


def work() -> None:
    """Do everything that is due, long things too."""
    while jobs.work(jobs.BULK, seconds=10.0):
        pass
    work_quick_things()


def state_of(value=FORM["value"]):
    return Feature.objects.get(value=value).state


def test_one_proposes_another_approves_and_the_version_counts_up(world, login):
    lin, xu = login("lin"), login("xu")
    before = Library.objects.get(pk=1).version
    assert lin.post("/features/propose", FORM).status_code == 302
    feature = Feature.objects.get(value=FORM["value"])
    assert f"/features/{feature.pk}/approve" not in lin.get("/features/").content.decode()
    assert f"/features/{feature.pk}/approve" in xu.get("/features/?state=proposed").content.decode()
    answer = xu.post(f"/features/{feature.pk}/approve", {"back": "/features/?state=proposed"}, follow=True)
    assert answer.redirect_chain == [("/features/?state=proposed", 302)]
    assert state_of() == "active"
    assert Library.objects.get(pk=1).version == before + 1 == answer.context["library"].version


def test_ones_own_proposal_has_no_button_and_is_refused_by_the_server_too(world, login):
    xu = login("xu")
    xu.post("/features/propose", FORM)
    feature = Feature.objects.get(value=FORM["value"])
    assert f"/features/{feature.pk}/approve" not in xu.get("/features/").content.decode()
    answer = xu.post(f"/features/{feature.pk}/approve")
    assert answer.status_code == 403 and b'role="alert"' in answer.content
    assert state_of() == "proposed"
    assert login("chen").post(f"/features/{feature.pk}/approve").status_code == 302
    assert state_of() == "active"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"value": ""}, "value"),
        ({"value": "a"}, "value"),
        ({"category": "fraud"}, "category"),
        ({"category": ""}, "category"),
        ({"severity": "9"}, "severity"),
        ({"value": "刷单返佣"}, ""),
        ({"kind": "pattern", "value": "(开"}, "value"),
        ({"kind": "link", "value": "没有点"}, "value"),
        ({"kind": "sha256", "value": ""}, "value"),
        ({"kind": "video", "value": "片名"}, ""),
        ({"rollout": "0"}, "rollout"),
        ({"valid_to": "2020-01-01T00:00"}, "valid_to"),
    ],
)
def test_a_proposal_that_cannot_be_says_why_beside_the_field(world, login, changes, field):
    answer = login("lin").post("/features/propose", {**FORM, **changes})
    assert answer.status_code in (409, 422)
    assert set(answer.context["form"].errors) == {"__all__"} | ({field} - {""})
    assert b'role="alert"' in answer.content
    assert not Feature.objects.filter(value=FORM["value"]).exists()


def test_refuse_and_retire_with_a_reason(world, login):
    xu = login("xu")
    login("lin").post("/features/propose", FORM)
    feature = Feature.objects.get(value=FORM["value"])
    xu.post(f"/features/{feature.pk}/refuse", {"reason": "过宽"})
    assert state_of() == "retired"
    active = Feature.objects.get(value="刷单返佣")
    assert xu.post(f"/features/{active.pk}/retire", {"reason": " "}).status_code == 422
    assert state_of("刷单返佣") == "active"
    xu.post(f"/features/{active.pk}/retire", {"reason": "过时"})
    assert state_of("刷单返佣") == "retired"
    assert xu.post(f"/features/{active.pk}/approve").status_code == 409
    assert xu.post("/features/999999/approve").status_code == 404


def test_a_whole_list_of_one_source(world, login):
    for n in range(3):
        library.propose(value=f"名单词{n}", category="fraud.loan", severity=2, source="令5号", by=world.lin)
    page = login("xu").get("/features/")
    assert [(one["source"], one["entries"]) for one in page.context["lists"]] == [("令5号", 3)]
    assert login("lin").get("/features/").context["lists"] == []
    assert login("lin").post("/features/approve-list", {"source": "令5号"}).status_code == 403
    login("xu").post("/features/approve-list", {"source": "令5号"})
    assert set(Feature.objects.filter(source="令5号").values_list("state", flat=True)) == {"active"}
    login("xu").post("/features/approve-list", {"source": ""})


def test_filters_and_figures_in_one_query(world, login):
    world.submit(SCAM), world.submit(SCAM)
    library.propose(value="别的词", category="fraud.loan", severity=2, by=world.lin)
    client = login("he")

    def shown(**query):
        return {row["feature"].value: row["figures"].hits for row in client.get("/features/", query).context["rows"]}

    assert shown()["刷单返佣"] == 2
    assert set(shown(state="proposed")) == {"别的词"}
    assert set(shown(category="fraud")) == {"刷单返佣", "别的词"}
    assert set(shown(category="fraud.loan")) == {"别的词"}
    assert set(shown(q="返佣")) == {"刷单返佣"}
    assert set(shown(kind="pattern")) == set() and "刷单返佣" in shown(kind="term")
    assert set(shown(source="令")) == set()
    assert shown(q="x\x00%_", before="abc") == {}
    with CaptureQueriesContext(connection) as seen:
        client.get("/features/")
    assert len([q for q in seen if "feature_figures" in q["sql"]]) == 1
    assert len(seen) <= 9


def test_hostile_terms_and_filters_stay_text(world, login):
    library.propose(value=HOSTILE, category="fraud.loan", severity=2, note=HOSTILE, source=HOSTILE[:100], by=world.lin)
    library.propose(value="另一个", category="fraud.loan", severity=2, source=HOSTILE[:100], by=world.lin)
    html = login("xu").get("/features/", {"q": HOSTILE[:8]}).content.decode()
    html += login("xu").get("/features/").content.decode()
    assert "<script>alert" not in html and "<img src=x" not in html


@pytest.mark.parametrize(
    "back", ["https://evil.example/", "//evil.example/features/", "/features/../logout/", "/users/"]
)
def test_one_is_led_back_to_this_page_only(world, login, back):
    feature = library.propose(value="一个词", category="fraud.loan", severity=2, by=world.lin)
    answer = login("xu").post(f"/features/{feature.pk}/approve", {"back": back})
    assert answer["Location"].startswith("/features/")


@pytest.mark.parametrize(
    ("name", "look", "propose", "approve"),
    [
        ("lin", 200, True, False),
        ("xu", 200, True, True),
        ("chen", 200, False, True),
        ("he", 200, False, False),
        ("zhou", 403, False, False),
        ("fang", 403, False, False),
    ],
)
def test_who_may_do_what(world, login, name, look, propose, approve):
    feature = library.propose(value="一个词", category="fraud.loan", severity=2, by=world.bai)
    client = login(name)
    assert client.get("/features/").status_code == look
    assert client.get("/policies/").status_code == look
    assert (client.post("/features/propose", FORM).status_code == 302) is propose
    assert client.get(f"/features/{feature.pk}/").status_code == look
    assert client.get("/features/export").status_code == look
    for page in ("new", "imports/"):
        assert client.get(f"/features/{page}").status_code == (200 if propose else 403)
    for act in ("approve", "refuse", "retire", "let-go"):
        assert client.get(f"/features/{feature.pk}/{act}").status_code == (405 if approve else 403)
    assert (client.post(f"/features/{feature.pk}/approve").status_code == 302) is approve
    assert (state_of("一个词") == "active") is approve


def test_policies_show_every_rule_in_words_and_which_is_live(world, login):
    html = login("he").get("/policies/").content.decode()
    policy = PolicyVersion.objects.get(state="live")
    for rule in policy.rules:
        assert rule["id"] in html
    assert 'data-state="live"' in html


def test_no_condition_is_left_out_of_the_words():
    with translation.override("en"):
        said = policy_pages.conditions(
            {"check": ["terms"], "side": "output", "min_severity": 4, "new_thing": ["x"], "technology": "voice"}
        )
        assert len(said) == 5 and "new_thing: ['x']" in said
        assert policy_pages.conditions({}) == ["any finding"]


# One entry


def test_an_entrys_page_shows_what_it_hit_and_what_people_said_of_that(world, login):
    confirmed, overturned, waiting = (world.submit(SCAM) for _ in range(3))
    feature = Feature.objects.get(value="刷单返佣")
    decided = {decide_next(world, outcome): outcome for outcome in ("block", "release")}
    answer = login("he").get(f"/features/{feature.pk}/")
    figures = answer.context["figures"]
    assert (figures.hits, figures.confirmed, figures.overturned) == (3, 1, 1)
    html = answer.content.decode()
    for item in (confirmed, overturned, waiting):
        assert f"/submissions/{item.pk}/" in html
    said = {sample["id"]: sample["outcome"] for sample in answer.context["samples"]}
    assert {pk: outcome for pk, outcome in said.items() if outcome} == decided
    row = next(row for row in login("he").get("/features/").context["rows"] if row["feature"] == feature)
    assert row["figures"] == figures


def decide_next(world, outcome):
    held = queue.next_task(by=world.bai)
    decisions.decide(
        submission_id=held.submission_id,
        token=held.token,
        outcome=outcome,
        by=world.bai,
        category="fraud.part_time",
        reason="因为",
    )
    return held.submission_id


def test_a_revision_by_the_form_and_its_approval(world, login):
    feature = Feature.objects.get(value="刷单返佣")
    xu, lin = login("xu"), login("lin")
    assert lin.get(f"/features/{feature.pk}/revise").context["form"]["value"].value() == "刷单返佣"
    answer = lin.post(
        f"/features/{feature.pk}/revise",
        {**FORM, "value": "刷单返佣", "severity": "4", "rollout": "30", "allow": "", "option_pinyin": "on"},
    )
    fresh = Feature.objects.get(replaces=feature)
    assert answer["Location"] == f"/features/{fresh.pk}/"
    assert (fresh.severity, fresh.rollout, fresh.options, fresh.state) == (4, 30, {"pinyin": True}, "proposed")
    page = xu.get(f"/features/{feature.pk}/").content.decode()
    assert f"/features/{fresh.pk}/" in page
    shown = xu.get(f"/features/{fresh.pk}/").context
    assert "severity" in shown["changed"] and shown["may_approve"]
    xu.post(f"/features/{fresh.pk}/approve", {"saw": shown["saw"], "back": f"/features/{fresh.pk}/"})
    assert (state_of_pk(fresh), state_of_pk(feature)) == ("active", "retired")
    assert [one.pk for one in xu.get(f"/features/{feature.pk}/").context["versions"]] == [fresh.pk, feature.pk]


def state_of_pk(feature):
    return Feature.objects.get(pk=feature.pk).state


def test_a_proposal_changed_since_it_was_seen_is_not_approved_by_the_old_page(world, login):
    lin, xu = login("lin"), login("xu")
    lin.post("/features/propose", FORM)
    feature = Feature.objects.get(value=FORM["value"])
    saw = xu.get(f"/features/{feature.pk}/").context["saw"]
    assert lin.post(f"/features/{feature.pk}/edit", {**FORM, "severity": "4"}).status_code == 302
    answer = xu.post(f"/features/{feature.pk}/approve", {"saw": saw})
    assert answer.status_code == 409 and b'role="alert"' in answer.content
    assert state_of() == "proposed"
    assert login("bai").post(f"/features/{feature.pk}/edit", FORM).status_code == 403
    lin.post(f"/features/{feature.pk}/withdraw")
    assert state_of() == "retired"


def test_the_brake_is_shown_and_let_go_on_the_page(world, login):
    feature = Feature.objects.get(value="刷单返佣")
    Feature.objects.filter(pk=feature.pk).update(state="braked", braked_at=timezone.now(), braked_share=0.37)
    with translation.override("en"):
        xu = login("xu")
        xu.cookies["django_language"] = "en"
        html = xu.get(f"/features/{feature.pk}/").content.decode()
        assert "37.0%" in html and f"/features/{feature.pk}/let-go" in html
    assert f"/features/{feature.pk}/let-go" not in login("lin").get(f"/features/{feature.pk}/").content.decode()
    assert xu.post(f"/features/{feature.pk}/let-go", {"reason": ""}).status_code == 422
    xu.post(f"/features/{feature.pk}/let-go", {"reason": "活动期间"})
    assert state_of("刷单返佣") == "active"


@pytest.mark.parametrize("kind", Feature.KINDS)
def test_the_form_suits_every_kind(world, login, kind):
    form = login("lin").get("/features/new", {"kind": kind}).context["form"]
    assert form.kind == kind
    assert ("file" in form.fields) is (kind in ("sha256", "image", "video", "audio"))
    assert ("option_pinyin" in form.fields) is (kind == "term")


def test_a_picture_is_shown_instead_of_its_hash(world, login):
    from tests.accounts.pictures import png  # any picture with enough in it

    answer = login("lin").post(
        "/features/propose",
        {**FORM, "kind": "sha256", "value": "", "file": SimpleUploadedFile("x.png", png(), content_type="image/png")},
    )
    assert answer.status_code == 302
    made = Feature.objects.get(kind="sha256")
    assert made.value == hashlib.sha256(png()).hexdigest()


@pytest.mark.parametrize("pk", [0, 2**31, 10**20])
def test_an_entry_that_is_none(world, login, pk):
    assert login("xu").get(f"/features/{pk}/").status_code == 404


def test_hostile_values_stay_text_on_their_page_and_in_the_form(world, login):
    feature = library.propose(value=HOSTILE, category="fraud.loan", severity=2, note=HOSTILE, by=world.lin)
    lin = login("lin")
    html = (
        lin.get(f"/features/{feature.pk}/").content.decode() + lin.get(f"/features/{feature.pk}/edit").content.decode()
    )
    assert "<script>alert" not in html and "<img src=x" not in html


def test_the_export_is_streamed_with_the_filters_of_the_page_and_a_line_in_the_ledger(world, login):
    answer = login("he").get("/features/export", {"q": "刷单", "guard": "1"})
    text = b"".join(answer.streaming_content).decode()
    assert "刷单返佣" in text and text.count("\n") == 2
    assert answer["X-Content-Type-Options"] == "nosniff" and "attachment" in answer["Content-Disposition"]
    assert AuditEvent.objects.get(action="feature.exported").data == {"rows": 1, "filters": ["q"]}


# Lists


def test_a_list_by_the_page_checked_proposed_and_approved(world, login):
    lin, xu = login("lin"), login("xu")
    pk = lin.get("/features/imports/").context["new_id"]
    file = SimpleUploadedFile(
        "list.csv",
        "value,category,severity\n名单词一,fraud.loan,2\n名单词二,fraud.loan,9\n名单词三,fraud.loan,3\n".encode(),
    )
    assert lin.post(f"/features/imports/{pk}/start", {"file": file, "source": "令9号"}).status_code == 302
    page = lin.get(f"/features/imports/{pk}/").content.decode()
    assert 'hx-trigger="every 2s"' in page
    work()
    shown = lin.get(f"/features/imports/{pk}/", HTTP_HX_REQUEST="true")
    assert shown["HX-Refresh"] == "true"
    page = lin.get(f"/features/imports/{pk}/")
    assert [line.number for line, _tone in page.context["problems"]] == [3]
    report = b"".join(lin.get(f"/features/imports/{pk}/report").streaming_content).decode()
    assert "3,wrong,名单词二,severity,range" in report
    lin.post(f"/features/imports/{pk}/carry-out")
    work()
    assert Feature.objects.filter(source="令9号", state="proposed").count() == 2
    listed = xu.get("/features/").context["lists"][0]
    xu.post("/features/approve-list", {"source": "令9号", "saw": listed["saw"]})
    assert Feature.objects.filter(source="令9号", state="active").count() == 2
    assert lin.post(f"/features/imports/{pk}/abort").status_code == 409


@pytest.mark.parametrize(
    ("given", "field"),
    [({"source": ""}, "source"), ({"file": ""}, "file"), ({"file": SimpleUploadedFile("x.csv", b"")}, "file")],
)
def test_a_list_that_cannot_be_taken_says_why(world, login, given, field):
    file = SimpleUploadedFile("list.csv", b"value,category,severity\n")
    answer = login("lin").post(f"/features/imports/{uuid7()}/start", {"file": file, "source": "令9号", **given})
    assert answer.status_code == 422 and field in answer.context["form"].errors
    assert not FeatureImport.objects.exists()
