"""The message catalogues without GNU gettext: Babel reads the sources, keeps the translations and compiles them.

Babel is a development dependency; the compiled .mo files are checked in and are all that Django needs at run time.
`manage.py messages` drives this module.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.utils.translation.template import templatize

KEYWORDS: dict[str, Any] = {
    "_": None,
    "gettext": None,
    "gettext_lazy": None,
    "gettext_noop": None,
    "ngettext": (1, 2),
    "ngettext_lazy": (1, 2),
    "pgettext": ((1, "c"), 2),
    "pgettext_lazy": ((1, "c"), 2),
    "npgettext": ((1, "c"), 2, 3),
    "npgettext_lazy": ((1, "c"), 2, 3),
}
SKIPPED = {"tests", "var", "bench", "docs", "migrations", "static", "locale", "node_modules", "__pycache__"}
LOCALES = ("zh_Hans", "en")
COMPLETE = ("zh_Hans",)  # English may stay empty: its msgids are the text


class Problem(NamedTuple):
    """One thing that is wrong with a catalogue, and the msgid it is about (empty for the whole file)."""

    locale: str
    kind: str
    msgid: str

    def __str__(self) -> str:
        return f"{self.locale}: {self.kind}" + (f": {self.msgid}" if self.msgid else "")


def sources(root: Path) -> Iterator[Path]:
    """All .py and .html files of the project under `root`, in a stable order, without tests, data and environments."""
    for path in sorted(root.iterdir()):
        if path.name.startswith(".") or path.name in SKIPPED or path.is_symlink():
            continue
        if path.is_dir():
            yield from sources(path)
        elif path.suffix in (".py", ".html"):
            yield path


def collect(root: Path) -> Catalog:
    """Everything under `root` that a person reads. Raises ValueError naming the file that cannot be parsed."""
    found = Catalog()
    for path in sources(root):
        where = path.relative_to(root).as_posix()
        try:
            for _line, msgid, comments, context in extract(
                "python", BytesIO(_as_python(path)), KEYWORDS, comment_tags=("Translators",)
            ):
                found.add(msgid, locations=[(where, 0)], auto_comments=comments, context=context)
        except (SyntaxError, UnicodeDecodeError) as error:
            raise ValueError(f"{where}: {error}") from error
    return found


def update(root: Path, folder: Path) -> list[str]:
    """Bring every catalogue under `folder` up to date with the sources and compile it. Returns the files that changed.

    Existing translations stay, also those of messages that are gone (as obsolete lines) and come back.
    """
    found = collect(root)
    changed = []
    for locale in LOCALES:
        po = _po(folder, locale)
        catalogue = _merged(_read(po, locale), found)
        changed += [str(file) for file, content in _outputs(catalogue, po) if _write(file, content)]
    return changed


def problems(root: Path, folder: Path) -> list[Problem]:
    """What `--check` finds: missing or fuzzy translations, wrong placeholders, files that `messages` would change."""
    found = collect(root)
    wrong: list[Problem] = []
    for locale in LOCALES:
        po = _po(folder, locale)
        catalogue = _merged(_read(po, locale), found)
        if locale in COMPLETE:
            wrong += [Problem(locale, "fuzzy" if m.fuzzy else "missing", _name(m)) for m in _untranslated(catalogue)]
        wrong += [
            Problem(locale, f"placeholder ({error})", _name(m)) for m, errors in catalogue.check() for error in errors
        ]
        stale = [file.name for file, content in _outputs(catalogue, po) if _content(file) != content]
        wrong += [Problem(locale, f"{name} is out of date, run manage.py messages", "") for name in stale]
    return wrong


def _as_python(path: Path) -> bytes:
    if path.suffix == ".py":
        return path.read_bytes()
    # templatize() turns a template into gettext calls between runs of X. The parentheses around it keep the tokenizer
    # from reading the template's indentation as Python's.
    return f"({templatize(path.read_text(encoding='utf-8'), origin=path.name)}\n)".encode()


def _po(folder: Path, locale: str) -> Path:
    return folder / locale / "LC_MESSAGES" / "django.po"


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""


def _read(po: Path, locale: str) -> Catalog:
    if po.is_file():
        with po.open("rb") as file:
            return read_po(file, locale=locale, domain="django")
    return Catalog(
        locale=locale,
        domain="django",
        project="Mingjian",
        version="1",
        msgid_bugs_address="-",
        last_translator="-",
        language_team="-",
        header_comment="# Translations of Mingjian. Kept by manage.py messages.",
        fuzzy=False,
    )


def _merged(catalogue: Catalog, found: Catalog) -> Catalog:
    for message in found:
        # Babel never looks among the obsolete ones when a message comes back.
        gone = catalogue.obsolete.pop(catalogue._key_for(message.id, message.context), None) if message.id else None
        if gone is not None:
            catalogue[gone.id] = gone
    catalogue.update(found, no_fuzzy_matching=True, update_creation_date=False)
    catalogue.fuzzy = False
    return catalogue


def _outputs(catalogue: Catalog, po: Path) -> list[tuple[Path, bytes]]:
    text, compiled = BytesIO(), BytesIO()
    # Without line numbers: a moved line is no change of the catalogue.
    write_po(text, catalogue, width=120, sort_output=True, include_lineno=False)
    # Compiled from what the file says: a new plural in memory has other empty forms than the same one read back.
    write_mo(compiled, read_po(BytesIO(text.getvalue()), locale=catalogue.locale, domain="django"))
    return [(po, text.getvalue()), (po.with_suffix(".mo"), compiled.getvalue())]


def _write(path: Path, content: bytes) -> bool:
    if _content(path) == content:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return True


def _untranslated(catalogue: Catalog) -> Iterable[Message]:
    for message in catalogue:
        strings = message.string if isinstance(message.string, (list, tuple)) else [message.string]
        if message.id and (message.fuzzy or not all(strings)):
            yield message


def _name(message: Message) -> str:
    return message.id if isinstance(message.id, str) else message.id[0]
