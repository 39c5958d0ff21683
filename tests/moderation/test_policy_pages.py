"""The pages of policies: the editor as a plain form, the approval, figures of the shadow, the comparison."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from core.roles import GRANTS
from moderation import policies, policy
from moderation.models import Backtest, PolicyVersion
from moderation.policy_conditions import CONDITIONS
from tests.moderation.test_desk import HOSTILE, plain_static_files_and_an_empty_cache  # noqa: F401
from tests.moderation.test_policies import FAILED, MEDIA, STRICT, WHY, drafted, in_force
from tests.world import CLEAN, SCAM

RICH = {
    "id": "R-40",
    "name": "多条件",
    "name_en": "Many conditions",
    "when": {
        "check": ["terms", "links"],
        "category": ["fraud"],
        "min_severity": 2,
        "side": "output",
        "field": ["text", "ocr"],
        "min_score": 0.5,
        "max_distance": 31,
        "min_findings": 2,
        "has_file": False,
        "max_account_days": 7,
    },
    "then": "review",
    "priority": 60,
    "queue": "senior",
}


class Form(HTMLParser):
    """The successful controls of the page's editor, as a browser without scripts would send them."""

    def __init__(self, html: str):
        super().__init__()
        self.sent: list[tuple[str, str]] = []
        self._in, self._select, self._area = False, None, None  # type: ignore[assignment]
        self.feed(html)

    def handle_starttag(self, tag: str, given: list[tuple[str, str | None]]) -> None:
        attrs = {name: value or "" for name, value in given}
        if tag == "form":
            self._in = attrs.get("id") == "editor"
        if not self._in:
            return
        name = attrs.get("name", "")
        if tag == "input" and name:
            if attrs.get("type") not in ("checkbox", "radio") or "checked" in attrs:
                self.sent.append((name, attrs.get("value", "on")))
        elif tag == "select":
            self._select = (name, "multiple" in attrs, [])
        elif tag == "option" and self._select:
            self._select[2].append((attrs.get("value", ""), "selected" in attrs))
        elif tag == "textarea":
            self._area = name
            self.sent.append((name, ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._in = False
        elif tag == "select" and self._select:
            name, many, options = self._select
            chosen = [value for value, selected in options if selected]
            self.sent += [(name, value) for value in (chosen if many else (chosen or [options[0][0]])[:1])]
            self._select = None
        elif tag == "textarea":
            self._area = None

    def handle_data(self, data: str) -> None:
        if self._area:
            self.sent[-1] = (self._area, self.sent[-1][1] + data)

    def with_(self, act: str, **changes: Any) -> dict[str, list[str]]:
        body: dict[str, list[str]] = {}
        for name, value in self.sent:
            body.setdefault(name, []).append(value)
        body.pop("csrfmiddlewaretoken", None)
        for name, value in changes.items():
            body[name.replace("__", "-")] = value if isinstance(value, list) else [value]
        return {**body, "act": [act]}


def press(client: Client, number: int, answer: Any, act: str, **changes: Any) -> Any:
    return client.post(f"/policies/{number}/edit", Form(answer.content.decode()).with_(act, **changes))


def test_the_editor_gives_back_every_condition_as_it_was(world, login):
    drafted(world, FAILED, RICH)
    chen = login("chen")
    page = chen.get("/policies/2/edit")
    answer = press(chen, 2, page, "save")
    assert answer.status_code == 302, answer.content.decode()[:3000]
    saved = PolicyVersion.objects.get(pk=2)
    assert (saved.rules, saved.revision) == ([FAILED, RICH], 3)


def test_every_condition_of_the_table_can_be_added_filled_in_and_saved(world, login):
    drafted(world, FAILED, {"id": "R-50", "name": "都", "when": {"check": ["terms"]}, "then": "review"})
    chen = login("chen")
    from moderation import library

    entry = library.propose(value="来源词", category="fraud.loan", severity=2, source="令5号", by=world.lin)
    values = {
        "category": "fraud.loan", "min_severity": "2", "side": "input", "field": "ocr", "min_score": "0.25",
        "max_distance": "12.5", "feature_source": "令5号", "min_findings": "2", "min_categories": "2", "service": "tuyan",
        "function": "portrait", "function_kind": "face", "edits_biometrics": "1", "technology": "voice", "has_file": "0",
        "user_kind": "person", "max_account_days": "9", "min_account_days": "1", "min_measures_in_force": "1",
        "measure_within_days": "30", "min_recent_blocks": "3",
    }  # fmt: skip
    assert set(values) == set(CONDITIONS) - {"check", "check_failed"} and entry.source
    expected = {"category": ["fraud.loan"], "min_severity": 2, "side": "input", "min_score": 0.25, "max_distance": 12.5,
                "edits_biometrics": True, "has_file": False, "service": ["tuyan"], "feature_source": ["令5号"]}  # fmt: skip
    for name, value in values.items():
        page = chen.get("/policies/2/edit")
        page = press(chen, 2, page, "condition:1", **{"1-add": name})
        assert page.status_code == 200 and f'name="1-when-{name}"' in page.content.decode(), name
        assert "autofocus" in page.content.decode()
        answer = press(chen, 2, page, "save", **{f"1-when-{name}": value})
        assert answer.status_code == 302, (
            name,
            re.findall(r"field-error.*?<span>(.*?)</span>", answer.content.decode()),
        )
        when = PolicyVersion.objects.get(pk=2).rules[1]["when"]
        assert when[name] == expected.get(name, when[name]) and len(when) == 2
        page = press(chen, 2, chen.get("/policies/2/edit"), f"drop:1:{name}")
        assert press(chen, 2, page, "save").status_code == 302
        assert PolicyVersion.objects.get(pk=2).rules[1]["when"] == {"check": ["terms"]}


def test_rows_are_added_moved_and_removed_in_the_form_and_nothing_is_written_before_save(world, login):
    drafted(world, FAILED, MEDIA, STRICT)
    chen = login("chen")
    page = press(chen, 2, chen.get("/policies/2/edit"), "up:2")
    assert re.findall(r'name="\d-id" value="([^"]+)"', page.content.decode()) == ["R-01", "R-70", "R-02"]
    page = press(chen, 2, page, "remove:2")
    page = press(chen, 2, page, "add", **{"1-name": "改了名"})
    html = page.content.decode()
    assert re.findall(r'name="\d-id" value="([^"]+)"', html) == ["R-01", "R-70", "R-02"]  # the first free id
    assert 'value="改了名"' in html
    assert PolicyVersion.objects.get(pk=2).rules == [FAILED, MEDIA, STRICT]
    answer = press(chen, 2, page, "save", **{"2-name": "新规则"})
    assert answer.status_code == 302
    rules = PolicyVersion.objects.get(pk=2).rules
    assert [(r["id"], r["name"]) for r in rules] == [("R-01", "检查未能完成"), ("R-70", "改了名"), ("R-02", "新规则")]
    assert rules[2] == {"id": "R-02", "name": "新规则", "when": {}, "then": "review"}


def test_a_mistake_stands_at_its_field_and_what_was_typed_stays(world, login):
    drafted(world, FAILED, RICH)
    chen = login("chen")
    page = chen.get("/policies/2/edit")
    answer = press(chen, 2, page, "save", **{"1-when-min_severity": "many", "1-id": "R-01", "note": "留下"})
    html = answer.content.decode()
    assert answer.status_code == 422 and 'role="alert"' in html
    assert re.search(r'id="1-when-min_severity"[^>]*value="many"[^>]*aria-invalid="true"', html)
    assert 'id="1-when-min_severity-error"' in html and 'id="1-id-error"' in html and "留下" in html
    assert PolicyVersion.objects.get(pk=2).revision == 2
    checked = press(chen, 2, page, "check", **{"1-when-min_severity": "9"})
    assert checked.status_code == 200 and 'id="1-when-min_severity-error"' in checked.content.decode()
    assert 'role="status"' in press(chen, 2, page, "check").content.decode()


def test_a_save_over_somebody_elses_is_refused_with_what_was_typed(world, login):
    drafted(world, FAILED, STRICT)
    chen = login("chen")
    old = chen.get("/policies/2/edit")
    policies.edit(number=2, revision=2, rules=[FAILED, MEDIA], by=world.chen)
    answer = press(chen, 2, old, "save", **{"1-name": "晚了一步"})
    assert answer.status_code == 409 and "晚了一步" in answer.content.decode()
    assert PolicyVersion.objects.get(pk=2).rules == [FAILED, MEDIA]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"row": ["x", "x", "999"], "act": "save"},
        {"row": ["0"] * 200, "act": "add"},
        {"row": ["0"], "0-has": ["colour", "min_severity", "check"], "0-when-min_severity": ["²", "3"], "act": "save"},
        {"row": ["0"], "act": "up:-1"},
        {"row": ["0"], "act": "condition:0", "0-add": "constructor"},
        {"row": ["0"], "act": "drop:9:check"},
        {"row": ["0"], "0-id": "\x00", "0-name": "坏\x00\u202e", "0-priority": "9" * 300, "revision": "9" * 30},
        {"row": ["0"], "0-has": "min_score", "0-when-min_score": "nan", "act": "save", "revision": "2"},
    ],
)
def test_nonsense_in_the_form_is_refused_and_breaks_nothing(world, login, body):
    drafted(world, FAILED, STRICT)
    assert login("chen").post("/policies/2/edit", body).status_code in (200, 409, 422)
    assert PolicyVersion.objects.get(pk=2).rules == [FAILED, STRICT]


