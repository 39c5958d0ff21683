"""What every page stands on: the frame, its tags, the theme, the error pages."""

from __future__ import annotations

import gzip
import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from django import forms
from django.core.cache import cache
from django.core.exceptions import BadRequest
from django.template import engines
from django.template.loader import get_template, render_to_string
from django.test import RequestFactory
from django.utils import timezone, translation

from core import appearance, context, roles, state_badges, states
from core.errors import Refusal
from core.templatetags import mingjian

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = sorted(p for p in ROOT.glob("*/templates/**/*.html") if not p.parts[len(ROOT.parts)].startswith("."))
STATIC = ROOT / "platform" / "static"
ICONS = set(re.findall(r'<symbol id="([a-z0-9-]+)"', (STATIC / mingjian.SPRITE).read_text()))


class Person:
    """A signed-in member of staff without a database row."""

    is_authenticated = is_active = True

    def __init__(self, role: str):
        self.role = role

    def __str__(self) -> str:
        return "林溪"

    def get_username(self) -> str:
        return "lin"


@pytest.fixture(autouse=True)
def plain_static_files(settings) -> None:
    """The hashed names of collected files are not what is tested here."""
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }


@pytest.fixture
def ask():
    """Make a request; cookies and the person who asks by name."""

    def make(path: str = "/", *, user: object = None, method: str = "get", data=None, **cookies: str):
        request = getattr(RequestFactory(), method)(path, data)
        request.user = user
        request.COOKIES.update(cookies)
        return request

    return make


