"""The list of news source units (稿源单位) that a reprint may name (DS-06b, DS-06c). The authority publishes a list; the
operator keeps it here, with the addresses that each unit publishes under."""

from __future__ import annotations

import csv
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import IO, Any
from urllib.parse import urlsplit

from django.db import transaction
from django.db.models import Max
from django.utils.translation import gettext as _

from core import audit
from core.errors import Conflict, NotFound, Refusal, field_error
from core.roles import check
from moderation.models import SourceUnit

LOOK_AGAIN = 1.0  # seconds
MOST_ROWS = 20_000
NAME, DOMAINS = ("name", "单位名称", "名称"), ("domains", "域名", "网址")


@dataclass(frozen=True)
class Units:
    """The active units, ready to be asked."""

    domains_of: dict[str, tuple[str, ...]]
    version: str

    def problem(self, name: str, url: str) -> str:
        """What is wrong with a named source: `unit_unknown`, `address_of_another` (the unit doesn't publish there), or
        nothing."""
        domains = self.domains_of.get(_plain(name))
        if domains is None:
            return "unit_unknown"
        host = host_of(url)
        if not any(host == domain or host.endswith("." + domain) for domain in domains):
            return "address_of_another"
        return ""


_units: tuple[float, Units] | None = None


def current() -> Units:
    """The list in force; asked for again after LOOK_AGAIN seconds, read only when it changed."""
    global _units
    if _units is None or _units[0] < time.monotonic():
        version = _version()
        if _units is None or _units[1].version != version:
            rows = SourceUnit.objects.filter(active=True).values_list("name", "domains")
            units = Units({_plain(name): tuple(domains) for name, domains in rows}, version)
        else:
            units = _units[1]
        _units = (time.monotonic() + LOOK_AGAIN, units)
    return _units[1]


def forget() -> None:
    """Drop what this process remembers of the list."""
    global _units
    _units = None


def _version() -> str:
    # Every change writes a line of history, so its last number is the list's version.
    return str(SourceUnit.history.aggregate(last=Max("history_id"))["last"] or 0)


def _plain(name: str) -> str:
    return " ".join(name.split()).casefold()


def host_of(url: str) -> str:
    """The host of an address, as domains are compared: small letters, ASCII form; empty where there is none."""
    try:
        host = urlsplit(url if "//" in url else f"//{url}").hostname or ""
        return host.rstrip(".").encode("idna").decode("ascii").lower() if host else ""
    except (ValueError, UnicodeError):
        return ""


def save(*, name: str, domains: Sequence[str], by: Any, unit_id: int | None = None, list_name: str = "") -> SourceUnit:
    """Add a unit, or change one (by `unit_id`). Refuses a name without an address to publish under, an address that is
    none, and a name that another unit has."""
    check(by, "source_unit.manage")
    name, hosts = _clean(name, domains)
    with transaction.atomic():
        if unit_id is None:
            unit = SourceUnit(added_by=by)
        else:
            found = SourceUnit.objects.select_for_update(of=("self",)).filter(pk=unit_id).first()
            if found is None:
                raise NotFound("not_found", _("There is no such source unit."))
            unit = found
        if SourceUnit.objects.filter(name=name).exclude(pk=unit.pk).exists():
            raise Conflict("already_listed", _("This source unit is on the list already."))
        unit.name, unit.domains, unit.active = name, hosts, True
        unit.list_name = list_name.strip()[:120] or unit.list_name
        unit.save()
        audit.record(
            action="source_unit.saved", subject=f"source_unit:{unit.pk}", by=by, data={"name": name, "domains": hosts}
        )
    forget()
    return unit


def strike(*, unit_id: int, reason: str, by: Any) -> SourceUnit:
    """Take a unit off the list; what named it before stays as it was decided."""
    check(by, "source_unit.manage")
    if not reason.strip():
        raise _invalid("reason", "required", _("Say why it is taken off the list."))
    with transaction.atomic():
        unit = SourceUnit.objects.select_for_update(of=("self",)).filter(pk=unit_id, active=True).first()
        if unit is None:
            raise NotFound("not_found", _("There is no such source unit."))
        unit.active = False
        unit.save(update_fields=["active"])
        audit.record(action="source_unit.struck", subject=f"source_unit:{unit.pk}", by=by, reason=reason.strip())
    forget()
    return unit


@dataclass(frozen=True)
class Imported:
    """What became of a list: rows that are on it now, and what was wrong with which line."""

    added: int
    changed: int
    problems: list[tuple[int, str]]


def import_list(*, file: IO[str], list_name: str, by: Any, dry_run: bool = True) -> Imported:
    """Read a published list: CSV with the columns name and domains (separated by spaces or semicolons). All of it is
    taken or, with a wrong line or as a dry run, nothing."""
    check(by, "source_unit.manage")
    problems: list[tuple[int, str]] = []
    rows: dict[str, list[str]] = {}
    for number, name, domains in _rows(file, problems):
        try:
            clean, hosts = _clean(name, domains)
        except Refusal as refusal:
            problems.append((number, str(refusal.errors[0]["detail"])))
            continue
        if clean in rows:
            problems.append((number, _("This source unit is on the list already.")))
        rows[clean] = hosts
    known = dict(SourceUnit.objects.filter(name__in=rows).values_list("name", "pk"))
    if not (problems or dry_run):
        with transaction.atomic():
            for name, hosts in rows.items():
                save(name=name, domains=hosts, by=by, unit_id=known.get(name), list_name=list_name)
            audit.record(
                action="source_unit.list_imported", subject="source_units", by=by,
                data={"list": list_name[:120], "rows": len(rows)},
            )  # fmt: skip
    return Imported(len(rows) - len(known), len(known), problems)


def _rows(file: IO[str], problems: list[tuple[int, str]]) -> Iterable[tuple[int, str, list[str]]]:
    try:
        reader = csv.DictReader(file)
        columns = {str(column).strip().lower(): column for column in reader.fieldnames or []}
        name = next((columns[c] for c in NAME if c in columns), None)
        domains = next((columns[c] for c in DOMAINS if c in columns), None)
        if name is None or domains is None:
            problems.append((1, _("The first line must name the columns name and domains.")))
            return
        for number, row in enumerate(reader, 2):
            if number > MOST_ROWS:
                problems.append((number, _("A list has at most 20,000 lines.")))
                return
            yield number, row.get(name) or "", (row.get(domains) or "").replace(";", " ").replace("；", " ").split()
    except (csv.Error, UnicodeDecodeError):
        problems.append((1, _("This is not a CSV file in UTF-8.")))


def _clean(name: str, domains: Sequence[str]) -> tuple[str, list[str]]:
    name = " ".join(name.split())
    if not 2 <= len(name) <= 120 or "\x00" in name:
        raise _invalid("name", "length", _("Between %(least)d and %(most)d characters.") % {"least": 2, "most": 120})
    hosts = []
    for domain in domains:
        host = host_of(domain.strip())
        if "." not in host or len(host) > 253:
            raise _invalid("domains", "invalid", _("“%s” is no address of a website.") % domain[:80])
        if host not in hosts:
            hosts.append(host.removeprefix("www."))
    if not hosts:
        raise _invalid("domains", "required", _("Name at least one address it publishes under."))
    return name, hosts


def _invalid(name: str, code: str, detail: str) -> Refusal:
    return Refusal("fields_invalid", _("Some fields can't be taken."), errors=[field_error(name, code, detail)])
