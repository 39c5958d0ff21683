"""Content credentials (C2PA), read and never fetched (M5). Runs in the box, which has no network either.

c2pa's old `load_settings` is ignored for this; only a Context with its own settings keeps it from fetching."""

from __future__ import annotations

import io
import json
from typing import IO, Any

import c2pa

FETCH_OFF = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}
MOST_ITEMS = 20
_LONGEST = 300
# c2pa is called back for every read, by code that is written when the callback is made. In the box no memory can be made
# executable any more; the first callbacks, made before, leave room for those that follow.
_ROOM = c2pa.Stream(io.BytesIO())


def context() -> c2pa.Context:
    """Settings under which nothing is fetched."""
    return c2pa.Context(settings=c2pa.Settings.from_dict(FETCH_OFF))


def read(opened: IO[bytes], media_type: str, flags: list[str]) -> dict[str, Any] | None:
    """A short account of the manifest, or None if there is none. What can't be read adds `credentials_unreadable`, a
    manifest that lies elsewhere `remote_manifest_not_fetched`."""
    opened.seek(0)
    try:
        with context() as quiet:
            reader = c2pa.Reader.try_create(media_type, opened, context=quiet)
            if reader is None:
                return None
            with reader:
                said = json.loads(reader.json())
                remote = reader.get_remote_url()
    except Exception as exc:  # the picture is decoded already, and only its credentials are lost; c2pa has an exception for each of its errors, and ctypes has its own
        elsewhere = "emote" in type(exc).__name__ + str(exc)
        flags.append("remote_manifest_not_fetched" if elsewhere else "credentials_unreadable")
        return None if elsewhere else {"error": type(exc).__name__}
    if remote:
        flags.append("remote_manifest_not_fetched")
    return _account(said)


def _account(said: dict[str, Any]) -> dict[str, Any]:
    manifests = _dict(said.get("manifests"))
    active = _dict(manifests.get(str(said.get("active_manifest"))))
    signature = _dict(active.get("signature_info"))
    statuses = [_text(_dict(one).get("code")) for one in _list(said.get("validation_status"))]
    return {
        "state": _text(said.get("validation_state")),
        "problems": statuses,
        "title": _text(active.get("title")),
        "made_with": [_text(_dict(one).get("name")) for one in _list(active.get("claim_generator_info"))]
        or [_text(active.get("claim_generator"))],
        "issuer": _text(signature.get("issuer")),
        "signed_at": _text(signature.get("time")),
        "manifests": len(manifests),
        "ingredients": [_text(_dict(one).get("title")) for one in _list(active.get("ingredients"))],
        "actions": _actions(active),
    }


def _actions(active: dict[str, Any]) -> list[dict[str, str]]:
    found = []
    for assertion in _list(active.get("assertions")):
        if str(_dict(assertion).get("label", "")).startswith("c2pa.actions"):
            for action in _list(_dict(_dict(assertion).get("data")).get("actions")):
                source = _text(_dict(action).get("digitalSourceType"))
                found.append({"action": _text(_dict(action).get("action")), "source": source})
    return found[:MOST_ITEMS]


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value[:MOST_ITEMS] if isinstance(value, list) else []


def _text(value: Any) -> str:
    return str(value)[:_LONGEST] if value is not None else ""
