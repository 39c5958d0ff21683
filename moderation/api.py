"""The REST API of submissions. Views parse, call one command and render."""

from __future__ import annotations

import re
import threading
import time
from datetime import datetime
from typing import Any

from django.core.files.uploadedfile import UploadedFile
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.http.multipartparser import MultiPartParserError
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, extend_schema

from accounts.keys import require_scope
from core import evidence, jsonbody
from core.api import ApiView
from core.errors import Refusal, field_error
from core.ids import parse_uuid
from core.mediabox import formats
from core.options import option
from core.problems import refusal_document
from core.requests import body_limit
from moderation import intake, submissions
from moderation.api_schema import BATCH_ANSWER, CONTENT, SUBMISSION, SUBMISSION_IN, TAKEN
from moderation.models import Submission

MAX_BODY = 2 * 1024 * 1024
MAX_BATCH = 64 * 1024 * 1024
MAX_LINES = 1_000
MAX_FILE = 20 * 1024 * 1024
_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,4})\"?", re.IGNORECASE)
# Callers that wait hold a thread of the server each; past this many per process an answer is 202 at once.
_waiting = threading.BoundedSemaphore(4)


def _respond(document: Any, status: int = 200) -> HttpResponse:
    return HttpResponse(jsonbody.encode(document), status=status, content_type="application/json")


def _content_type(request: HttpRequest) -> str:
    return request.META.get("CONTENT_TYPE", "").split(";", 1)[0].strip().lower()


def _wrong_type() -> Refusal:
    return Refusal("unsupported_media_type", _("This content type isn't taken here."), status=415)


class SubmissionsView(ApiView):
    """Hand in one item, or list what was handed in."""

    scopes = {"GET": "submissions:read"}
    scopes_after_body = {"POST": "submissions:write"}
    http_method_names = ["get", "post"]

    @extend_schema(
        operation_id="submit",
        request={"application/json": SUBMISSION_IN},
        responses={200: SUBMISSION, 202: TAKEN},
        parameters=[
            OpenApiParameter("Prefer", str, "header", description="wait=N: answer with the verdict if known in N s")
        ],
    )
    def post(self, request: Any) -> HttpResponse:
        """Hand in one input with its output for release."""
        plain = request._request
        kind = _content_type(plain)
        if kind == "application/json":
            line = intake.read_line(body_limit(plain, MAX_BODY))
            caller = require_scope(request, self)
        elif kind == "multipart/form-data":
            raw, uploads = _parts(plain)
            jsonbody.load_object(raw)
            caller = require_scope(request, self)
            line = intake.read_line(raw, files=_stored(uploads))
        else:
            raise _wrong_type()
        answer = intake.take(service=caller.service, lines=[line], by=caller)[0]
        if isinstance(answer, Refusal):
            raise answer
        seconds = min(_wanted_wait(plain), option("wait_limit"))
        if answer.replayed or (seconds and _wait_for_verdict(answer, seconds)):
            return _respond(
                submissions.representation(submissions.find(service=caller.service, submission_id=answer.id))
            )
        return _respond({"id": str(answer.id), "external_id": answer.external_id, "state": answer.state}, 202)

    @extend_schema(
        operation_id="list_submissions",
        parameters=[
            OpenApiParameter("state", str, enum=["screening", "in_review", "released", "blocked", "withdrawn"]),
            OpenApiParameter("since", datetime),
            OpenApiParameter("cursor", str),
        ],
        responses={200: {"type": "object"}},
    )
    def get(self, request: Any) -> HttpResponse:
        """Newest first, 50 a page; `next` is the cursor of the page after."""
        query = request._request.GET
        rows = Submission.objects.filter(service=request.user.service).select_related("user", "function")
        if state := query.get("state"):
            if state not in ("screening", "in_review", "released", "blocked", "withdrawn"):
                raise _bad_parameter("state")
            rows = submissions.in_state(rows, state)
        if since := query.get("since"):
            try:
                at = parse_datetime(since)
            except ValueError:
                at = None
            if at is None or at.tzinfo is None:
                raise _bad_parameter("since")
            rows = rows.filter(created_at__gte=at)
        if cursor := query.get("cursor"):
            before = parse_uuid(cursor)
            if before is None:
                raise _bad_parameter("cursor")
            rows = rows.filter(pk__lt=before)
        found = list(rows.order_by("-pk")[:51])
        return _respond(
            {
                "results": [submissions.representation(item) for item in found[:50]],
                "next": str(found[49].pk) if len(found) > 50 else None,
            }
        )


