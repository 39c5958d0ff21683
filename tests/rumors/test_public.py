"""The public pages: open to everybody, newest first, with ClaimReview data and a feed that is XML."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET

import pytest

from rumors import cases, refutations
from rumors.models import RumorCase
from tests.rumors import acts

ATOM = "{http://www.w3.org/2005/Atom}"


def told(world, title: str, **changes) -> RumorCase:
    case = acts.concluded(world)
    draft = refutations.draft_refutation(
        **{"case_id": case.pk, "title": title, "text": "正文", "by": world.chen, **changes}
    )
    refutations.publish_refutation(refutation_id=draft.pk, by=world.chen)
    return acts.fresh(case)


def linked_data(html: str) -> dict:
    return json.loads(re.search(r'<script type="application/ld\+json">(.*?)</script>', html, re.DOTALL)[1])


def test_before_anything_was_refuted_the_page_says_so(world, client):
    answer = client.get("/public/refutations/")
    assert answer.status_code == 200 and "empty-state" in answer.content.decode()


def test_everybody_reads_what_was_published_newest_first_and_nothing_else(world, client):
    draft = acts.drafted(world, title="还没发布")
    first, second = told(world, "先发布的"), told(world, "后发布的")
    html = client.get("/public/refutations/").content.decode()
    assert html.index("后发布的") < html.index("先发布的") and "还没发布" not in html
    one = client.get(f"/public/refutations/{first.number}/")
    assert one.status_code == 200 and "先发布的" in one.content.decode()
    assert client.get(f"/public/refutations/{draft.case.number}/").status_code == 404
    assert client.get(f"/public/refutations/{second.number}/v2/").status_code == 404
    assert client.get("/public/refutations/R-1999-0001/").status_code == 404
    assert client.post(f"/public/refutations/{first.number}/").status_code in (403, 405)


def test_the_public_reads_no_word_of_the_inner_records(world, client):
    case = acts.opened(world, found_note="内部线索甲", claim="原始说法乙")
    cases.add_evidence(case_id=case.pk, text="内部证据丙", by=world.chen)
    cases.conclude(case_id=case.pk, verdict="false", summary="内部结论丁", by=world.chen)
    draft = refutations.draft_refutation(case_id=case.pk, claim="对外说法", title="不实", text="正文", by=world.chen)
    refutations.publish_refutation(refutation_id=draft.pk, by=world.chen)
    acts.report(case, world, authority="某机关戊")
    for path in ("", "atom.xml", f"{case.number}/"):
        html = client.get(f"/public/refutations/{path}").content.decode()
        assert not [word for word in ("内部", "原始说法乙", "某机关戊", "陈默", "chen") if word in html]


def test_the_list_is_paged_without_losing_one(world, client):
    wanted = {told(world, f"第{n}条").number for n in range(23)}
    seen, path = [], "/public/refutations/"
    while path:
        html = client.get(path).content.decode()
        seen += re.findall(r'<a href="/public/refutations/(R-\d{4}-\d{4})/">', html)
        found = re.search(r'rel="next" href="([^"]+)"', html)
        path = f"/public/refutations/{found[1].replace('&amp;', '&')}" if found else ""
    assert len(seen) == 23 and set(seen) == wanted
    for before in ("nonsense", "2026-13-45T00:00:00+00:00", "2026-01-01", "\x00"):
        assert client.get("/public/refutations/", {"before": before}).status_code == 200


@pytest.mark.parametrize(("verdict", "rating"), [("false", 1)])
def test_the_page_carries_claim_review_data(world, client, verdict, rating):
    case = told(world, "停水不实", claim="停水三天", sources=["https://a.example/"])
    answer = client.get(f"/public/refutations/{case.number}/", HTTP_HOST="127.0.0.1")
    data = linked_data(answer.content.decode())
    assert (data["@context"], data["@type"]) == ("https://schema.org", "ClaimReview")
    assert data["claimReviewed"] == "停水三天" and data["reviewRating"]["ratingValue"] == rating
    assert data["url"] == f"http://127.0.0.1/public/refutations/{case.number}/"
    assert data["author"]["name"] == "图言智作" and data["datePublished"]
    assert "'self'" in answer.headers["Content-Security-Policy"]


def test_claim_review_data_survives_hostile_text(world, client):
    case = told(world, "标题", claim=acts.HOSTILE, text=acts.HOSTILE)
    html = client.get(f"/public/refutations/{case.number}/").content.decode()
    data = linked_data(html)
    assert data["claimReviewed"] == acts.HOSTILE.strip() and data["reviewBody"] == acts.HOSTILE.strip()
    block = re.search(r'ld\+json">(.*?)</script>', html, re.DOTALL)[1]
    assert "<" not in block and ">" not in block and "&" not in block


def test_a_correction_is_announced_on_both_versions(world, client):
    case = acts.refuted(world)
    acts.correct(case, world)
    now = client.get(f"/public/refutations/{case.number}/").content.decode()
    assert "补充检修时间" in now and "检修为夜间分区施工" in now and "ld+json" in now
    earlier = client.get(f"/public/refutations/{case.number}/v1/").content.decode()
    assert "近期没有停水计划" in earlier and "补充检修时间" in earlier and "ld+json" not in earlier
    assert f'href="/public/refutations/{case.number}/"' in earlier
    listed = client.get("/public/refutations/").content.decode()
    assert listed.count(f"/public/refutations/{case.number}/") == 1 and "更正" in listed


def test_a_correction_to_not_false_changes_the_rating(world, client):
    case = acts.refuted(world)
    cases.reopen_case(case_id=case.pk, reason="改口", by=world.chen)
    cases.conclude(case_id=case.pk, verdict="true", summary="属实", by=world.chen)
    acts.correct(case, world)
    data = linked_data(client.get(f"/public/refutations/{case.number}/").content.decode())
    assert data["reviewRating"]["ratingValue"] == 5


def test_english_readers_get_english_where_it_was_written(world, client):
    case = told(world, "停水不实", title_en="No water cut", text_en="The notice is forged.")
    client.cookies["django_language"] = "en"
    html = client.get(f"/public/refutations/{case.number}/").content.decode()
    assert "No water cut" in html and "The notice is forged." in html
    other = told(world, "只有中文")
    html = client.get(f"/public/refutations/{other.number}/").content.decode()
    assert "只有中文" in html and 'lang="zh-Hans"' in html


def test_the_feed_is_atom_with_one_entry_a_case_that_a_correction_moves_up(world, client):
    first, second = told(world, "第一 & <b>条</b>", text=f"一\n\n{acts.HOSTILE}"), told(world, "第二条")
    acts.correct(first, world, title="第一条（更正）<i>", text=acts.HOSTILE)
    answer = client.get("/public/refutations/atom.xml", HTTP_HOST="127.0.0.1")
    assert answer.headers["Content-Type"].startswith("application/atom+xml")
    feed = ET.fromstring(answer.content)
    entries = feed.findall(f"{ATOM}entry")
    assert [entry.findtext(f"{ATOM}title") for entry in entries] == ["第一条（更正）<i>", "第二条"]
    assert [entry.findtext(f"{ATOM}id") for entry in entries] == [f"urn:uuid:{c.pk}" for c in (first, second)]
    assert entries[0].find(f"{ATOM}link").get("href") == f"http://127.0.0.1/public/refutations/{first.number}/"
    for element in [feed, *entries]:
        assert element.findtext(f"{ATOM}id") and element.findtext(f"{ATOM}title") and element.findtext(f"{ATOM}updated")
    assert feed.find(f"{ATOM}link[@rel='self']").get("href").endswith("/public/refutations/atom.xml")
    summary = entries[0].findtext(f"{ATOM}summary")
    assert "&lt;script&gt;" in summary and "<script" not in summary


def test_the_empty_feed_is_atom_too(world, client):
    feed = ET.fromstring(client.get("/public/refutations/atom.xml").content)
    assert feed.tag == f"{ATOM}feed" and feed.findall(f"{ATOM}entry") == []
