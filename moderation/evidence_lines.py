"""What the checks found, as a person reads it: numbered lines, and the same numbers on the marks in the texts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy

from governance.models import Category, in_language
from moderation import personal_information, policy
from moderation.models import Feature, Finding, Submission
from moderation.policy import Found

_SECONDS = re.compile(r"(\d+(?:\.\d+)?) s\b")  # how a finding in something that moves begins
LINES = 100  # a text stuffed with terms must not make the page endless
SIDES = {"input": gettext_lazy("Input"), "output": gettext_lazy("Output")}
FIELDS = {"ocr": gettext_lazy("writing in the picture"), "transcript": gettext_lazy("what is said")}
CHECKS = {
    "terms": gettext_lazy("Terms"),
    "personal_information": gettext_lazy("Personal information"),
    "media": gettext_lazy("File"),
    "exact": gettext_lazy("Known file"),
    "image_hash": gettext_lazy("Known picture"),
    "video_hash": gettext_lazy("Known video"),
    "audio_print": gettext_lazy("Known sound"),
    "ocr": gettext_lazy("Text in pictures"),
    "nudity": gettext_lazy("Nudity"),
    "patterns": gettext_lazy("Patterns"),
    "links": gettext_lazy("Links"),
    "near_text": gettext_lazy("Near-duplicate text"),
    "news_source": gettext_lazy("News source"),
    "consent_prompt": gettext_lazy("Consent prompt"),
    "speech": gettext_lazy("Speech"),
    "external_classifier": gettext_lazy("External classifier"),
    "classifier": gettext_lazy("Classifier"),
    "fraud": gettext_lazy("Signs of fraud"),
    "check_failed": gettext_lazy("Check failed"),
}


@dataclass(frozen=True)
class Line:
    """One finding: where, by what, how bad. `number` and `tone` join it to its marks."""

    number: int
    tone: str
    check: Any
    side: Any
    where: str
    value: str
    feature: str
    category: Category | None
    root: Category | None
    score: str
    distance: str
    detail: str


@dataclass(frozen=True)
class Framed:
    """One place of a finding in a picture: [x, y, w, h] in its pixels. `start` is where it stands in the text that was
    read out of the file; for what was found in the picture itself `seconds` says when, if it moves."""

    number: int
    tone: str
    title: str
    box: list[int]
    start: int | None
    seconds: float | None = None


@dataclass(frozen=True)
class Evidence:
    """All of an item's findings, ready to be shown."""

    lines: list[Line]
    more: int
    leading: Category | None
    input_spans: list[dict[str, Any]]
    output_spans: list[dict[str, Any]]
    marks: dict[tuple[str, str], list[dict[str, Any]]]  # by side and field, for texts read out of files too
    framed: dict[str, list[Framed]]  # by side
    checks_clear: int
    checks_failed: int


def evidence(item: Submission, categories: dict[str, Category]) -> Evidence:
    """The findings of an item, gravest first; two queries."""
    # An item that was screened again (what held it had ended) has its findings twice; the record keeps both looks.
    looks = {
        (f.side, f.field, f.check_name, f.category_id, f.feature_id, f.feature_version, str(f.spans), f.detail): f
        for f in item.findings.all()
    }
    found = sorted(looks.values(), key=lambda f: (-f.severity, -f.score, f.side, f.id))
    values = dict(
        Feature.objects.filter(pk__in={f.feature_id for f in found if f.feature_id}).values_list("pk", "value")
    )
    lines: list[Line] = []
    marks: dict[tuple[str, str], list[dict[str, Any]]] = {}
    framed: dict[str, list[Framed]] = {}
    for number, finding in enumerate(found[:LINES], 1):
        line = _line(number, finding, values, categories)
        lines.append(line)
        title = _title(line)
        marks.setdefault((finding.side, finding.field), []).extend(
            {"start": span[0], "end": span[1], "tone": line.tone, "number": number, "title": title}
            for span in finding.spans
        )
        one_each = len(finding.boxes) == len(finding.spans)
        when = _SECONDS.match(finding.detail)
        framed.setdefault(finding.side, []).extend(
            Framed(
                number,
                line.tone,
                title,
                box,
                finding.spans[place][0] if one_each else None,
                float(when[1]) if when else None,
            )
            for place, box in enumerate(finding.boxes)
        )
    said = [verdict for side in (item.screened or {}).values() for verdict in side.get("checks", {}).values()]
    return Evidence(
        lines=lines,
        more=max(0, len(found) - LINES),
        leading=categories.get(_leading(item, found) or ""),
        input_spans=marks.get(("input", "text"), []),
        output_spans=marks.get(("output", "text"), []),
        marks=marks,
        framed=framed,
        checks_clear=sum(verdict.startswith("clear") for verdict in said),
        checks_failed=sum(verdict.startswith("failed") for verdict in said),
    )