def test_only_the_author_gets_the_editor(world, login):
    drafted(world, FAILED, STRICT)
    xu = login("xu")
    assert xu.get("/policies/2/edit")["Location"] == "/policies/2/"
    assert login("chen").get("/policies/1/edit")["Location"] == "/policies/1/"
    stolen = Form(login("chen").get("/policies/2/edit").content.decode()).with_("save")
    assert xu.post("/policies/2/edit", stolen).status_code == 403
    assert login("lin").get("/policies/2/edit").status_code == 403
    for address in ("/policies/99/", "/policies/99/edit", "/policies/compare?a=1&b=99", "/policies/compare?a=x"):
        assert login("chen").get(address).status_code == 404


def test_from_draft_over_shadow_to_live_by_two_people(world, login):
    chen, xu = login("chen"), login("xu")
    answer = chen.post("/policies/draft", {"base": "1"})
    assert answer["Location"] == "/policies/2/edit"
    page = press(chen, 2, chen.get("/policies/2/edit"), "remove:1")
    assert press(chen, 2, page, "save").status_code == 302
    page = chen.get("/policies/2/").content.decode()
    assert 'data-action="shadow"' in page and 'data-action="go-live"' not in page
    assert chen.post("/policies/2/shadow", {"revision": "2"}).status_code == 302
    policy.forget()
    world.submit(SCAM), world.submit(CLEAN)
    page = xu.get("/policies/2/").content.decode()
    assert 'data-action="go-live"' in page and 'data-action="edit"' not in page
    form = dict(re.findall(r'name="(revision|instead_of)" value="(\d+)"', page))
    refused = xu.post("/policies/2/go-live", form)
    html = refused.content.decode()
    assert refused.status_code == 422 and 'id="go-live-error"' in html and 'role="alert"' in html
    assert chen.post("/policies/2/go-live", {**form, "reason": WHY}).status_code == 403
    assert xu.post("/policies/2/go-live", {**form, "reason": WHY}).status_code == 302
    assert PolicyVersion.objects.get(state="live").pk == 2
    late = xu.post("/policies/2/go-live", {**form, "reason": WHY})
    assert late.status_code == 409 and 'role="alert"' in late.content.decode()
    html = chen.get("/policies/").content.decode()
    assert html.index("/policies/2/") < html.index("/policies/1/")