def words(markup: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", markup)).strip()


# The templates


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_templates_compile_and_hold_no_inline_code(path: Path) -> None:
    text = path.read_text()
    engines["django"].engine.from_string(text)
    assert not re.search(r"<style[\s>]|\sstyle=|\son[a-z]+=[\"']|javascript:", text), "inline style or handler"
    assert not re.search(r"<script(?![^>]*\ssrc=)", text), "inline script"
    assert not re.search(r"\|\s*safe\b|autoescape off", text), "unescaped output"


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_every_icon_named_in_a_template_is_in_the_sprite(path: Path) -> None:
    text = path.read_text()
    named = set(re.findall(r'{% icon "([^"]+)"', text)) | set(re.findall(r'\sicon="([^"]+)"', text))
    assert named <= ICONS


def test_every_icon_named_in_python_is_in_the_sprite() -> None:
    assert {entry.icon for entry in context.ENTRIES} | {icon for _tone, icon in state_badges.LOOKS.values()} <= ICONS


@pytest.mark.parametrize("sheet", sorted(p.name for p in (STATIC / "css").iterdir()))
def test_tones_of_states_have_a_class(sheet: str) -> None:
    text = (STATIC / "css" / sheet).read_text()
    assert text.count("{") == text.count("}")
    if sheet == "content.css":
        assert {f".state-{tone}" for tone, _ in state_badges.LOOKS.values() if tone != "quiet"} <= set(
            re.findall(r"\.state-[a-z]+", text)
        )


def test_the_desk_loads_less_than_300_kb() -> None:
    head = (ROOT / "platform/templates/components/head.html").read_text()
    files = [*re.findall(r'{% static "([^"]+)" %}', head), "css/desk.css", mingjian.SPRITE]
    assert sum(len(gzip.compress((STATIC / name).read_bytes())) for name in files) < 300_000


@pytest.mark.parametrize("code", ["400", "403", "403_csrf", "404", "413", "500", "503"])
@pytest.mark.parametrize("language", ["zh-hans", "en"])
def test_error_pages_need_neither_database_nor_context(code: str, language: str, ask) -> None:
    # pytest-django blocks the database in this test.
    with translation.override(language):
        bare = render_to_string(f"{code}.html")
        full = render_to_string(f"{code}.html", {"detail": "<b>"}, ask(theme="dark"))
    assert 'data-bs-theme="auto"' in bare and 'data-bs-theme="dark"' in full
    assert f'lang="{"zh-Hans" if language == "zh-hans" else "en"}"' in bare
    assert "&lt;b&gt;" in full and "<b>&" not in full


def test_a_refusal_is_an_alert_and_escaped(ask) -> None:
    refusal = Refusal("x", "no <b>", status=409, retry_after=7, errors=[{"field": "f", "detail": "<i>"}])
    for template in ("refused.html", "components/refusal.html"):
        page = render_to_string(template, {"refusal": refusal}, ask())
        assert 'role="alert"' in page and "no &lt;b&gt;" in page and "&lt;i&gt;" in page


# The frame


def test_the_rail_shows_what_the_role_may_open_and_what_exists(ask, monkeypatch) -> None:
    monkeypatch.setattr(context, "_url", lambda name: "" if name == "rumors" else f"/{name}/")
    monkeypatch.setattr(context, "_badges", {})
    shown = [place["name"] for place in context.navigation(ask(user=Person(roles.MODERATOR)))]
    allowed = [e.name for e in context.ENTRIES if roles.may(Person(roles.MODERATOR), e.permission)]
    assert "rumors" in allowed and "staff" not in allowed
    assert shown == [name for name in allowed if name != "rumors"]


def test_a_url_name_that_does_not_exist_is_no_error() -> None:
    assert context._url("no such page") == ""
    assert context._url("login") == "/login/"


@pytest.mark.parametrize(("path", "current"), [("/", ["overview"]), ("/users/7/", ["users"]), ("/elsewhere/", [])])
def test_where_one_is_is_marked(path: str, current: list[str], ask, monkeypatch) -> None:
    monkeypatch.setattr(context, "_url", lambda name: "/" if name == "overview" else f"/{name}/")
    monkeypatch.setattr(context, "_badges", {})
    places = context.navigation(ask(path, user=Person(roles.AUDITOR)))
    assert [place["name"] for place in places if place["current"]] == current


def test_nobody_signed_in_has_no_rail_and_costs_no_badge(ask, monkeypatch) -> None:
    monkeypatch.setattr(context, "badge_counts", lambda: pytest.fail("counted for nobody"))
    found = context.page(ask(user=None))
    assert list(found["nav"]) == [] and not found["viewer"]


def test_badges_are_counted_once_for_all_people(ask, monkeypatch, settings) -> None:
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    cache.delete(context.BADGES_KEY)
    asked = []
    monkeypatch.setattr(context, "_url", lambda name: f"/{name}/")
    monkeypatch.setattr(context, "_badges", {})
    context.badge("review", lambda: asked.append(1) or 42)
    for role in (roles.MODERATOR, roles.SENIOR):
        places = {place["name"]: place["badge"] for place in context.navigation(ask(user=Person(role)))}
        assert places["review"] == 42 and places["submissions"] == 0
    assert len(asked) == 1
    cache.delete(context.BADGES_KEY)


def test_a_cache_that_is_away_costs_a_query_not_the_page(monkeypatch) -> None:
    def away(*args: object) -> None:
        raise ConnectionError

    monkeypatch.setattr(context, "cache", SimpleNamespace(get=away, set=away))
    monkeypatch.setattr(context, "_badges", {"review": lambda: 3})
    assert context.badge_counts() == {"review": 3}


def test_a_badge_needs_an_entry() -> None:
    with pytest.raises(ValueError, match="nowhere"):
        context.badge("nowhere", lambda: 1)


def test_the_frame_names_the_person_and_keeps_the_token_for_htmx(ask, monkeypatch, settings) -> None:
    settings.DEMO = True
    monkeypatch.setattr(context, "_badges", {})
    with translation.override("en"):
        page = get_template("base.html").render({}, ask(user=Person(roles.ADMIN), theme="dark"))
    assert "林溪" in page and "Administrator" in page and "invented" in page
    assert re.search(r"hx-headers='{\"X-CSRFToken\": \"\w{64}\"}'", page)
    assert 'data-bs-theme="dark"' in page and 'href="#content"' in page and '<main id="content"' in page


def test_the_login_page_says_where_the_passwords_are_but_not_what_they_are(ask, settings) -> None:
    settings.DEMO = True
    assert "var/ready.json" in render_to_string("registration/login.html", {"form": forms.Form()}, ask())
    settings.DEMO = False
    assert "ready.json" not in render_to_string("registration/login.html", {"form": forms.Form()}, ask())


# The theme


def test_a_theme_is_kept_in_a_cookie(ask) -> None:
    answer = appearance.set_theme(
        ask("/appearance/theme/", method="post", data={"theme": "dark", "next": "/users/?q=a"})
    )
    assert (answer.status_code, answer["Location"]) == (302, "/users/?q=a")
    cookie = answer.cookies["theme"]
    assert (cookie.value, cookie["samesite"], cookie["httponly"]) == ("dark", "Lax", True)


@pytest.mark.parametrize("away", ["//evil.example/", "https://evil.example/", "javascript:alert(1)", "https:evil", ""])
def test_a_theme_leads_nowhere_else(away: str, ask) -> None:
    answer = appearance.set_theme(ask("/appearance/theme/", method="post", data={"theme": "auto", "next": away}))
    assert answer["Location"] == "/"


def test_unknown_themes_are_refused_and_never_shown(ask) -> None:
    with pytest.raises(BadRequest):
        appearance.set_theme(ask("/appearance/theme/", method="post", data={"theme": '"><script>'}))
    assert appearance.set_theme(ask("/appearance/theme/")).status_code == 405
    assert appearance.theme_of(ask(theme='"><script>')) == "auto"


# Tags and filters

MOMENT = datetime(2026, 11, 22, 16, 30, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "kind", "chinese", "english"),
    [
        (MOMENT, "minute", "2026-11-23 00:30", "23 Nov 2026, 00:30"),
        (MOMENT.replace(tzinfo=None), "minute", "2026-11-23 00:30", "23 Nov 2026, 00:30"),
        (MOMENT, "second", "2026-11-23 00:30:05", "23 Nov 2026, 00:30:05"),
        (MOMENT, "date", "2026-11-23", "23 Nov 2026"),
        (MOMENT, "time", "00:30", "00:30"),
        (MOMENT, "short", "11-23 00:30", "23 Nov, 00:30"),
        (MOMENT, "long", "2026年11月23日 星期一 00:30", "Monday 23 November 2026, 00:30"),
        (date(2026, 11, 22), "minute", "2026-11-22", "22 Nov 2026"),
        (None, "minute", "", ""),
    ],
)
def test_moments_are_read_off_a_clock_in_shanghai(value, kind: str, chinese: str, english: str) -> None:
    for language, wanted in (("zh-hans", chinese), ("en", english)):
        with translation.override(language):
            assert mingjian.shanghai(value, kind) == wanted


