"""Everything about one person as a bundle they can read (GA-11, GEN-08): a zip with `index.html`, in Chinese and English,
and `data.json` for machines. Encrypted, with a key of its own, on its way into the evidence store; no plaintext touches a
disk. Numbers stand in it in the clear: it is the person's own data.

Apps above this one add sections by `section()`. Who of the staff looked is said by role and time, never by name.
"""

from __future__ import annotations

import html
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Model
from django.utils import timezone

from accounts import acceptances, person_requests, sealing
from accounts.models import Appeal, PersonRequest, User
from core import jobs, sealed_files, vault
from core.calendar import SHANGHAI

Rows = Iterable[dict[str, Any]]


@dataclass(frozen=True)
class Section:
    """One part of the bundle: a name for machines, a title in both languages, and the rows about a user. `rows` is called
    once for each of the two files, and may be a generator over more than fits into memory."""

    name: str
    zh: str
    en: str
    rows: Callable[[User], Rows]


SECTIONS: dict[str, Section] = {}


def section(name: str, rows: Callable[[User], Rows], *, zh: str, en: str) -> None:
    """Have an app's own data of a person in the bundle; called when the app is ready. A row is a flat dict of texts,
    numbers, times and lists."""
    SECTIONS[name] = Section(name, zh, en, rows)


