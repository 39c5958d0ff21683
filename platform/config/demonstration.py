"""The demonstration: an invented provider with staff, users and items, put in through the same commands that real ones
go through. Only its past is made up: the items of the last days are dated back afterwards."""

from __future__ import annotations

import json
import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from accounts import identities, keys, measures, staff, users
from accounts.models import ApiClient, Staff, User
from core import jobs, jsonbody, outbox, webhooks
from core.calendar import SHANGHAI
from core.models import WebhookEndpoint
from governance.models import Function, Provider, Service, TechnicalSupporter
from moderation import intake, library, queue
from moderation.decisions import decide
from moderation.models import Submission
from reporting import demo as reporting_demo
from rumors import demo as rumors_demo

DATA = Path(__file__).parent / "demo"
SECRETS = "demo.json"


def load() -> dict[str, Any]:
    """Load what is missing; returns key, webhook secret and staff with passwords, the same on every run."""
    told = _read_secrets()
    provider = json.loads((DATA / "provider.json").read_text(encoding="utf-8"))
    with transaction.atomic():
        service = _provider(provider)
        people = _staff(provider["staff"], told)
        client_key = _client(service, told)
        secret = _webhooks(service)
    _write_secrets({"api_key": client_key, "webhook_secret": secret, "staff": told["staff"]})
    if not User.objects.filter(service=service).exists():
        _users(service, people)
    if not library.Feature.objects.exists():
        library.propose_starter(by=people["moderator"])
        library.approve_all(by=people["senior_moderator"], source=library.STARTER_SOURCE)
    if not Submission.objects.filter(service=service).exists():
        _items(service, people)
        for fill in FILLERS:
            fill(service, people)
    return {"api_key": client_key, "webhook_secret": secret, "staff": told["staff"]}


# Upper apps' part of the demonstration, called with (service, people by role) once there are items.
FILLERS = (rumors_demo.fill, reporting_demo.fill)


def _read_secrets() -> dict[str, Any]:
    path = settings.DATA_DIR / SECRETS
    if path.exists():
        return json.loads(path.read_text(encoding="utf-8"))
    return {"api_key": "", "webhook_secret": "", "staff": []}


def _write_secrets(told: dict[str, Any]) -> None:
    path = settings.DATA_DIR / SECRETS
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as opened:
        json.dump(told, opened, ensure_ascii=False)


def _provider(data: dict[str, Any]) -> Service:
    p = data["provider"]
    provider, _created = Provider.objects.get_or_create(
        uscc=p["uscc"], defaults={"name": p["name_zh"], "name_en": p["name_en"]}
    )
    s = data["service"]
    service, _created = Service.objects.get_or_create(
        code=s["code"], defaults={"provider": provider, "name": s["name_zh"], "name_en": s["name_en"]}
    )
    for f in data["functions"]:
        Function.objects.get_or_create(
            service=service,
            code=f["code"],
            defaults={
                "name": f["name_zh"],
                "name_en": f["name_en"],
                "kind": f["kind"],
                "technologies": f["technologies"],
                "edits_biometrics": f.get("edits_biometrics", False),
            },
        )
    for t in [data["technical_supporter"]]:
        supporter, created = TechnicalSupporter.objects.get_or_create(
            uscc=t["uscc"], defaults={"name": t["name_zh"], "name_en": t["name_en"]}
        )
        if created:
            supporter.services.add(service)
    return service


def _staff(rows: list[dict[str, Any]], told: dict[str, Any]) -> dict[str, Staff]:
    known = {row["username"]: row for row in told["staff"]}
    people: dict[str, Staff] = {}
    kept = []
    for row in rows:
        person = Staff.objects.filter(username=row["username"]).first()
        if person is None:
            person, password = staff.create_staff(
                username=row["username"],
                display_name=row["display_name"],
                role=row["role"],
                password=known.get(row["username"], {}).get("password"),
                by="system:demo",
            )
            known[row["username"]] = {"username": row["username"], "password": password, "role": row["role"]}
        elif row["username"] not in known:
            # The file with the passwords is gone: make new ones rather than lock the demonstration.
            _person, password = person, staff.new_password()
            person.set_password(password)
            person.save(update_fields=["password"])
            known[row["username"]] = {"username": row["username"], "password": password, "role": row["role"]}
        kept.append(known[row["username"]])
        people.setdefault(row["role"], person)
    told["staff"] = kept
    return people


def _client(service: Service, told: dict[str, Any]) -> str:
    client = ApiClient.objects.filter(service=service, name="demo").first()
    if client is None:
        client = keys.create_client(service=service, name="demo", by="system:demo")
    if told["api_key"] and keys.authenticate(told["api_key"]):
        return told["api_key"]
    return keys.issue_key(client=client, scopes=list(keys.SCOPES), by="system:demo")[1]


def _webhooks(service: Service) -> str:
    url = os.environ.get("MINGJIAN_DEMO_WEBHOOK_URL", "")
    endpoint, secret = webhooks.register_endpoint(
        service_id=service.pk, url=url or "http://127.0.0.1:9/webhooks", by="system:demo"
    )
    if not url and endpoint.active:
        # Nothing listens there: the secret is ready, the address comes by API, page or environment.
        WebhookEndpoint.objects.filter(pk=endpoint.pk).update(active=False, disabled_reason="演示：还没有接收方")
    return secret


