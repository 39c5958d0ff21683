"""The feature library and the policies on screen."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import translation

from moderation import library, policy_pages
from moderation.models import Feature, Library, PolicyVersion
from tests.moderation.test_desk import HOSTILE, plain_static_files_and_an_empty_cache  # noqa: F401
from tests.world import SCAM

FORM = {"value": "内部渠道包过", "category": "fraud.part_time", "severity": "3", "source": "", "note": ""}


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
        ({"value": "刷单返佣"}, "value"),
    ],
)
def test_a_proposal_that_cannot_be_says_why_beside_the_field(world, login, changes, field):
    answer = login("lin").post("/features/propose", {**FORM, **changes})
    assert answer.status_code == 422
    assert list(answer.context["form"].errors) == [field]
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
    assert page.context["lists"] == [{"source": "令5号", "entries": 3}]
    assert login("lin").get("/features/").context["lists"] == []
    assert login("lin").post("/features/approve-list", {"source": "令5号"}).status_code == 403
    login("xu").post("/features/approve-list", {"source": "令5号"})
    assert set(Feature.objects.filter(source="令5号").values_list("state", flat=True)) == {"active"}
    login("xu").post("/features/approve-list", {"source": ""})


def test_filters_and_hits_of_seven_days_in_one_query(world, login):
    world.submit(SCAM), world.submit(SCAM)
    library.propose(value="别的词", category="fraud.loan", severity=2, by=world.lin)
    client = login("he")

    def shown(**query):
        return {row["feature"].value: row["hits"] for row in client.get("/features/", query).context["rows"]}

    assert shown()["刷单返佣"] == 2
    assert set(shown(state="proposed")) == {"别的词"}
    assert set(shown(category="fraud")) == {"刷单返佣", "别的词"}
    assert set(shown(category="fraud.loan")) == {"别的词"}
    assert set(shown(q="返佣")) == {"刷单返佣"}
    assert shown(q="x\x00%_", before="abc") == {}
    with CaptureQueriesContext(connection) as seen:
        client.get("/features/")
    assert len([q for q in seen if "moderation_finding" in q["sql"]]) == 1
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
    for act in ("approve", "refuse", "retire"):
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