class _Drain:
    """A file that is only written to, and emptied from time to time."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing waits anywhere else."""

    def taken(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


def build(user: User) -> Iterator[bytes]:
    """The zip's bytes, piece by piece."""
    drain: Any = _Drain()
    with zipfile.ZipFile(drain, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, texts in (("index.html", _page(user)), ("data.json", _data(user))):
            with archive.open(name, "w", force_zip64=True) as member:
                for text in texts:
                    member.write(text.encode())
                    if ready := drain.taken():
                        yield ready
    yield drain.taken()


def run(job: jobs.Claimed) -> None:
    """Make the bundle of a request. A request that was refused meanwhile needs none."""
    request = PersonRequest.objects.select_related("user__service").filter(pk=job.subject).first()
    if request is None or request.state != "working" or request.bundle_sha256:
        return
    sealed = sealed_files.write(build(request.user), aad=request.pk.bytes)
    person_requests.bundle_made(request_id=request.pk, sealed=sealed, by="system:worker")


KIND = jobs.register(jobs.Kind(person_requests.BUNDLE_JOB, jobs.one_by_one(run), lease="export_lease"))


def _data(user: User) -> Iterator[str]:
    yield "{" + f'"made_at": {json.dumps(timezone.now().isoformat())}'
    for part in SECTIONS.values():
        yield f",\n{json.dumps(part.name)}: ["
        for place, row in enumerate(part.rows(user)):
            yield (",\n" if place else "\n") + json.dumps(row, ensure_ascii=False, default=_plain)
        yield "]"
    yield "}\n"


def _page(user: User) -> Iterator[str]:
    title = "您的个人信息 · Your personal data"
    yield (
        '<!doctype html><html lang="zh-Hans"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>"
        "body{font:16px/1.6 system-ui,sans-serif;margin:2rem auto;padding:0 1rem;max-width:60rem}"
        "table{border-collapse:collapse;width:100%;margin-bottom:1.5rem}"
        "th,td{border:1px solid #bbb;padding:.35rem .6rem;text-align:left;vertical-align:top;overflow-wrap:anywhere}"
        "th{width:14rem;font-weight:600}</style></head><body>"
        f"<h1>{title}</h1><p>{html.escape(str(user.service))} · {timezone.now().astimezone(SHANGHAI):%Y-%m-%d %H:%M}</p>"
        '<p>时间为北京时间。供程序读取的同一内容见 data.json。<br><span lang="en">Times are Beijing time. The same for '
        "programs: data.json.</span></p>"
    )
    for part in SECTIONS.values():
        yield f'<h2>{html.escape(part.zh)} · <span lang="en">{html.escape(part.en)}</span></h2>'
        empty = True
        for row in part.rows(user):
            empty = False
            cells = "".join(
                f"<tr><th>{html.escape(name)}</th><td>{html.escape(_readable(value))}</td></tr>"
                for name, value in row.items()
                if value not in (None, "", [])
            )
            yield f"<table>{cells}</table>"
        if empty:
            yield '<p>无 · <span lang="en">nothing</span></p>'
    yield "</body></html>\n"


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _readable(value: Any) -> str:
    if isinstance(value, datetime):
        return f"{value.astimezone(SHANGHAI):%Y-%m-%d %H:%M:%S}"
    if isinstance(value, list | tuple):
        return "、".join(_readable(one) for one in value)
    return str(value)


def _fields(row: Model, *names: str) -> dict[str, Any]:
    return {name: getattr(row, name) for name in names}


# The sections of this app


def _account(user: User) -> Rows:
    contact = ""
    if user.contact_sealed:
        subject = f"user:{user.pk}"
        contact = vault.unseal(user.contact_sealed, subject=subject, context=f"{subject}:contact")
    names = (
        "external_id", "kind", "display_name", "region", "profession", "institution", "address_region", "minor",
        "identity_status", "account_status", "created_at",
    )  # fmt: skip
    yield {**_fields(user, *names), "contact": contact}


def _identities(user: User) -> Rows:
    for identity in user.identities.order_by("pk"):
        opened = sealing.opened(identity)
        yield {
            **_fields(identity, "method", "document_kind", "state", "submitted_at", "decided_at", "expires_at"),
            "name": opened.name,
            "number": opened.number,
            "reject_reason": identity.reject_reason,
            "documents": [document.kind for document in identity.documents.filter(removed_at=None).order_by("pk")],
        }


def _guardians(user: User) -> Rows:
    subject = f"user:{user.pk}"
    for consent in user.guardian_consents.order_by("pk"):
        context = f"guardian_consent:{consent.pk}:name"
        name = vault.unseal(consent.name_sealed, subject=subject, context=context) if consent.name_sealed else ""
        yield {**_fields(consent, "relation", "given_at", "withdrawn_at"), "name": name}


def _devices(user: User) -> Rows:
    for device in user.devices.order_by("pk"):
        yield _fields(device, "first_seen", "last_seen")


def _measures(user: User) -> Rows:
    names = (
        "kind",
        "state",
        "functions",
        "ground",
        "clause",
        "remedy",
        "material",
        "starts_at",
        "ends_at",
        "lifted_at",
    )
    for measure in user.measures.order_by("pk"):
        yield {**_fields(measure, *names), "lift_reason": measure.lift_reason}


def _appeals(user: User) -> Rows:
    for appeal in Appeal.objects.filter(measure__user=user).order_by("pk"):
        yield _fields(appeal, "number", "state", "statement", "received_at", "decided_at", "reason")


def _notices(user: User) -> Rows:
    for notice in user.notices.order_by("pk"):
        yield _fields(notice, "kind", "title", "body", "created_at", "emailed_at", "read_at")


def _acceptances(user: User) -> Rows:
    rows = user.acceptances.select_related("version__document", "user").order_by("pk")
    for acceptance in rows:
        yield {
            "document": str(acceptance.version.document),
            "version": acceptance.version.number,
            "accepted_at": acceptance.accepted_at,
            "address": acceptances.address_of(acceptance),
            "region": acceptance.region,
        }


def _requests(user: User) -> Rows:
    subject = f"user:{user.pk}"
    for request in user.requests.order_by("pk"):
        context = f"person_request:{request.pk}:detail"
        detail = vault.unseal(request.detail_sealed, subject=subject, context=context) if request.detail_sealed else ""
        names = ("number", "kind", "state", "received_at", "due_at", "decided_at", "answer")
        yield {**_fields(request, *names), "detail": detail}


def _looks(user: User) -> Rows:
    for look in user.looks.select_related("staff").order_by("pk"):
        yield {"at": look.at, "what": look.kind, "by_role": look.staff.role}


section("account", _account, zh="账号", en="Account")
section("identities", _identities, zh="真实身份", en="Real identity")
section("guardians", _guardians, zh="监护人同意", en="Guardian's consent")
section("devices", _devices, zh="设备", en="Devices")
section("measures", _measures, zh="处置措施", en="Measures")
section("appeals", _appeals, zh="申诉", en="Appeals")
section("notices", _notices, zh="通知", en="Notices")
section("acceptances", _acceptances, zh="同意的文件", en="Documents accepted")
section("requests", _requests, zh="个人信息请求", en="Requests about data")
section("looks", _looks, zh="查看过您信息的人员", en="Who looked at your data")
