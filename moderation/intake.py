"""Intake: the door of the main road. One function takes one line or a thousand; API, page and command line call it.

Order of refusals (contract.md ruling 2), after the key and the form of the body: replay of an accepted external id,
gate, fields, account, prompts. A refused line leaves nothing behind and never uses up its external id.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import msgspec
from django.utils.translation import gettext as _

from accounts.acceptances import Wanted
from accounts.models import Measure
from core import gates, jsonbody
from core.errors import Conflict, Forbidden, Refusal, field_error
from core.ids import uuid7
from core.options import option
from core.requests import request_id
from core.roles import actor
from core.sql import run
from governance.models import TECHNOLOGIES, Function, Service
from moderation import policy


class SideIn(msgspec.Struct, forbid_unknown_fields=True):
    """One side as it comes in."""

    text: str = ""


class NewsIn(msgspec.Struct, forbid_unknown_fields=True):
    """The declared source of a news item (DS-06b)."""

    source_unit: str = ""
    url: str = ""


class SubmissionIn(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a submission (contract.md)."""

    external_id: str
    user: str
    function: str
    technology: str
    input: SideIn | None = None
    output: SideIn | None = None
    news: NewsIn | None = None
    consent_prompt_acknowledged: bool = False


@dataclass(slots=True)
class Line:
    """One line, read. `problem` is what is wrong with its fields; it is told only after replay and gate were looked
    at (contract.md ruling 2), and then `body` may be missing."""

    external_id: str
    user: str
    digest: str
    body: SubmissionIn | None = None
    problem: Refusal | None = None
    input_file: str | None = None
    output_file: str | None = None


@dataclass(slots=True)
class Taken:
    """What became of a line: accepted now, or accepted before (replayed)."""

    id: UUID
    external_id: str
    state: str
    replayed: bool


@dataclass(slots=True)
class _Context:
    items: dict[str, tuple[UUID, str, str]] = field(default_factory=dict)
    users: dict[str, tuple[UUID, str, str]] = field(default_factory=dict)
    closed: tuple[str, str] | None = None
    limited: dict[UUID, set[str]] = field(default_factory=dict)
    wanted: dict[UUID, Wanted] = field(default_factory=dict)


def read_line(raw: bytes, *, files: dict[str, str] | None = None) -> Line:
    """Read one body; refuses with 400 when it is not one JSON object. `files` maps input_file/output_file to the
    SHA-256 of stored evidence and is part of what "the same body" means (ruling 1)."""
    read, canonical = jsonbody.load_object(raw)
    files = files or {}
    digest = hashlib.sha256(canonical)
    for name in sorted(files):
        digest.update(f"\x00{name}={files[name]}".encode())
    line = Line(
        external_id=_text(read.get("external_id")),
        user=_text(read.get("user")),
        digest=digest.hexdigest(),
        input_file=files.get("input_file"),
        output_file=files.get("output_file"),
    )
    try:
        line.body = msgspec.convert(read, SubmissionIn)
        _check_form(line.body, has_output_file=line.output_file is not None)
    except msgspec.ValidationError as wrong:
        line.problem = _invalid(*_where(str(wrong)))
    except Refusal as refusal:
        line.problem = refusal
    return line


def _text(value: Any) -> str:
    # Only what can be an id may reach the database: a NUL would be an error there, not a refusal.
    return value if isinstance(value, str) and len(value) <= 128 and "\x00" not in value else ""


def _where(message: str) -> tuple[str, str, str]:
    # msgspec: "Expected `str`, got `int` - at `$.input.text`", "Object missing required field `user`",
    # "Object contains unknown field `x`"
    path = ""
    if " - at `$" in message:
        message, path = message.split(" - at `$", 1)
        path = path.rstrip("`").lstrip(".")
    if "`" in message and "field" in message:
        name = message.split("`")[1]
        code = "required" if "missing" in message else "unknown_field"
        detail = _("This field is needed.") if code == "required" else _("This field is not known here.")
        return f"{path}.{name}".lstrip("."), code, detail
    return path or "body", "invalid", _("This field has the wrong type.")