def test_the_page_of_a_shadow_says_where_it_differs_with_items_to_open(world, login):
    made = drafted(world, FAILED, STRICT)
    policies.shadow(number=2, revision=2, by=world.chen)
    policy.forget()
    items = [world.submit(SCAM) for _n in range(3)] + [world.submit(CLEAN)]
    answer = login("he").get("/policies/2/")
    html = answer.content.decode()
    figures = answer.context["figures"]
    assert (figures["all"].items, figures["all"].differ, figures["share"]) == (4, 3, 75.0)
    for item in items[:3]:
        assert f"/submissions/{item.pk}/" in html
    assert f"/submissions/{items[3].pk}/" not in html
    assert str(figures["differing"][0]["category"]) in html and made.pk == 2


def test_the_backtests_of_a_version_stand_on_its_page(world, login):
    drafted(world, FAILED, STRICT)
    Backtest.objects.create(
        kind="policy", target="2", target_revision=2, state="done", total=1234, started_by=world.chen
    )
    Backtest.objects.create(kind="policy", target="22", state="done", total=77, started_by=world.chen)
    answer = login("xu").get("/policies/2/")
    assert len(answer.context["backtests"]) == 1 and answer.context["tried"]
    assert "1,234" in answer.content.decode()


def test_the_comparison_names_each_change(world, login):
    drafted(world, FAILED, {**STRICT, "when": {"category": ["fraud"], "min_severity": 3}})
    answer = login("he").get("/policies/compare?a=1&b=2")
    rows = {row["id"]: row for row in answer.context["rows"]}
    assert (rows["R-01"]["what"], rows["R-70"]["what"], rows["R-05"]["what"]) == ("changed", "added", "removed")
    assert [after for _part, _before, after in rows["R-01"]["parts"]] == ["—"]  # the English name
    assert login("he").get("/policies/compare").status_code == 200
    policies.edit(number=2, revision=2, rules=[FAILED, STRICT], by=world.chen)
    policies.draft(base=2, by=world.chen)
    policies.edit(number=3, revision=1, rules=[FAILED, {**STRICT, "then": "review"}], by=world.chen)
    row = login("he").get("/policies/compare?a=2&b=3").context["rows"][1]
    assert row["what"] == "changed" and len(row["parts"]) == 1 and row["changed"] == []


