"""Appeals handed in by a program: with the token of a notice and no key, or with a key for a user of its service."""

from __future__ import annotations

from datetime import UTC
from typing import Any

import msgspec
from django.http import HttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import NotAuthenticated

from accounts import appeals, attempts, notices, users
from accounts.api.reading import invalid, read_body, respond
from accounts.keys import HasScope, require_scope
from accounts.models import Appeal, Measure, Notice
from core.api import ApiView
from core.errors import NotFound
from core.ids import parse_uuid
from core.requests import client_address


class AppealIn(msgspec.Struct, forbid_unknown_fields=True):
    """The body of an appeal: `token`, or `measure` and `user`."""

    statement: str
    token: str = ""
    measure: str = ""
    user: str = ""


class KeyOrNothing(HasScope):
    """Lets in who sends no key at all: the body then needs the token of a notice. A wrong key is refused as ever."""

    def has_permission(self, request: Any, view: Any) -> bool:
        return request.user is None or super().has_permission(request, view)


class AppealsView(ApiView):
    """Appeals against measures."""

    scopes_after_body = {"POST": "users:write"}
    permission_classes = [KeyOrNothing]
    http_method_names = ["post"]

    @extend_schema(
        operation_id="file_appeal",
        request={
            "application/json": {
                "type": "object",
                "required": ["statement"],
                "additionalProperties": False,
                "properties": {
                    "statement": {"type": "string", "minLength": 1, "maxLength": appeals.LONGEST},
                    "token": {
                        "type": "string",
                        "maxLength": 500,
                        "description": "The last part of a notice's status_url; needs no key.",
                    },
                    "measure": {"type": "string", "format": "uuid", "description": "With a key: the measure's id."},
                    "user": {"type": "string", "maxLength": 128, "description": "With a key: its user's external_id."},
                },
            }
        },
        responses={
            code: {
                "type": "object",
                "properties": {
                    "number": {"type": "string"},
                    "due_at": {"type": "string", "format": "date-time"},
                    "status_url": {"type": "string"},
                },
            }
            for code in (200, 201)
        },
    )
    def post(self, request: Any) -> HttpResponse:
        """File an appeal: 201, or 200 with the one that is open already. 409 `appeal_too_late` after the limit, 409
        `appeal_decided` once one was decided; suspended and closed users can appeal."""
        body, problem = read_body(request._request, AppealIn, longest=appeals.LONGEST)
        by_token = body is not None and bool(body.token)
        if request.user is None and body is not None and not by_token:
            raise NotAuthenticated()
        caller = None if by_token or request.user is None else require_scope(request, self)
        if problem:
            raise problem
        if caller is None:
            measure = _behind(body.token)
            by: Any = f"user:{measure.user_id}"
            attempts.for_appeal(address=client_address(request._request), measure_id=measure.pk)
        else:
            measure, by = _measure(body, caller), caller
        appeal, created = appeals.file(measure=measure, statement=body.statement, by=by)
        return respond(_told(appeal, request), 201 if created else 200)


def _behind(token: str) -> Measure:
    notice = notices.behind(token)
    if notice is None or notice.measure is None:
        raise NotFound("not_found", _("There is no such notice."))
    return notice.measure


def _measure(body: AppealIn, caller: Any) -> Measure:
    pk = parse_uuid(body.measure)
    if pk is None:
        raise invalid("measure", "invalid" if body.measure else "required", _("The id of a measure is needed."))
    if not body.user:
        raise invalid("user", "required", _("The user's external_id is needed."))
    user = users.find(service=caller.service, external_id=body.user)
    measure = user.measures.filter(pk=pk).first()
    if measure is None:
        raise NotFound("not_found", _("There is no such measure."))
    return measure


def _told(appeal: Appeal, request: Any) -> dict[str, Any]:
    # The receipt's page: filing has just made it, or an earlier filing had.
    receipt = Notice.objects.filter(measure_id=appeal.measure_id, kind="appeal_received").latest("created_at")
    return {
        "number": appeal.number,
        "due_at": appeal.due_at.astimezone(UTC),
        "status_url": notices.status_url(receipt, request._request),
    }