def _invalid(name: str, code: str, detail: str) -> Refusal:
    return Refusal("fields_invalid", _("Some fields can't be taken."), errors=[field_error(name, code, detail)])


def _check_form(body: SubmissionIn, *, has_output_file: bool) -> None:
    for name, value, least, most in (
        ("external_id", body.external_id, 1, 128),
        ("user", body.user, 1, 128),
        ("function", body.function, 1, 50),
        ("news.source_unit", body.news.source_unit if body.news else "", 0, 200),
        ("news.url", body.news.url if body.news else "", 0, 500),
        ("input.text", body.input.text if body.input else "", 0, int(option("max_text"))),
        ("output.text", body.output.text if body.output else "", 0, int(option("max_text"))),
    ):
        if "\x00" in value:
            raise _invalid(name, "nul_character", _("A text may not hold a NUL character."))
        if not least <= len(value) <= most:
            raise _invalid(
                name, "length", _("Between %(least)d and %(most)d characters.") % {"least": least, "most": most}
            )
    if body.technology not in TECHNOLOGIES:
        raise _invalid("technology", "technology_unknown", _("Unknown technology."))
    if not (body.output and body.output.text) and not has_output_file:
        raise _invalid("output", "required", _("There is nothing to release."))


def take(*, service: Service, lines: Sequence[Line], by: Any) -> list[Taken | Refusal]:
    """Take lines in for one service, in order; each gets its own answer. The lines that are accepted are stored with
    their jobs and ledger lines in one statement, so that they exist together or not at all."""
    context = _context(service, lines)
    functions = functions_of(service)
    answers: list[Taken | Refusal | None] = []
    rows: dict[str, tuple[int, dict[str, Any]]] = {}
    for position, line in enumerate(lines):
        external_id = line.external_id
        if external_id in rows:
            # The same id twice in one batch: the first wins, the second is a replay of it or a conflict.
            first = rows[external_id][1]
            answers.append(_replay(first["id"], "screening", first["digest"], line))
            continue
        try:
            earlier = context.items.get(external_id)
            if earlier:
                answers.append(_replay(earlier[0], earlier[1], earlier[2], line))
                continue
            body, function, user_id = _admit(line, context, functions)
        except Refusal as refusal:
            answers.append(refusal)
            continue
        declared: dict[str, Any] = {"consent_prompt_acknowledged": body.consent_prompt_acknowledged}
        if body.news:
            declared["news"] = {"source_unit": body.news.source_unit, "url": body.news.url}
        rows[external_id] = (
            position,
            {
                "id": uuid7(),
                "user_id": user_id,
                "function_id": function.pk,
                "external_id": external_id,
                "technology": body.technology,
                "digest": line.digest,
                "declared": declared,
                "input_text": body.input.text if body.input else "",
                "output_text": body.output.text if body.output else "",
                "input_file": line.input_file,
                "output_file": line.output_file,
            },
        )
        answers.append(None)
    if rows:
        stored = _store(service, [row for _position, row in rows.values()], by)
        for external_id, (position, row) in rows.items():
            if row["id"] in stored:
                answers[position] = Taken(row["id"], external_id, "screening", False)
        if missing := [p for p, answer in enumerate(answers) if answer is None]:
            # Another request took these external ids between our look and our insert: what it stored decides.
            again = _context(service, [lines[p] for p in missing])
            for position in missing:
                earlier = again.items[lines[position].external_id]
                answers[position] = _replay(*earlier, lines[position])
    return [answer for answer in answers if answer is not None]


def _replay(existing: UUID, state: str, digest: str, line: Line) -> Taken | Refusal:
    if digest == line.digest:
        return Taken(existing, line.external_id, state, True)
    return Conflict(
        "external_id_taken",
        _("Another body was accepted under this external_id."),
        extra={"existing_id": str(existing)},
    )


