"""The staff's pages: who sees them, the road by plain forms alone, refusals as alerts, hostile text harmless."""

from __future__ import annotations

import re

import pytest
from django.utils import timezone

from core import context
from core.ids import uuid7
from rumors import refutations
from rumors.models import AuthorityReport, RumorCase
from rumors.views import ACTIONS
from tests.rumors import acts

VIEWERS = {"lin", "bai", "xu", "chen", "he"}
OPENERS = {"lin", "bai", "xu", "chen"}
CAST = ["lin", "xu", "zhou", "chen", "he", "fang"]


@pytest.fixture(autouse=True)
def english(settings) -> None:
    settings.LANGUAGE_CODE = "en"


def page(client, case: RumorCase) -> str:
    answer = client.get(f"/rumors/{case.pk}/")
    assert answer.status_code == 200
    return answer.content.decode()


def post(client, case: RumorCase, action: str, **fields):
    return client.post(f"/rumors/{case.pk}/{action}/", fields)


def hidden(html: str, name: str) -> str:
    """What the form would send for a hidden field."""
    return re.search(rf'name="{name}" value="([^"]*)"', html)[1]


@pytest.mark.parametrize("name", CAST)
def test_each_role_sees_what_it_may(world, login, name):
    case, client = acts.opened(world), login(name)
    seen = 200 if name in VIEWERS else 403
    assert client.get("/rumors/").status_code == seen
    assert client.get(f"/rumors/{case.pk}/").status_code == seen
    assert client.get("/rumors/new/").status_code == (200 if name in OPENERS else 403)
    posted = client.post("/rumors/new/", {"case_id": uuid7(), "claim": "某地地震", "found": "media"})
    assert posted.status_code == (302 if name in OPENERS else 403)
    assert post(client, case, "evidence", evidence_id=uuid7(), text="x").status_code == (302 if name == "chen" else 403)
    html = client.get(f"/rumors/{case.pk}/").content.decode()
    assert ("data-action=" in html) == (name == "chen")


def test_nobody_comes_in_without_signing_in(world, client):
    case = acts.opened(world)
    for path in ("/rumors/", "/rumors/new/", f"/rumors/{case.pk}/"):
        assert client.get(path).headers["Location"].startswith("/login/")
    assert client.post(f"/rumors/{case.pk}/close/").status_code == 401


def test_the_empty_list_says_what_to_do(world, login):
    html = login("lin").get("/rumors/").content.decode()
    assert "No cases yet" in html and 'href="/rumors/new/"' in html
    assert "/rumors/new/" not in login("he").get("/rumors/").content.decode()


def test_the_list_counts_by_state_and_filters(world, login):
    open_one, closed_one = acts.opened(world, claim="开着的"), acts.closed(world)
    client = login("chen")
    default = client.get("/rumors/").content.decode()
    assert open_one.number in default and closed_one.number not in default
    closed = client.get("/rumors/?state=closed").content.decode()
    assert closed_one.number in closed and open_one.number not in closed
    everything = client.get("/rumors/?state=all").content.decode()
    assert open_one.number in everything and closed_one.number in everything
    assert client.get("/rumors/?state=nonsense&before=nonsense").status_code == 200


def test_the_list_is_paged_without_losing_a_row(world, login):
    for n in range(32):
        acts.opened(world, claim=f"传言{n}")
    client, seen, path = login("chen"), [], "/rumors/"
    while path:
        html = client.get(path).content.decode()
        seen += re.findall(r"R-\d{4}-\d{4}", html)
        found = re.search(r'rel="next" href="([^"]+)"', html)
        path = f"/rumors/{found[1].replace('&amp;', '&')}" if found else ""
    assert len(seen) == len(set(seen)) == 32


def test_the_rail_counts_the_cases_that_are_not_closed(world):
    acts.opened(world)
    acts.closed(world)
    assert context._badges["rumors"]() == 1


def test_the_whole_road_by_plain_forms(world, login):
    client = login("chen")
    form = client.get("/rumors/new/").content.decode()
    first = client.post("/rumors/new/", {"case_id": hidden(form, "case_id"), "claim": "停水三天", "found": "complaint"})
    case = RumorCase.objects.get()
    assert first.headers["Location"] == f"/rumors/{case.pk}/"
    again = client.post("/rumors/new/", {"case_id": case.pk, "claim": "停水三天", "found": "complaint"})
    assert again.headers["Location"] == f"/rumors/{case.pk}/" and RumorCase.objects.count() == 1

    def step(action: str, *hidden_names: str, **fields) -> None:
        html = page(client, case)
        assert f'data-action="{action}"' in html, action
        answer = post(client, case, action, **{name: hidden(html, name) for name in hidden_names}, **fields)
        assert answer.status_code == 302, answer.content.decode()

    step("evidence", "evidence_id", text="供水单位否认", url="https://water.qinghe.example/")
    step("conclude", verdict="false", summary="伪造")
    step(
        "draft",
        claim="停水三天",
        title="停水三天不实",
        text="没有计划",
        sources="https://a.example/\n\n",
        channels="in_app",
    )
    step("publish", "refutation_id", "revision")
    when = timezone.localtime().strftime("%Y-%m-%dT%H:%M")
    for recipient in ("cac", "public_security"):
        given = {"authority": "青禾市某机关", "level": "city", "reference": "1号", "reported_at": when}
        step("report", "report_id", recipient=recipient, **given)
    step("close")
    case.refresh_from_db()
    assert case.state == "closed"
    kinds = list(AuthorityReport.objects.order_by("id").values_list("kind", "department"))
    assert kinds == [("cac", ""), ("competent_department", "public_security")]
    assert refutations.standing(case).channels == ["public_page", "in_app"]
    step("correct", "corrects", claim="停水三天", title="不实", text="没有计划。", correction_note="补句号")
    step("reopen", reason="新情况")
    case.refresh_from_db()
    assert case.state == "verifying"


