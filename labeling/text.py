"""Labels of text: the explicit notice and the implicit seven fields, written and read back (DS-16a, DS-17a, LB-04a,
LB-05; GB 45438-2025 5.1 and Annex E)."""

from __future__ import annotations

import re
from typing import Any

NOTICE = "本内容由人工智能生成"
SEPARATOR = "\n"
KEYS = (
    "Label",
    "ContentProducer",
    "ProduceID",
    "ReservedCode1",
    "ContentPropagator",
    "PropagateID",
    "ReservedCode2",
)
_ALLOWED = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]*\Z")  # Annex E j: no space, quote, backslash or multibyte


class NotLabelled(Exception):
    """The label that was written does not read back as required; the content must not be released."""


def producer_code(uscc: str) -> str:
    """The 27-character code of an organisation bound by its USCC, without service extension (TC260-PG-20252A)."""
    return f"0011{uscc}00000"


def implicit_label(*, producer: str, content_number: str) -> dict[str, str]:
    """The seven fields on first write: the propagator equals the producer (Annex E note 1)."""
    return {
        "Label": "1",
        "ContentProducer": producer,
        "ProduceID": content_number,
        "ReservedCode1": "",
        "ContentPropagator": producer,
        "PropagateID": content_number,
        "ReservedCode2": "",
    }


def label(text: str, *, producer: str, content_number: str, explicit: bool) -> dict[str, Any]:
    """The label record of a text that is about to be released. Raises NotLabelled unless the labelled text and the
    seven fields read back."""
    record: dict[str, Any] = {
        "implicit": implicit_label(producer=producer, content_number=content_number),
        "explicit": {"text": NOTICE, "position": "start"} if explicit else None,
    }
    if problems := inspect(apply(text, record), record):
        raise NotLabelled(", ".join(problems))
    return record


def ordered(record: dict[str, Any] | None) -> dict[str, Any] | None:
    """A label record as it came back from the database, whose JSON keeps no order, with the seven fields in the order
    that Annex E fixes."""
    if record is None:
        return None
    return {"implicit": {key: record["implicit"][key] for key in KEYS}, "explicit": record.get("explicit")}


def apply(text: str, record: dict[str, Any]) -> str:
    """The text as it leaves the house: with its explicit notice at the start where one is required."""
    return f"{NOTICE}{SEPARATOR}{text}" if record.get("explicit") else text


def inspect(labelled: str, record: dict[str, Any]) -> list[str]:
    """What is wrong with a labelled text and its record; empty when nothing is."""
    problems = []
    implicit = record.get("implicit") or {}
    if tuple(implicit) != KEYS:
        problems.append("implicit label: keys")
    elif implicit["Label"] != "1" or not implicit["ContentProducer"] or not implicit["ProduceID"]:
        problems.append("implicit label: values")
    elif not all(isinstance(v, str) and _ALLOWED.match(v) for v in implicit.values()):
        problems.append("implicit label: characters")
    if record.get("explicit"):
        first = labelled.split(SEPARATOR, 1)[0]
        if not (("人工智能" in first or "AI" in first) and ("生成" in first or "合成" in first)):
            problems.append("explicit label: missing at the start")
    return problems
