"""Texts as people type them: one kind of line end, no control characters, not empty where something must be said."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from django.utils.translation import gettext_lazy as _

from core.errors import Refusal, field_error
from rumors.models import TEXT_LIMIT

# Control characters but tab and line feed, lone surrogates and noncharacters: XML (the feed) and PostgreSQL take none.
_UNFIT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def clean(text: str) -> str:
    """The text with plain line ends and without what no page, feed or database can carry."""
    return _UNFIT.sub("", text.replace("\r\n", "\n").replace("\r", "\n")).strip()


def required(field: str, text: str, *, most: int = TEXT_LIMIT) -> str:
    """The cleaned text; refuses when nothing is left or it is too long."""
    said = optional(field, text, most=most)
    if not said:
        raise invalid(field, "required", _("Fill this in."))
    return said


def optional(field: str, text: str, *, most: int = TEXT_LIMIT) -> str:
    """The cleaned text, which may be empty; refuses when it is too long."""
    said = clean(text)
    if len(said) > most:
        raise invalid(field, "length", _("At most %(most)d characters.") % {"most": most})
    return said


def web_address(field: str, url: str) -> str:
    """A cleaned http(s) address or nothing; refuses anything else, since it will be a link."""
    said = optional(field, url, most=1000)
    if said:
        try:
            parts = urlsplit(said)
            good = parts.scheme in ("http", "https") and bool(parts.hostname) and " " not in said
        except ValueError:
            good = False
        if not good:
            raise invalid(field, "invalid", _("Give a full web address that begins with http:// or https://."))
    return said


def invalid(field: str, code: str, detail: Any) -> Refusal:
    """The refusal of one field."""
    return Refusal("fields_invalid", _("Some fields can't be taken."), errors=[field_error(field, code, detail)])
