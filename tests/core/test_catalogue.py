"""The message catalogues: what is collected, what is kept, what `messages --check` refuses."""

from __future__ import annotations

import gettext
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from core import catalogue

PYTHON = """
from django.utils.translation import gettext as _, gettext_lazy, ngettext, pgettext

TITLE = gettext_lazy("A title")


def say(count: int, name: str) -> str:
    _unused = "not a message"
    return (
        _("Hello %(name)s") % {"name": name}
        + ngettext("%(count)s item", "%(count)s items", count) % {"count": count}
        + pgettext("verb", "Open")
        + _("In two " "pieces")
    )
"""
TEMPLATE = """{% extends "base.html" %}
{% block title %}{% translate "From a template" %}{% endblock %}
      {# odd indentation, brackets ) and quotes ' " must not confuse anybody #}
  <p class='it isn"t'>) ] } if x: {% translate "With context" context "noun" as shown %}{{ _("In a variable") }}</p>
    <b>{% blocktranslate with n=rows|length trimmed %}
        There are {{ n }}
        rows
    {% endblocktranslate %}</b>
{% blocktranslate count n=total %}one row{% plural %}{{ n }} rows{% endblocktranslate %}
<p>{% include "x.html" with label=_("A label") %} 100% {% translate "100% sure" %}</p>
"""


@pytest.fixture
def project(tmp_path: Path, settings) -> Path:
    """A small project with one module, one template and things that must be left out."""
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "views.py").write_text(PYTHON)
    (tmp_path / "app" / "page.html").write_text(TEMPLATE)
    for folder in (".venv", "tests", "var", "app/migrations"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "other.py").write_text('_("left out")')
    settings.BASE_DIR = tmp_path
    settings.LOCALE_PATHS = [tmp_path / "locale"]
    return tmp_path


def po(project: Path, locale: str = "zh_Hans") -> Path:
    return project / "locale" / locale / "LC_MESSAGES" / "django.po"


def translate(project: Path, **words: str) -> None:
    """Fill translations in by hand, as a person would in the .po file: every empty one gets 译."""
    lines = po(project).read_text().splitlines()
    header, body = lines[: lines.index("")], lines[lines.index("") :]
    text = "\n".join(body) + "\n"
    for msgid, word in words.items():
        text = text.replace(f'msgid "{msgid}"\nmsgstr ""', f'msgid "{msgid}"\nmsgstr "{word}"')
    po(project).write_text("\n".join(header) + text)


def fill_everything(project: Path) -> None:
    found = catalogue._read(po(project), "zh_Hans")
    for message in found:
        if message.id:
            message.string = [message.id[1]] if message.pluralizable else message.id
    for path, content in catalogue._outputs(found, po(project)):
        path.write_bytes(content)


def test_everything_a_person_reads_is_collected(project: Path) -> None:
    found = catalogue.collect(project)
    assert {(m.context, m.id) for m in found if m.id} == {
        (None, "A title"),
        (None, "Hello %(name)s"),
        (None, ("%(count)s item", "%(count)s items")),
        ("verb", "Open"),
        (None, "In two pieces"),
        (None, "From a template"),
        ("noun", "With context"),
        (None, "In a variable"),
        (None, "There are %(n)s rows"),
        (None, ("one row", "%(n)s rows")),
        (None, "A label"),
        (None, "100%% sure"),
    }


def test_messages_writes_both_catalogues_and_a_second_run_changes_nothing(project: Path) -> None:
    assert len(catalogue.update(project, project / "locale")) == 4  # .po and .mo of zh_Hans and en
    assert catalogue.update(project, project / "locale") == []
    assert "app/views.py" in po(project).read_text()


def test_translations_stay_and_come_back_with_their_message(project: Path) -> None:
    call_command("messages", stdout=StringIO())
    translate(project, **{"A title": "题目"})
    call_command("messages", stdout=StringIO())
    (project / "app" / "views.py").write_text('_("Something else")')
    call_command("messages", stdout=StringIO())
    assert '#~ msgid "A title"' in po(project).read_text()
    (project / "app" / "views.py").write_text('_("A title")')
    call_command("messages", stdout=StringIO())
    assert 'msgid "A title"\nmsgstr "题目"' in po(project).read_text()
    assert '#~ msgid "A title"' not in po(project).read_text()


def test_what_is_compiled_is_what_django_reads(project: Path) -> None:
    call_command("messages", stdout=StringIO())
    translate(project, **{"A title": "题目", "Open": "打开"})
    call_command("messages", stdout=StringIO())
    with po(project).with_suffix(".mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)
    assert compiled.gettext("A title") == "题目"
    assert compiled.pgettext("verb", "Open") == "打开"
    assert compiled.gettext("In two pieces") == "In two pieces"  # not translated: left out, not empty


def test_check_lists_what_is_missing_and_fails(project: Path) -> None:
    call_command("messages", stdout=StringIO())
    said = StringIO()
    with pytest.raises(CommandError) as refused:
        call_command("messages", "--check", stdout=said)
    assert refused.value.returncode == 1
    assert "zh_Hans: missing: A title" in said.getvalue()
    assert "en:" not in said.getvalue()  # English is its own msgid


def test_check_is_content_when_all_is_translated_and_compiled(project: Path) -> None:
    call_command("messages", stdout=StringIO())
    fill_everything(project)
    said = StringIO()
    call_command("messages", "--check", stdout=said)
    assert said.getvalue() == "0 problems\n"


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (
            lambda p: p.write_text(p.read_text().replace('msgid "A title"', '#, fuzzy\nmsgid "A title"')),
            "fuzzy: A title",
        ),
        (
            lambda p: p.write_text(p.read_text().replace('msgstr "Hello %(name)s"', 'msgstr "你好 %(nam)s"')),
            "placeholder",
        ),
        (lambda p: p.with_suffix(".mo").unlink(), "django.mo is out of date"),
        (lambda p: (p.parents[3] / "app" / "new.py").write_text('_("Brand new")'), "missing: Brand new"),
    ],
)
def test_check_finds(project: Path, spoil, complaint: str) -> None:
    call_command("messages", stdout=StringIO())
    fill_everything(project)
    spoil(po(project))
    said = StringIO()
    before = {path: path.read_bytes() for path in (project / "locale").rglob("django.*")}
    with pytest.raises(CommandError):
        call_command("messages", "--check", stdout=said)
    assert complaint in said.getvalue()
    assert before == {path: path.read_bytes() for path in (project / "locale").rglob("django.*")}


def test_a_template_that_cannot_be_read_is_named(project: Path) -> None:
    (project / "app" / "broken.html").write_text("{% blocktranslate %}{% if x %}a{% endif %}{% endblocktranslate %}")
    with pytest.raises(CommandError, match="app/broken.html"):
        call_command("messages", stdout=StringIO())