def test_a_case_from_an_item_shows_and_links_it(world, login):
    item, client = world.submit("青禾市停水三天"), login("lin")
    html = client.get(f"/rumors/new/?submission={item.pk}").content.decode()
    assert item.external_id in html and "青禾市停水三天" in html
    client.post(
        "/rumors/new/",
        {"case_id": uuid7(), "submission_id": item.pk, "claim": "停水三天", "found": "desk"},
    )
    case = RumorCase.objects.get()
    assert case.claim == "停水三天" and case.links.get().submission == item
    html = page(client, case)
    assert f'href="/submissions/{item.pk}/"' in html and f'href="/users/{world.wen.pk}/"' in html
    assert client.get(f"/rumors/new/?submission={uuid7()}").status_code == 404


def test_closing_too_early_names_the_parts_on_the_page(world, login):
    case, client = acts.refuted(world), login("chen")
    answer = post(client, case, "close")
    html = answer.content.decode()
    assert answer.status_code == 422
    alert = re.search(r'role="alert" data-refusal="parts_missing".*?</ul>', html, re.DOTALL)[0]
    assert "cyberspace administration" in alert and "competent department" in alert and alert.count("<li>") == 2
    assert re.findall(r'data-part="(\w+)" class="missing"', html) == ["report_cac", "report_competent_department"]
    assert re.findall(r'data-part="(\w+)" class="there"', html) == ["records", "verdict", "refutation"]


def test_a_refused_form_keeps_what_was_typed(world, login):
    case, client = acts.verifying(world), login("chen")
    answer = post(client, case, "conclude", summary="写了很多字", verdict="")
    assert answer.status_code == 422
    html = answer.content.decode()
    assert 'role="alert"' in html and "写了很多字" in html
    answer = post(
        client, acts.concluded(world), "draft", title="标题留着", text="文", claim="c", sources="javascript:1"
    )
    html = answer.content.decode()
    assert answer.status_code == 422 and "标题留着" in html and 'data-refusal="fields_invalid"' in html


def test_a_stale_publish_is_refused_and_shows_the_new_draft(world, login):
    draft, client = acts.drafted(world), login("chen")
    refutations.draft_refutation(case_id=draft.case_id, title="后来的标题", text="后来的话", by=world.chen)
    answer = post(client, draft.case, "publish", refutation_id=draft.pk, revision=1)
    html = answer.content.decode()
    assert answer.status_code == 409 and 'data-refusal="draft_changed"' in html and "后来的标题" in html
    # The form on the page carries the draft as it is shown now.
    assert hidden(html, "revision") == "2"


def test_a_correction_that_came_second_can_be_sent_again_after_reading_the_first(world, login):
    case, client = acts.refuted(world), login("chen")
    acts.correct(case, world)
    mine = {"claim": "c", "title": "我的标题", "text": "我的话", "correction_note": "我的更正", "corrects": 1}
    answer = post(client, case, "correct", **mine)
    html = answer.content.decode()
    assert answer.status_code == 409 and 'data-refusal="already_corrected"' in html and "我的话" in html
    assert "检修为夜间分区施工" in html
    assert post(client, case, "correct", **{**mine, "corrects": hidden(html, "corrects")}).status_code == 302
    assert refutations.standing(case).version == 3


def test_strange_addresses_are_404_or_405(world, login):
    case, client = acts.opened(world), login("chen")
    assert post(client, case, "explode").status_code == 404
    assert client.get(f"/rumors/{case.pk}/close/").status_code == 405
    assert client.get(f"/rumors/{uuid7()}/").status_code == 404
    assert client.post(f"/rumors/{uuid7()}/close/").status_code == 404


@pytest.mark.parametrize("junk", ["", "\x00", "<b>" * 3000, "99999999999999999999999"])
def test_junk_in_any_form_is_refused_not_an_error(world, login, junk):
    client = login("chen")
    for name, action in ACTIONS.items():
        answer = post(client, acts.refuted(world), name, **dict.fromkeys(action.form.base_fields, junk))
        assert answer.status_code in (302, 409, 422), name


def test_hostile_text_is_only_text_on_every_page(world, login):
    evil = acts.HOSTILE
    case = acts.opened(world, claim=evil, found_note=evil)
    from rumors import cases

    cases.add_evidence(case_id=case.pk, text=evil, source=evil, by=world.chen)
    cases.conclude(case_id=case.pk, verdict="false", summary=evil, by=world.chen)
    draft = refutations.draft_refutation(
        case_id=case.pk, title=evil, text=evil, title_en=evil, text_en=evil, by=world.chen
    )
    client = login("chen")
    shown = [page(client, case), client.get("/rumors/").content.decode()]
    refutations.publish_refutation(refutation_id=draft.pk, by=world.chen)
    acts.report(case, world, authority=evil, reference=evil, note=evil)
    acts.correct(case, world, title=evil, text=evil, correction_note=evil)
    shown += [page(client, case), client.get("/rumors/?state=all").content.decode()]
    for path in ("", f"{case.number}/", f"{case.number}/v1/"):
        shown.append(client.get(f"/public/refutations/{path}").content.decode())
    for html in shown:
        assert "alert(1)" in html and "<script>alert(1)" not in html
        assert html.count("</script>") == html.count("<script")