def _count(client, address):
    client.get(address)  # what the frame of every page asks once in a while (sessions, banners) is asked here
    with CaptureQueriesContext(connection) as seen:
        assert client.get(address).status_code == 200
    return len(seen)


def test_pages_cost_the_same_however_many_versions_rules_and_verdicts_there_are(world, login):
    chen = login("chen")
    drafted(world, FAILED, STRICT)
    policies.shadow(number=2, revision=2, by=world.chen)
    drafted(world, FAILED, STRICT)
    policy.forget()
    world.submit(SCAM)
    addresses = ["/policies/", "/policies/2/", "/policies/3/edit", "/policies/compare?a=1&b=2"]
    few = [_count(chen, address) for address in addresses]
    for n in range(4):
        drafted(world, FAILED, MEDIA, {**STRICT, "id": f"N-{n}"}, by=world.xu)
        world.submit(SCAM)
    rules = [FAILED] + [{**RICH, "id": f"M-{n}", "when": {**RICH["when"], "min_severity": 0, "service": ["tuyan"],
             "max_account_days": n + 1}} for n in range(9)]  # fmt: skip
    policies.edit(number=3, revision=2, rules=rules, by=world.chen)
    many = [_count(chen, address) for address in addresses]
    # The table's selects ask for the list of services once there is such a condition.
    assert [m - f for m, f in zip(many, few, strict=True)] == [0, 0, 1, 0]
    assert max(many) <= 10, many


def test_names_of_rules_follow_the_language_and_hostile_ones_stay_text(world, login):
    in_force(world, FAILED, RICH, {**STRICT, "name": HOSTILE[:80], "name_en": HOSTILE[:120]})
    chen = login("chen")
    assert "多条件" in chen.get("/policies/", HTTP_ACCEPT_LANGUAGE="zh-hans").content.decode()
    assert "Many conditions" in chen.get("/policies/", HTTP_ACCEPT_LANGUAGE="en").content.decode()
    policies.draft(base=2, by=world.chen)
    for address in ("/policies/", "/policies/2/", "/policies/3/edit", "/policies/compare?a=1&b=2"):
        html = chen.get(address).content.decode()
        assert "<script>alert" not in html and "<img src=x" not in html


@pytest.mark.parametrize("person", ["lin", "xu", "zhou", "chen", "he", "fang"])
def test_who_sees_and_who_does(world, login, person):
    client, role = login(person), world.staff[person].role
    drafted(world, FAILED, STRICT)
    view, draft = role in GRANTS["policy.view"], role in GRANTS["policy.draft"]
    for address in ("/policies/", "/policies/1/", "/policies/compare"):
        assert client.get(address).status_code == (200 if view else 403)
    for address in ("/policies/draft", "/policies/2/shadow", "/policies/2/go-live", "/policies/2/withdraw"):
        assert client.get(address).status_code == (405 if draft else 403)
        if not draft:
            assert client.post(address, {"base": "1", "revision": "2", "reason": WHY}).status_code == 403
    html = client.get("/policies/2/").content.decode()
    for action in ("draft", "go-live", "shadow"):
        shown = f'data-action="{action}"' in html
        assert shown is (draft and (action == "draft" or (action == "shadow") == (person == "chen")))