@pytest.mark.parametrize(
    ("before", "wanted"),
    [
        (timedelta(seconds=30), "just now"),
        (timedelta(minutes=3, seconds=10), "3 minutes ago"),
        (timedelta(days=2, hours=5), "2 days ago"),
        (-timedelta(hours=2, minutes=1), "in 2 hours"),
    ],
)
def test_how_long_ago(before: timedelta, wanted: str) -> None:
    with translation.override("en"):
        assert mingjian.ago(timezone.now() - before).replace("\xa0", " ") == wanted
        assert "title=" in mingjian.moment(MOMENT)
    assert mingjian.moment(None) == "—"


@pytest.mark.parametrize(
    ("value", "kind", "wanted"),
    [
        ("11010519491231002X", "number", "1" + "*" * 15 + "2X"),
        ("张三丰", "name", "张**"),
        ("张", "name", "*"),
        ("13800138000", "phone", "138****8000"),
        ("1380", "phone", "****"),
        ("12345", "number", "*****"),
        ("someone@example.org", "email", "s***@example.org"),
        (None, "number", ""),
    ],
)
def test_masks_keep_little(value, kind: str, wanted: str) -> None:
    assert mingjian.mask(value, kind) == wanted


@pytest.mark.parametrize(("seconds", "wanted"), [(252, "4:12"), (3724, "1:02:04"), (-5, "0:00"), (None, "0:00")])
def test_seconds_as_a_clock(seconds, wanted: str) -> None:
    assert mingjian.duration(seconds) == wanted