class BatchView(ApiView):
    """Hand in up to 1,000 items, one JSON object a line."""

    scopes_after_body = {"POST": "submissions:write"}
    http_method_names = ["post"]

    @extend_schema(
        operation_id="submit_batch", request={"application/x-ndjson": {"type": "string"}}, responses={200: BATCH_ANSWER}
    )
    def post(self, request: Any) -> HttpResponse:
        """Each line gets its own answer, in order; a bad line never spoils the others."""
        plain = request._request
        if _content_type(plain) not in ("application/x-ndjson", "application/jsonl", "application/ndjson"):
            raise _wrong_type()
        raw_lines = body_limit(plain, MAX_BATCH).split(b"\n")
        numbered = [(number, raw) for number, raw in enumerate(raw_lines, 1) if raw.strip()]
        if len(numbered) > MAX_LINES:
            raise Refusal(
                "too_many_lines", _("A batch has at most 1,000 lines."), status=413, extra={"limit": MAX_LINES}
            )
        caller = require_scope(request, self)
        answers: dict[int, dict[str, Any]] = {}
        read: list[tuple[int, intake.Line]] = []
        for number, raw in numbered:
            try:
                if len(raw) > MAX_BODY:
                    raise Refusal("too_large", _("The line is too large."), status=413, extra={"limit": MAX_BODY})
                read.append((number, intake.read_line(raw)))
            except Refusal as refusal:
                answers[number] = {"line": number, "status": refusal.status, "problem": refusal_document(refusal)}
        taken = intake.take(service=caller.service, lines=[line for _number, line in read], by=caller) if read else []
        for (number, line), answer in zip(read, taken, strict=True):
            if isinstance(answer, Refusal):
                answers[number] = {
                    "line": number,
                    "status": answer.status,
                    "external_id": line.external_id,
                    "problem": refusal_document(answer),
                }
            else:
                answers[number] = {
                    "line": number,
                    "status": 200 if answer.replayed else 202,
                    "external_id": answer.external_id,
                    "id": str(answer.id),
                    "state": answer.state,
                }
        body = b"".join(jsonbody.encode(answers[number]) + b"\n" for number, _raw in numbered)
        return HttpResponse(body, content_type="application/x-ndjson")


class SubmissionView(ApiView):
    """One item."""

    scopes = {"GET": "submissions:read"}
    http_method_names = ["get"]

    @extend_schema(operation_id="get_submission", responses={200: SUBMISSION})
    def get(self, request: Any, pk: str) -> HttpResponse:
        """Its state, what was found and what was decided."""
        item = submissions.find(service=request.user.service, submission_id=parse_uuid(pk))
        return _respond(submissions.representation(item))


class ContentView(ApiView):
    """The labelled output of a released item."""

    scopes = {"GET": "submissions:read"}
    http_method_names = ["get"]

    @extend_schema(operation_id="get_content", responses={200: CONTENT})
    def get(self, request: Any, pk: str) -> HttpResponse:
        """409 unless released."""
        item = submissions.find(service=request.user.service, submission_id=parse_uuid(pk))
        return _respond(submissions.released_text(item))


def _wanted_wait(request: HttpRequest) -> float:
    match = _WAIT.search(request.META.get("HTTP_PREFER", ""))
    return float(match[1]) if match else 0.0


def _wait_for_verdict(taken: intake.Taken, seconds: float) -> bool:
    if not _waiting.acquire(blocking=False):
        return False
    try:
        until = time.monotonic() + seconds
        pause = 0.004
        with connection.cursor() as cursor:
            while True:
                time.sleep(pause)  # the worker is another process; the row is where they meet
                cursor.execute("SELECT state FROM moderation_submission WHERE id = %s", [taken.id])
                if cursor.fetchone()[0] != "screening":
                    return True
                if time.monotonic() >= until:
                    return False
                pause = min(0.05, pause * 1.3)
    finally:
        _waiting.release()


def _parts(request: HttpRequest) -> tuple[bytes, dict[str, UploadedFile]]:
    declared = request.META.get("CONTENT_LENGTH") or ""
    if not declared.isdigit() or int(declared) > 2 * MAX_FILE + MAX_BODY:
        raise Refusal("too_large", _("The body is too large."), status=413, extra={"limit": 2 * MAX_FILE})
    try:
        posted, files = request.POST, request.FILES
    except (MultiPartParserError, ValueError):
        raise Refusal("malformed_multipart", _("The body isn't multipart/form-data."), status=400) from None
    meta = posted.get("meta") if "meta" in posted else None
    if meta is None and "meta" in files:
        uploaded = _one(files["meta"])
        if (uploaded.size or 0) > MAX_BODY:
            raise Refusal("too_large", _("The body is too large."), status=413, extra={"limit": MAX_BODY})
        raw = uploaded.read()
    elif meta is None:
        raise Refusal("malformed_multipart", _("The part “meta” is missing."), status=400)
    else:
        raw = meta.encode("utf-8", "surrogatepass")
    uploads = {name: _one(files[name]) for name in ("input_file", "output_file") if name in files}
    for name, uploaded in uploads.items():
        if (uploaded.size or 0) > MAX_FILE:
            raise Refusal(
                "too_large",
                _("The file is too large."),
                status=413,
                errors=[field_error(name, "too_large", _("The file is too large."))],
                extra={"limit": MAX_FILE},
            )
        if (uploaded.content_type or "").split("/")[0] not in ("image", "audio", "video"):
            raise _wrong_type()
        # What it is called proves nothing: files of kinds that the box would turn away are turned away at the door.
        head = uploaded.read(formats.HEAD)
        uploaded.seek(0)
        if isinstance(formats.recognise(head), str):
            raise _wrong_type()
    return raw, uploads


def _one(uploaded: Any) -> UploadedFile:
    return uploaded


def _stored(uploads: dict[str, UploadedFile]) -> dict[str, str]:
    return {
        name: evidence.store(
            uploaded.chunks(), media_type=uploaded.content_type or "application/octet-stream", limit=MAX_FILE
        ).sha256
        for name, uploaded in uploads.items()
    }


def _bad_parameter(name: str) -> Refusal:
    return Refusal(
        "parameter_invalid",
        _("This parameter can't be understood."),
        status=400,
        errors=[field_error(name, "invalid", _("This parameter can't be understood."))],
    )
