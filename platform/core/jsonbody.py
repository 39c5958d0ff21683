"""One JSON loader for everything that comes in, so that no two places read the same bytes differently (ASVS 1.5.3)."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from django.utils.translation import gettext_lazy as _

from core.errors import Refusal

MAX_DEPTH = 32
_encoder = msgspec.json.Encoder()


class Malformed(Refusal):
    """The body is not the JSON we take."""

    status = 400


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) != len(pairs):
        raise Malformed("duplicate_key", _("An object has the same key twice."))
    return read


def _no_constant(name: str) -> None:
    raise Malformed("malformed_json", _("NaN and Infinity aren't JSON."))


_decoder = json.JSONDecoder(object_pairs_hook=_pairs, parse_constant=_no_constant)
_canonical = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)


def load_object(raw: bytes) -> tuple[dict[str, Any], bytes]:
    """Read one JSON object; returns it with its canonical bytes (sorted keys, no insignificant space, UTF-8).

    Raises Malformed (400) for anything but one object: wrong encoding, a byte-order mark, duplicate keys, NaN, a number
    beyond double range, a lone surrogate, or nesting deeper than MAX_DEPTH.
    """
    # Counting brackets first keeps hostile nesting away from the recursive decoder; text may hold brackets too, so only
    # a count over the limit is looked at closely.
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH and _depth(raw) > MAX_DEPTH:
        raise Malformed("too_deep", _("The body is nested too deeply."))
    try:
        read = _decoder.decode(raw.decode("utf-8"))
    except UnicodeDecodeError:
        raise Malformed("not_utf8", _("The body isn't UTF-8.")) from None
    except (ValueError, RecursionError):
        raise Malformed("malformed_json", _("The body isn't JSON.")) from None
    if not isinstance(read, dict):
        raise Malformed("not_an_object", _("The body must be one JSON object."))
    try:
        return read, _canonical.encode(read).encode("utf-8")
    except UnicodeEncodeError:
        raise Malformed("lone_surrogate", _("A text holds half of a surrogate pair.")) from None
    except ValueError:
        raise Malformed("malformed_json", _("A number is out of range.")) from None


def _depth(raw: bytes) -> int:
    deepest = depth = 0
    in_text = escaped = False
    for byte in raw:
        if in_text:
            if escaped:
                escaped = False
            elif byte == 0x5C:
                escaped = True
            elif byte == 0x22:
                in_text = False
        elif byte == 0x22:
            in_text = True
        elif byte in b"[{":
            depth += 1
            if depth > deepest:
                deepest = depth
                if deepest > MAX_DEPTH:
                    return deepest
        elif byte in b"]}":
            depth -= 1
    return deepest


def encode(value: Any) -> bytes:
    """Compact JSON bytes; knows UUIDs and times."""
    return _encoder.encode(value)