def _line(number: int, finding: Finding, values: dict[int, str], categories: dict[str, Category]) -> Line:
    category = categories.get(finding.category_id or "")
    feature = ""
    if finding.feature_id:
        feature = f"#{finding.feature_id} v{finding.feature_version}"
    return Line(
        number=number,
        tone=tone_of(finding.severity),
        check=CHECKS.get(finding.check_name, finding.check_name),
        side=SIDES.get(finding.side, finding.side),
        where=_where(finding),
        value=values.get(finding.feature_id or 0, ""),
        feature=feature,
        category=category,
        root=categories.get(category.parent_id or "") if category else None,
        score=f"{finding.score:.2f}",
        distance="" if finding.distance is None else f"{finding.distance:g}",
        detail=_detail(finding),
    )


def _detail(finding: Finding) -> str:
    if finding.check_name == "media":
        return ""  # the SHA-256 of the file, which stands beneath it
    kind = personal_information.KINDS.get(finding.detail) if finding.check_name == "personal_information" else None
    return str(kind.words) if kind else finding.detail


def tone_of(severity: int) -> str:
    """The tone of a severity, 4 the strongest; what carries none is the palest."""
    return f"m{min(4, max(1, 5 - severity))}"


def _where(finding: Finding) -> str:
    # Code points count from 0 in the record; people count from 1.
    read_out = FIELDS.get(finding.field)
    places = [f"{start + 1}–{end}" for start, end in finding.spans[:2]]
    if more := len(finding.spans) - len(places):
        places.append(f"+{more}")
    return " ".join(str(part) for part in (read_out, ", ".join(places)) if part)


def _title(line: Line) -> str:
    return " · ".join(str(part) for part in (line.number, line.value, line.category) if part)


def _leading(item: Submission, found: list[Finding]) -> str | None:
    """The leaf of the finding that the rule went by; where the rule names none, that of the gravest finding."""
    rule = policy.version(item.policy_version).rule(item.rule)
    fitting = [f for f in found if f.category_id and rule and rule.fits(_as_found(f))]
    named = fitting or [f for f in found if f.category_id]
    return max(named, key=lambda f: (f.severity, f.score)).category_id if named else None


def _as_found(finding: Finding) -> Found:
    return Found(
        finding.side,
        finding.check_name,
        finding.category_id,
        finding.severity,
        feature_id=finding.feature_id,
        score=finding.score,
        distance=finding.distance,
        field=finding.field,
    )


# Rules that stand in no policy: who judges or screens says them (moderation.policy, moderation.screening).
UNWRITTEN = {
    "screening_failed": gettext_lazy("Screening did not finish in three tries"),
    "medium_unlabelled": gettext_lazy("A file can't be labelled yet, and nothing goes out unlabelled"),
    policy.FAILED: gettext_lazy("A check could not be completed"),
    policy.MISSING: gettext_lazy("A rule asks for something that is not known of this item"),
}


def why_here(item: Submission) -> dict[str, Any]:
    """The rule that sent an item to a person: its id, its name in the reader's language, the policy's version."""
    rule = policy.version(item.policy_version).rule(item.rule)
    name = in_language(rule.name, rule.name_en) if rule else str(UNWRITTEN.get(item.rule, ""))
    return {"rule": rule.id if rule else "", "name": name, "version": item.policy_version}