def test_icons_are_decoration_or_have_a_name() -> None:
    assert 'aria-hidden="true"' in mingjian.icon("gavel") and "#gavel" in mingjian.icon("gavel")
    assert 'role="img" aria-label="&lt;b&gt;"' in mingjian.icon("gavel", "<b>")


def test_states_say_the_word_of_their_table(monkeypatch) -> None:
    monkeypatch.setitem(states.MACHINES, "test_kite", SimpleNamespace(words={"aloft": "in the air"}))
    assert state_badges.look("aloft", "test_kite")["word"] == "In the air"
    with translation.override("en"):
        assert state_badges.look("active", "account")["word"] == "Active account"
        assert state_badges.look("released")["word"] == "Released"
    unknown = state_badges.look("<odd>")
    assert (unknown["word"], unknown["tone"]) == ("<odd>", "quiet")
    assert "&lt;odd&gt;" in render_to_string("components/badge_state.html", {"state": "<odd>"})


class Form(forms.Form):
    """One field of each kind."""

    name = forms.CharField(help_text="as on the card", widget=forms.TextInput(attrs={"class": "mono"}))
    kind = forms.ChoiceField(choices=[("a", "A")])
    way = forms.ChoiceField(choices=[("a", "A")], widget=forms.RadioSelect)
    sure = forms.BooleanField()


def test_fields_tie_label_control_help_and_error_together() -> None:
    page = {name: render_to_string("components/field.html", {"field": Form({})[name]}) for name in Form.base_fields}
    name = page["name"]
    assert 'for="id_name"' in name and 'class="form-control mono is-invalid"' in name
    assert 'aria-describedby="id_name_error id_name_help"' in name and 'aria-invalid="true"' in name
    assert 'id="id_name_error"' in name and 'id="id_name_help"' in name
    assert "form-select" in page["kind"] and "<legend>" in page["way"]
    assert page["sure"].index("<input") < page["sure"].index("<label")


def test_charts_carry_their_figures_as_data_and_as_a_table() -> None:
    data = {
        "kind": "bar",
        "labels": ["Mon", "</script>"],
        "series": [
            {"name": "Released", "tone": "ok", "values": [1, 2]},
            {"name": "Blocked", "tone": "bad", "values": [3, None]},
        ],
    }
    page = render_to_string("components/chart.html", {"id": "week", "title": "Week", "data": data})
    assert page.count("</script>") == 1 and 'data-chart="week"' in page and 'id="week" type="application/json"' in page
    rows = [words(row) for row in re.findall(r"<tr>.*?</tr>", page, re.DOTALL)]
    assert rows == ["Released Blocked", "Mon 1 3", "&lt;/script&gt; 2 —"]


@pytest.mark.parametrize(("kind", "drawn"), [("line", "<polyline"), ("bars", "<rect")])
def test_sparks_draw_any_list_of_numbers(kind: str, drawn: str) -> None:
    for values in ([0, 0, 0], [5], [1, 9, 3], [None, 2]):
        drawing = mingjian.spark(values, 'A "name"', kind=kind)
        assert drawn in drawing and "nan" not in drawing and "&quot;name&quot;" in drawing
    assert mingjian.spark([], "none", kind=kind).startswith("<svg")


def test_empty_states_say_what_to_do_next() -> None:
    page = render_to_string(
        "components/empty.html",
        {"title": "No cases", "text": "Open one.", "action_url": "/rumors/new/", "action_label": "Open"},
    )
    assert words(page) == "No cases Open one. Open" and 'href="/rumors/new/"' in page


def test_pagers_vanish_when_there_is_one_page() -> None:
    assert words(render_to_string("components/pager.html")) == ""
    assert 'rel="next" href="?before=x&amp;q=1"' in render_to_string(
        "components/pager.html", {"next_url": "?before=x&q=1"}
    )
