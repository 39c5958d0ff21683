"""Policies on screen: which version is live and what it says, drafts in a table, what the shadow would have done, what
changed between two versions, and the approval by a second person."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from core import audit
from core.errors import Refusal, field_error
from core.options import option
from core.pages import staff_page
from core.roles import may
from moderation import policies as commands
from moderation import policy_compare, policy_editor, policy_shadow, policy_validation, policy_words
from moderation.models import Backtest, PolicyVersion
from moderation.policy_words import conditions
from moderation.screening import categories

__all__ = ["compare", "conditions", "draft", "edit", "go_live", "policies", "policy", "shadow", "withdraw"]
LISTED = 100
HISTORY = 20
BACKTESTS = 5


@staff_page("policy.view")
@require_GET
def policies(request: HttpRequest) -> HttpResponse:
    """The live version with its rules on top, then every version, the newest first."""
    live = PolicyVersion.objects.filter(state="live").select_related("author", "approved_by").first()
    versions = PolicyVersion.objects.defer("rules").select_related("author", "approved_by").order_by("-number")[:LISTED]
    context = {
        "live": live,
        "rules": policy_words.rules(live.rules) if live else [],
        "versions": versions,
        "may_draft": may(request.user, "policy.draft"),
    }
    return render(request, "moderation/policies.html", context)


@staff_page("policy.view")
@require_GET
def policy(request: HttpRequest, number: int) -> HttpResponse:
    """One version: its rules in words, its figures in shadow, its back-tests, its history, and what may be done now."""
    return _one(request, _found(number))


def _one(
    request: HttpRequest, version: PolicyVersion, *, refusal: Refusal | None = None, reason: str = ""
) -> HttpResponse:
    live = PolicyVersion.objects.filter(state="live").values_list("pk", flat=True).first()
    own = version.author_id is not None and version.author_id == request.user.pk
    tried = list(Backtest.objects.filter(kind="policy", target=str(version.pk)).order_by("-started_at")[:BACKTESTS])
    drafter, approver = may(request.user, "policy.draft"), may(request.user, "policy.approve")
    waiting = version.state in ("draft", "shadow")
    context: dict[str, Any] = {
        "version": version,
        "rules": policy_words.rules(version.rules),
        "live": live,
        "figures": _figures(version),
        "backtests": [(test, _address("backtest", test.pk)) for test in tried],
        "tried": any(t.state == "done" and t.target_revision == version.revision for t in tried),
        "backtest_address": _address("backtests"),
        "backtest_needed": bool(option("policy_needs_backtest")),
        "history": [
            (policy_words.EVENTS.get(event.action, event.action), event)
            for event in audit.latest(f"policy:{version.pk}", most=HISTORY)
        ],
        # The server asks again; buttons that would only be refused are not shown.
        "may_draft": drafter,
        "may_edit": drafter and own and version.state == "draft",
        "may_shadow": drafter and own and version.state == "draft",
        "may_go_live": approver and not own and waiting,
        "own_waits": approver and own and waiting,
        "may_withdraw": drafter and waiting,
        "refusal": refusal,
        "reason": reason,
        "reason_errors": [e["detail"] for e in refusal.errors if e["field"] == "reason"] if refusal else [],
    }
    return render(request, "moderation/policy.html", context, status=refusal.status if refusal else 200)


def _figures(version: PolicyVersion) -> dict[str, Any] | None:
    if version.shadow_from is None:
        return None
    found = policy_shadow.figures(version.pk)
    tree = categories()
    return {
        "all": found,
        "most": policy_shadow.MOST,
        "looked_into": policy_shadow.LOOKED_INTO,
        "share": round(100 * found.differ / found.items, 1) if found.items else 0,
        "pairs": [
            {
                "live": policy_words.THEN[live],
                "shadow": policy_words.THEN[shadow],
                "items": items,
                "same": live == shadow,
            }
            for (live, shadow), items in sorted(
                found.pairs.items(), key=lambda pair: (pair[0][0] == pair[0][1], -pair[1])
            )
        ],
        "differing": [
            {
                "category": tree.get(row.category) or _("no category"),
                "live": policy_words.THEN[row.live],
                "shadow": policy_words.THEN[row.shadow],
                "items": row.items,
                "samples": row.samples,
            }
            for row in found.differing
        ],
    }


def _address(name: str, *args: Any) -> str:
    try:
        return reverse(name, args=args)
    except NoReverseMatch:
        return ""


@staff_page("policy.view")
@require_GET
def compare(request: HttpRequest) -> HttpResponse:
    """What changed between two versions, rule by rule and condition by condition; by default from the live version to
    the newest."""
    known = list(PolicyVersion.objects.order_by("-number").values_list("pk", "name", "state")[:LISTED])
    live = next((pk for pk, _name, state in known if state == "live"), None)
    a = _number(request.GET.get("a", ""), live)
    b = _number(request.GET.get("b", ""), known[0][0] if known else None)
    both = {version.pk: version for version in PolicyVersion.objects.filter(pk__in=[a, b])}
    if a not in both or b not in both:
        raise Http404
    rows = [_compared(row) for row in policy_compare.compare(both[a].rules, both[b].rules)]
    context = {
        "a": both[a],
        "b": both[b],
        "known": known,
        "rows": rows,
        "changes": sum(row["what"] != "same" or row["moved"] for row in rows),
    }
    return render(request, "moderation/policy_compare.html", context)


def _number(text: str, otherwise: int | None) -> int | None:
    if not text:
        return otherwise
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _compared(row: policy_compare.Compared) -> dict[str, Any]:
    shown = policy_words.rule(row.after or row.before or {})

    def words(name: str, value: Any) -> str:
        return "—" if value is None else policy_words.condition(name, value)

    return {
        **shown,
        "what": row.what,
        "moved": row.moved,
        "from": row.place_before,
        "to": row.place_after,
        "parts": [
            (policy_words.PARTS[c.name], policy_words.part(c.name, c.before), policy_words.part(c.name, c.after))
            for c in row.parts
        ],
        "changed": [(words(c.name, c.before), words(c.name, c.after)) for c in row.conditions],
    }


@staff_page("policy.draft")
@require_POST
def draft(request: HttpRequest) -> HttpResponse:
    """Begin a draft with the rules of any version."""
    base = _number(request.POST.get("base", ""), None)
    if base is None:
        raise Http404
    made = commands.draft(base=base, by=request.user)
    messages.success(request, _("Version %(number)d is your draft.") % {"number": made.pk})
    return redirect("policy_edit", made.pk)


@staff_page("policy.draft")
@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest, number: int) -> HttpResponse:
    """The table in which a draft's rules are edited. Its buttons work on what stands in the form; only *save* writes."""
    version = _found(number)
    if request.method != "POST":
        if version.state != "draft" or version.author_id != request.user.pk:
            messages.info(request, _("Only its author edits a draft. Copy this version into a draft of your own."))
            return redirect("policy", number)
        return _table(request, version, version.rules, [])
    rules = policy_editor.rules_of(request.POST)
    revision = _number(request.POST.get("revision", ""), None) or 0
    typed = {
        "name": request.POST.get("name", "").replace("\x00", "")[:200],
        "note": request.POST.get("note", "").replace("\x00", "").replace("\r\n", "\n")[:4000],
    }
    doing = request.POST.get("act", "save")
    if doing == "check":
        errors = policy_validation.errors(rules, policy_validation.vocabulary())
        return _table(request, version, rules, errors, typed=typed, revision=revision, checked=True)
    if doing != "save":
        focus, _place = policy_editor.act(rules, request.POST)
        return _table(request, version, rules, [], typed=typed, revision=revision, focus=focus)
    try:
        saved = commands.edit(number=number, revision=revision, rules=rules, by=request.user, **typed)
    except Refusal as refusal:
        errors = refusal.errors or [field_error("rules", refusal.code, refusal.detail)]
        return _table(request, version, rules, errors, typed=typed, revision=revision, status=refusal.status)
    messages.success(request, _("Saved as revision %(revision)d.") % {"revision": saved.revision})
    return redirect("policy", number)


