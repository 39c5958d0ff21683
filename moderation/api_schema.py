"""The shapes of the submissions API for its OpenAPI description."""

from __future__ import annotations

from typing import Any

from governance.models import TECHNOLOGIES

_TEXT: dict[str, Any] = {"type": "string"}
_SIDE: dict[str, Any] = {"type": "object", "properties": {"text": _TEXT}, "additionalProperties": False}
_STATE: dict[str, Any] = {"type": "string", "enum": ["screening", "in_review", "released", "blocked", "withdrawn"]}

SUBMISSION_IN: dict[str, Any] = {
    "type": "object",
    "required": ["external_id", "user", "function", "technology", "output"],
    "additionalProperties": False,
    "properties": {
        "external_id": {"type": "string", "minLength": 1, "maxLength": 128},
        "user": {"type": "string", "minLength": 1, "maxLength": 128, "description": "The user's external_id."},
        "function": {"type": "string", "minLength": 1, "maxLength": 50},
        "technology": {"type": "string", "enum": list(TECHNOLOGIES)},
        "input": _SIDE,
        "output": _SIDE,
        "news": {
            "type": "object",
            "properties": {"source_unit": _TEXT, "url": _TEXT},
            "additionalProperties": False,
        },
        "consent_prompt_acknowledged": {"type": "boolean"},
    },
}
TAKEN: dict[str, Any] = {
    "type": "object",
    "required": ["id", "external_id", "state"],
    "properties": {"id": {"type": "string", "format": "uuid"}, "external_id": _TEXT, "state": _STATE},
}
SUBMISSION: dict[str, Any] = {
    "type": "object",
    "required": ["id", "external_id", "state", "reasons", "findings", "policy_version"],
    "properties": {
        **TAKEN["properties"],
        "disposition": {"type": ["string", "null"], "enum": ["release", "review", "block", None]},
        "reasons": {"type": "array", "items": {"type": "object"}},
        "findings": {"type": "array", "items": {"type": "object"}},
        "policy_version": {"type": "integer"},
        "library_version": {"type": ["integer", "null"]},
        "label": {"type": ["object", "null"]},
        "created_at": {"type": "string", "format": "date-time"},
        "decided_at": {"type": ["string", "null"], "format": "date-time"},
        "decided_by": {"type": ["string", "null"], "enum": ["policy", "staff", None]},
    },
}
CONTENT: dict[str, Any] = {
    "type": "object",
    "required": ["id", "text", "AIGC"],
    "properties": {"id": _TEXT, "external_id": _TEXT, "text": _TEXT, "AIGC": {"type": "object"}},
}
BATCH_ANSWER: dict[str, Any] = {"type": "string", "description": "application/x-ndjson, one result object a line."}
