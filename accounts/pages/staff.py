"""Who works here, who is invited, and what each role may do."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db.models import Count, OuterRef, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST, require_safe

from accounts import invitations, sessions
from accounts import staff as colleagues
from accounts.confirmation import recently_confirmed
from accounts.models import Invitation, Staff
from accounts.pages.house import show
from accounts.pages.staff_forms import InviteForm, RoleForm
from core import mail, roles
from core.forms import DeskForm
from core.pages import staff_page
from core.permission_words import WORDS


@require_safe
@staff_page("staff.view")
def staff(request: HttpRequest) -> HttpResponse:
    """People with their roles, open invitations, and the page of grants as a matrix."""
    return _page(request)


@require_POST
@staff_page("staff.manage")
@recently_confirmed(back="staff")
def invite(request: HttpRequest) -> HttpResponse:
    """Ask somebody to join. The link stands in this answer and nowhere else."""
    form = InviteForm(request.POST)
    base = request.build_absolute_uri("/")
    made = form.carry_out(lambda given: invitations.invite(by=request.user, base_url=base, **given))
    if made is None:
        return _page(request, form=form, status=form.status)
    response = _page(request, made=made)
    response["Cache-Control"] = "no-store"
    return response


@require_POST
@staff_page("staff.manage")
def revoke(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Take an invitation back."""
    form = DeskForm(request.POST)
    if form.carry_out(lambda _given: invitations.revoke(invitation_id=pk, by=request.user)) is None:
        return _page(request, refused=form, status=form.status)
    messages.success(request, _("The invitation is taken back; its link opens nothing any more."))
    return redirect("staff")


@require_POST
@staff_page("staff.manage")
@recently_confirmed(back="staff")
def set_active(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Close or reopen an account."""
    active = request.POST.get("active") == "1"
    form = DeskForm(request.POST)
    if form.carry_out(lambda _given: colleagues.set_active(staff_id=pk, active=active, by=request.user)) is None:
        return _page(request, refused=form, status=form.status)
    messages.success(request, _("The account is open again.") if active else _("The account is closed."))
    return redirect("staff")


@require_POST
@staff_page("staff.manage")
@recently_confirmed(back="staff")
def change_role(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Give a colleague another role."""
    form = RoleForm(request.POST)
    if form.carry_out(lambda given: colleagues.change_role(staff_id=pk, by=request.user, **given)) is None:
        return _page(request, refused=form, status=form.status)
    messages.success(request, _("The role is changed. They have to sign in again."))
    return redirect("staff")


@require_POST
@staff_page("staff.manage")
def end_sessions(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Sign a colleague out everywhere."""
    form = DeskForm(request.POST)
    ended = form.carry_out(lambda _given: sessions.end_all(staff_id=pk, by=request.user))
    if ended is None:
        return _page(request, refused=form, status=form.status)
    messages.success(request, ngettext("%(n)d session ended.", "%(n)d sessions ended.", ended) % {"n": ended})
    return redirect("staff")


def _people() -> Any:
    held = sessions.held().order_by().filter(staff=OuterRef("pk")).values("staff").annotate(n=Count("pk")).values("n")
    return Staff.objects.annotate(sessions_held=Coalesce(Subquery(held), 0)).order_by("-is_active", "username")


def _page(
    request: HttpRequest,
    *,
    form: InviteForm | None = None,
    refused: DeskForm | None = None,
    made: tuple[Invitation, str] | None = None,
    status: int = 200,
) -> HttpResponse:
    context: dict[str, Any] = {
        "people": _people(),
        "invited": invitations.opened(),
        "form": form or InviteForm(),
        "refused": refused,
        "made": made and made[0],
        "link": made and request.build_absolute_uri(reverse("invitation", args=[made[1]])),
        "mailed": bool(made and made[0].email and mail.configured()),
        "roles": list(roles.ROLES.items()),
        "grants": [
            (
                permission,
                WORDS.get(permission, permission),
                [role in holders for role in roles.ROLES],
                permission in roles.EMERGENCY,
            )
            for permission, holders in roles.GRANTS.items()
        ],
    }
    return show(request, "accounts/staff.html", context, place="staff", status=status)