def _table(
    request: HttpRequest,
    version: PolicyVersion,
    rules: list[dict[str, Any]],
    errors: list[dict[str, Any]],
    *,
    typed: dict[str, str] | None = None,
    revision: int | None = None,
    focus: str = "",
    checked: bool = False,
    status: int = 200,
) -> HttpResponse:
    said = {field: [e["detail"] for e in errors if e["field"] == field] for field in ("rules", "name", "note")}
    context = {
        "version": version,
        "rows": policy_editor.table(rules, errors, focus),
        "typed": typed or {"name": version.name, "note": version.note},
        "revision": version.revision if revision is None else revision,
        "focus": focus,
        "errors": said,
        "wrong": len(errors),
        "checked": checked,
        "changed": typed is not None,
        "full": len(rules) >= policy_validation.MOST_RULES,
    }
    return render(request, "moderation/policy_edit.html", context, status=status)


@staff_page("policy.draft")
@require_POST
def shadow(request: HttpRequest, number: int) -> HttpResponse:
    """Let a draft run beside the live version."""
    commands.shadow(number=number, revision=_number(request.POST.get("revision", ""), None) or 0, by=request.user)
    messages.success(request, _("In shadow: it judges every item from now on, without effect."))
    return redirect("policy", number)


@staff_page("policy.approve")
@require_POST
def go_live(request: HttpRequest, number: int) -> HttpResponse:
    """Approve a version and put it in force. A refusal stands on the page of the version as it is now."""
    reason = request.POST.get("reason", "").replace("\x00", "")[:2000]
    try:
        commands.go_live(
            number=number,
            revision=_number(request.POST.get("revision", ""), None) or 0,
            reason=reason,
            instead_of=_number(request.POST.get("instead_of", ""), None),
            by=request.user,
        )
    except Refusal as refusal:
        return _one(request, _found(number), refusal=refusal, reason=reason)
    messages.success(request, _("Version %(number)d is live for what comes in from now on.") % {"number": number})
    return redirect("policy", number)


@staff_page("policy.draft")
@require_POST
def withdraw(request: HttpRequest, number: int) -> HttpResponse:
    """Give up a draft or a version in shadow."""
    reason = request.POST.get("reason", "").replace("\x00", "")[:2000]
    commands.withdraw(number=number, reason=reason, by=request.user)
    messages.success(request, _("Withdrawn: version %(number)d") % {"number": number})
    return redirect("policies")


def _found(number: int) -> PolicyVersion:
    found = PolicyVersion.objects.select_related("author", "approved_by").filter(pk=number).first()
    if found is None:
        raise Http404
    return found
