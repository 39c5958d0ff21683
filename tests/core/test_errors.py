"""Refusals and problem+json (RFC 9457)."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from django.core.exceptions import PermissionDenied
from django.db import DataError, InterfaceError, OperationalError
from django.http import Http404
from django.utils.translation import gettext_lazy
from rest_framework import exceptions

from core import problems
from core.errors import Conflict, Forbidden, NotFound, Refusal, field_error

REQUEST = SimpleNamespace(path="/api/v1/users")


def answered(exc):
    response = problems.exception_handler(exc, {"request": REQUEST})
    assert response["Content-Type"] == "application/problem+json"
    document = json.loads(response.content)
    assert document["status"] == response.status_code
    assert document["type"] == f"urn:mingjian:problem:{document['code']}"
    assert document["title"] and document["detail"]
    return response, document


@pytest.mark.parametrize(
    ("refusal", "status"),
    [
        (Refusal("c", "d"), 422),
        (Forbidden("c", "d"), 403),
        (NotFound("c", "d"), 404),
        (Conflict("c", "d"), 409),
        (Refusal("c", "d", status=413), 413),
    ],
)
def test_a_refusal_is_answered_with_its_status_code_and_sentence(refusal, status):
    response, document = answered(refusal)
    assert (response.status_code, document["code"], document["detail"]) == (status, "c", "d")


def test_a_refusal_names_fields_extra_members_and_when_to_come_back():
    response, document = answered(
        Refusal(
            "gate_closed", gettext_lazy("Closed"), status=503, retry_after=300, extra={"directive": "令1号"},
            errors=[field_error("number", "check_digit", gettext_lazy("Wrong"))],
        )
    )  # fmt: skip
    assert response["Retry-After"] == "300" and document["directive"] == "令1号"
    assert [(e["field"], e["code"]) for e in document["errors"]] == [("number", "check_digit")]
    assert all(isinstance(e["detail"], str) for e in document["errors"])


@pytest.mark.parametrize(
    ("exc", "status", "code"),
    [
        (Http404(), 404, "not_found"),
        (PermissionDenied(), 403, "scope_missing"),
        (exceptions.NotAuthenticated(), 401, "not_authenticated"),
        (exceptions.AuthenticationFailed(), 401, "not_authenticated"),
        (exceptions.MethodNotAllowed("PUT"), 405, "method_not_allowed"),
        (exceptions.UnsupportedMediaType("x"), 415, "unsupported_media_type"),
        (exceptions.ParseError(), 400, "malformed"),
        (OperationalError("server closed"), 503, "database_unavailable"),
        (InterfaceError("closed"), 503, "database_unavailable"),
        (ValueError("x"), 500, "internal_error"),
    ],
)
def test_whatever_escapes_has_its_answer(exc, status, code):
    response, document = answered(exc)
    assert (response.status_code, document["code"]) == (status, code)
    if status == 401:
        assert response["WWW-Authenticate"] == "Bearer"
    if status == 503:
        assert "Retry-After" in response


def test_the_text_of_an_unexpected_error_stays_inside():
    """A database error quotes the row (security.md, finding 9)."""
    secret = "Key (number)=(110101190001029823) already exists"
    for exc in (DataError(secret), RuntimeError(secret), OperationalError(secret)):
        response, _document = answered(exc)
        assert b"110101" not in response.content


def test_a_refusal_that_no_page_caught_is_a_page_with_an_alert(world, login, monkeypatch):
    from core import webhooks

    endpoint, _secret = webhooks.register_endpoint(service_id=world.service.pk, url="https://e.cn/", by=world.fang)

    def refuse(**given):
        raise Conflict("busy", "nothing was changed <b>")

    monkeypatch.setattr(webhooks, "remove_endpoint", refuse)
    answer = login("fang").post(f"/staff/webhooks/{endpoint.pk}/remove/")
    text = answer.content.decode()
    assert answer.status_code == 409 and 'role="alert"' in text and "nothing was changed &lt;b&gt;" in text
