"""What an item declares: its news source (DS-06b/c) and the consent prompt (DS-14b)."""

from __future__ import annotations

import io
from typing import Any

import pytest
from django.urls import reverse

from core.errors import Conflict, Forbidden, NotFound, Refusal
from core.models import AuditEvent
from governance.models import Function
from moderation import source_units
from moderation.models import Finding, SourceUnit
from tests.world import CLEAN, World

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def no_list_remembered() -> None:
    source_units.forget()


def listed(world: World, **changes: Any) -> SourceUnit:
    given = {"name": "山谷日报社", "domains": ["www.valley-daily.example", "新闻.example"], "by": world.chen, **changes}
    return source_units.save(**given)


def news(world: World, unit: str, url: str) -> list[str]:
    item = world.submit(CLEAN, news={"source_unit": unit, "url": url})
    return list(Finding.objects.filter(submission=item, check_name="news_source").values_list("detail", flat=True))


def test_news_of_a_listed_unit_at_its_own_address_finds_nothing(world: World) -> None:
    listed(world)
    assert news(world, "山谷日报社", "https://valley-daily.example/a/1") == []
    assert news(world, " 山谷日报社 ", "https://m.valley-daily.example:8443/a") == []
    assert news(world, "山谷日报社", "https://新闻.example/a") == []


@pytest.mark.parametrize(
    ("unit", "url", "problem"),
    [
        ("海边晚报社", "https://valley-daily.example/", "unit_unknown"),
        ("山谷日报社", "https://valley-daily.example.evil.example/", "address_of_another"),
        ("山谷日报社", "https://evilvalley-daily.example/", "address_of_another"),
        ("山谷日报社", "https://valley-daily.example@evil.example/", "address_of_another"),
        ("山谷日报社", "not an address", "address_of_another"),
        ("山谷日报社", "https://[::1", "address_of_another"),
    ],
)
def test_any_other_source_is_found(world: World, unit: str, url: str, problem: str) -> None:
    listed(world)
    assert news(world, unit, url) == [problem]


def test_a_unit_that_was_struck_is_unknown_and_the_version_moves(world: World) -> None:
    unit = listed(world)
    before = source_units.current().version
    source_units.strike(unit_id=unit.pk, reason="不再在名单上", by=world.chen)
    assert news(world, "山谷日报社", "https://valley-daily.example/") == ["unit_unknown"]
    assert source_units.current().version != before
    with pytest.raises(NotFound):
        source_units.strike(unit_id=unit.pk, reason="again", by=world.chen)
    assert AuditEvent.objects.filter(action="source_unit.struck").count() == 1


def test_only_compliance_keeps_the_list(world: World) -> None:
    with pytest.raises(Forbidden):
        listed(world, by=world.xu)
    with pytest.raises(Conflict):
        listed(world)
        listed(world)


@pytest.mark.parametrize("domains", [[], ["localhost"], ["exa mple"], ["https://"]])
def test_a_unit_needs_an_address(world: World, domains: list[str]) -> None:
    with pytest.raises(Refusal):
        listed(world, domains=domains)


def test_a_published_list_is_taken_whole_or_not_at_all(world: World) -> None:
    listed(world)
    good = "单位名称,域名\n山谷日报社,a.example b.example\n海边晚报社,c.example；d.example\n"
    tried = source_units.import_list(file=io.StringIO(good), list_name="2026", by=world.chen)
    assert (tried.added, tried.changed, tried.problems) == (1, 1, []) and SourceUnit.objects.count() == 1
    bad = good + "林间电台,nowhere\n"
    refused = source_units.import_list(file=io.StringIO(bad), list_name="2026", by=world.chen, dry_run=False)
    assert [number for number, _text in refused.problems] == [4] and SourceUnit.objects.count() == 1
    source_units.import_list(file=io.StringIO(good), list_name="2026", by=world.chen, dry_run=False)
    assert SourceUnit.objects.get(name="山谷日报社").domains == ["a.example", "b.example"]
    assert SourceUnit.objects.get(name="海边晚报社").list_name == "2026"


def test_the_page_adds_tries_takes_in_and_strikes(world: World, login: Any) -> None:
    desk = login("chen")
    page = reverse("source_units")
    assert "名单" in desk.get(page).content.decode() or desk.get(page).status_code == 200
    assert desk.post(reverse("source_unit_save"), {"name": "山谷日报社", "domains": "x"}).status_code == 422
    assert desk.post(reverse("source_unit_save"), {"name": "山谷日报社", "domains": "a.example"}).status_code == 302
    upload = io.BytesIO("name,domains\n海边晚报社,c.example\n".encode("utf-8-sig"))
    upload.name = "list.csv"
    tried = desk.post(reverse("source_units_import"), {"file": upload, "list_name": "2026", "do": "try"})
    assert tried.status_code == 200 and SourceUnit.objects.count() == 1
    upload.seek(0)
    taken = desk.post(reverse("source_units_import"), {"file": upload, "list_name": "2026", "do": "import"})
    assert taken.status_code == 302 and SourceUnit.objects.count() == 2
    unit = SourceUnit.objects.get(name="海边晚报社")
    desk.post(reverse("source_unit_strike", args=[unit.pk]), {"reason": "撤回"})
    assert "海边晚报社" not in desk.get(page).content.decode().split("<table")[1]
    binary = io.BytesIO(b"\xff\xfe\x00name")
    binary.name = "list.csv"
    assert desk.post(reverse("source_units_import"), {"file": binary, "list_name": "x", "do": "try"}).status_code == 422


def test_an_item_taken_before_its_function_edited_faces_is_found(world: World) -> None:
    item = world.take(CLEAN)
    Function.objects.filter(pk=world.writing.pk).update(edits_biometrics=True)
    from tests.world import work

    work()
    assert Finding.objects.filter(submission=item, check_name="consent_prompt").exists()


def test_an_acknowledged_prompt_finds_nothing(world: World) -> None:
    item = world.submit(
        CLEAN, function="portrait", technology="biometric_image_video", consent_prompt_acknowledged=True
    )
    assert not Finding.objects.filter(submission=item, check_name="consent_prompt").exists()
