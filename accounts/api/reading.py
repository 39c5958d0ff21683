"""How the API of accounts reads bodies and answers."""

from __future__ import annotations

from typing import Any

import msgspec
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from core import jsonbody
from core.errors import Refusal, field_error
from core.requests import body_limit

MAX_BODY = 2 * 1024 * 1024


def respond(document: Any, status: int = 200) -> HttpResponse:
    """A JSON answer."""
    return HttpResponse(jsonbody.encode(document), status=status, content_type="application/json")


def read_body(request: HttpRequest, shape: Any, *, longest: int = 200) -> tuple[Any, Refusal | None]:
    """The body as a struct, and what is wrong with its fields: told by the caller after the scope was asked. Refuses
    with 413, 415 or 400 at once."""
    if request.META.get("CONTENT_TYPE", "").split(";", 1)[0].strip().lower() != "application/json":
        raise Refusal("unsupported_media_type", _("This content type isn't taken here."), status=415)
    read, _canonical = jsonbody.load_object(body_limit(request, MAX_BODY))
    try:
        body = msgspec.convert(read, shape)
    except msgspec.ValidationError as wrong:
        name, code = _where(str(wrong))
        return None, invalid(name, code, _("This field is missing, unknown or of the wrong type."))
    for name in shape.__struct_fields__:
        value = getattr(body, name)
        if isinstance(value, str):
            if "\x00" in value:
                return None, invalid(name, "nul_character", _("A text may not hold a NUL character."))
            if len(value) > (500 if name in ("url", "token") else longest):
                return None, invalid(name, "length", _("This text is too long."))
    return body, None


def _where(message: str) -> tuple[str, str]:
    if " - at `$" in message:
        return message.split(" - at `$", 1)[1].rstrip("`").lstrip(".") or "body", "invalid"
    name = message.split("`")[1] if "`" in message else "body"
    return name, "required" if "missing" in message else "unknown_field" if "unknown" in message else "invalid"


def invalid(name: str, code: str, detail: str) -> Refusal:
    """The 422 that names one field."""
    return Refusal("fields_invalid", _("Some fields can't be taken."), errors=[field_error(name, code, detail)])