def _admit(line: Line, context: _Context, functions: dict[str, Function]) -> tuple[SubmissionIn, Function, UUID]:
    if context.closed:
        raise gates.gate_closed(*context.closed)
    body = line.body
    if line.problem or body is None:
        raise line.problem or _invalid("body", "invalid", _("This body can't be taken."))
    function = functions.get(body.function)
    if function is None:
        raise _invalid("function", "function_unknown", _("This service has no such function."))
    if body.technology not in function.technologies:
        raise _invalid("technology", "technology_not_of_function", _("This function doesn't use this technology."))
    user = context.users.get(body.user)
    if user is None:
        raise _invalid("user", "user_unknown", _("This user was never registered."))
    user_id, identity_status, account_status = user
    limited, wanted = context.limited.get(user_id, set()), context.wanted.get(user_id)
    refuse_unless_allowed(identity_status, account_status, body.function, limited, wanted)
    if function.edits_biometrics and not body.consent_prompt_acknowledged:
        raise Refusal(
            "consent_prompt_required",
            _("The user must first be prompted to get the edited person's separate consent."),
            errors=[field_error("consent_prompt_acknowledged", "required", _("Must be true."))],
        )
    if body.news is not None and not (body.news.source_unit.strip() and body.news.url.strip()):
        raise Refusal(
            "news_source_required",
            _("News needs its source unit and address."),
            errors=[field_error("news", "required", _("Name the source unit and its address."))],
        )
    return body, function, user_id


def refuse_unless_allowed(
    identity_status: str, account_status: str, function: str, limited: set[str], wanted: Wanted | None = None
) -> None:
    """DS-09b, DS-10e, DS-08b: refuse with 403 unless this account may publish through this function now. `wanted` is a
    document that its user must accept first."""
    if account_status == "suspended":
        raise Forbidden("account_suspended", _("This account is suspended."))
    if account_status == "closed":
        raise Forbidden("account_closed", _("This account is closed."))
    if function in limited:
        raise Forbidden("function_limited", _("This function is limited for this account."))
    if identity_status != "verified":
        raise Forbidden("identity_not_verified", _("This user's real identity is not verified."))
    if wanted:
        raise Forbidden(
            "acceptance_required", _("This user must first accept the current terms."), extra=wanted._asdict()
        )


def _context(service: Service, lines: Sequence[Line]) -> _Context:
    found = _Context()
    wanted = {
        "service": service.pk,
        "external_ids": [line.external_id for line in lines],
        "users": list({line.user for line in lines}),
    }
    for what, key, pk, one, two in run("moderation/intake_context", wanted):
        if what == "item":
            found.items[key] = (pk, one, two)
        elif what == "user":
            found.users[key] = (pk, one, two)
        elif what == "gate":
            found.closed = (key, one)
        else:
            found.wanted[pk] = min(found.wanted.get(pk, Wanted(key, int(one))), Wanted(key, int(one)))
    found.limited = limited_functions([pk for pk, _i, status in found.users.values() if status == "limited"])
    return found


def limited_functions(user_ids: Sequence[UUID]) -> dict[UUID, set[str]]:
    """The functions that limits in force take from these users; no query for none."""
    limited: dict[UUID, set[str]] = {}
    if user_ids:
        for user_id, functions in Measure.objects.filter(
            user_id__in=user_ids, kind="limit", state="in_force"
        ).values_list("user_id", "functions"):
            limited.setdefault(user_id, set()).update(functions)
    return limited


def _store(service: Service, rows: list[dict[str, Any]], by: Any) -> set[UUID]:
    stored = run(
        "moderation/take_submissions",
        {
            "rows": jsonbody.encode(rows).decode(),
            "service": service.pk,
            "policy": policy.live_number(),
            "actor": actor(by),
            "request_id": request_id(),
        },
    )
    return {row[0] for row in stored}


_functions: dict[UUID, tuple[float, dict[str, Function]]] = {}


def functions_of(service: Service) -> dict[str, Function]:
    """The live functions of a service by code; read at most every two seconds per process."""
    known = _functions.get(service.pk)
    if known is None or known[0] < time.monotonic():
        live = {f.code: f for f in Function.objects.filter(service_id=service.pk, live=True)}
        known = _functions[service.pk] = (time.monotonic() + 2.0, live)
    return known[1]


def forget() -> None:
    """Drop what this process remembers of functions and the live policy."""
    _functions.clear()
    policy.forget()