def _users(service: Service, people: dict[str, Staff]) -> None:
    admin = people["identity_admin"]
    for row in _rows("users.jsonl"):
        with transaction.atomic():
            user, _created = users.register(
                service=service,
                external_id=row["external_id"],
                kind=row["kind"],
                display_name=row["display_name"],
                region=row.get("region", ""),
                by="system:demo",
            )
            proof = row.get("identity")
            if proof:
                identity = identities.submit(
                    user=user,
                    method=proof["method"],
                    name=proof.get("name", ""),
                    number=proof.get("number", ""),
                    token=proof.get("token", ""),
                    by="system:demo",
                )
                if row["identity_outcome"] == "verified":
                    identities.verify(identity_id=identity.pk, by=admin)
                elif row["identity_outcome"] == "rejected":
                    identities.reject(identity_id=identity.pk, reason=row["reject_reason"], by=admin)
            if row.get("account") == "suspended":
                measures.apply(
                    user=user,
                    kind="suspend",
                    ground=row.get("account_reason", "多次提交诈骗类内容"),
                    by=admin,
                    ends_at=timezone.now() + timedelta(days=7),
                )


def _rows(name: str) -> list[dict[str, Any]]:
    lines = (DATA / name).read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines if line.strip()]
    return [row for row in rows if "external_id" in row]


def _items(service: Service, people: dict[str, Staff]) -> None:
    rows = _rows("items.jsonl")
    dates: dict[str, datetime] = {}
    now = timezone.now()
    today = now.astimezone(SHANGHAI).replace(minute=0, second=0, microsecond=0)
    lines = []
    for number, row in enumerate(rows):
        at = (today - timedelta(days=row["days_ago"])).replace(hour=row.get("hour", 9), minute=number % 60)
        # Today's later hours have not come yet.
        dates[row["external_id"]] = at if at < now else now - timedelta(minutes=5 + number)
        body: dict[str, Any] = {
            "external_id": row["external_id"],
            "user": row["user"],
            "function": row["function"],
            "technology": row["technology"],
            "input": {"text": row.get("input", "")},
            "output": {"text": row["output"]},
        }
        for name in ("news", "consent_prompt_acknowledged"):
            if name in row:
                body[name] = row[name]
        lines.append(intake.read_line(jsonbody.encode(body)))
    intake.take(service=service, lines=lines, by="system:demo")
    while jobs.work("work", seconds=5.0):
        pass
    _decide(people["moderator"], {row["external_id"]: row["staff_decision"] for row in rows if "staff_decision" in row})
    _date_back(dates)
    while outbox.relay():
        pass


def _decide(moderator: Staff, wanted: dict[str, str]) -> None:
    """Decide the named items as a moderator would; the others go back to the queue."""
    held = queue.next_task(by=moderator)
    seen: set[Any] = set()
    while held is not None and held.submission_id not in seen:
        item = Submission.objects.get(pk=held.submission_id)
        worst = item.findings.exclude(category=None).order_by("-severity").select_related("category").first()
        if item.external_id in wanted and worst is not None and worst.category is not None:
            outcome = wanted[item.external_id]
            decide(
                submission_id=item.pk,
                token=held.token,
                outcome=outcome,
                category=worst.category.pk if outcome == "block" else "",
                reason=worst.category.reason if outcome == "block" else "",
                by=moderator,
            )
        else:
            seen.add(item.pk)
            queue.give_back(token=held.token, reason="demonstration", by=moderator)
        held = queue.next_task(by=moderator)
    if held is not None:
        queue.give_back(token=held.token, reason="demonstration", by=moderator)


def _date_back(dates: dict[str, datetime]) -> None:
    """Give the demonstration a past. Decisions and findings are append-only, so their triggers step aside for this one
    transaction; nothing but this loader, and only with DEMO=1, does that."""
    tables = ("moderation_decision", "moderation_finding")
    with transaction.atomic(), connection.cursor() as cursor:
        for table in tables:
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER rows_never_change")
        cursor.execute("UPDATE accounts_user SET created_at = created_at - interval '41 days'")
        for external_id, at in dates.items():
            cursor.execute(
                "UPDATE moderation_submission SET created_at = %(at)s, decided_at = CASE WHEN decided_at IS NULL THEN NULL"
                " WHEN decided_by = 'staff' THEN %(at)s + interval '25 minutes' ELSE %(at)s + interval '40 milliseconds' END"
                " WHERE external_id = %(id)s RETURNING id, decided_at",
                {"at": at, "id": external_id},
            )
            for pk, decided_at in cursor.fetchall():
                if decided_at:
                    cursor.execute(
                        "UPDATE moderation_decision SET decided_at = %s WHERE submission_id = %s", [decided_at, pk]
                    )
                cursor.execute("UPDATE moderation_finding SET created_at = %s WHERE submission_id = %s", [at, pk])
                cursor.execute(
                    "UPDATE moderation_task SET entered_at = %(at)s,"
                    " due_at = greatest(now() + interval '35 minutes', %(at)s + interval '4 hours')"
                    " WHERE submission_id = %(id)s",
                    {"at": at, "id": pk},
                )
        for table in tables:
            cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER rows_never_change")
