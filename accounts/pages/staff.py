"""Who works here, and what each role may do."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts import staff as colleagues
from accounts.models import Staff
from accounts.pages.forms import DeskForm, StaffForm
from accounts.pages.house import show
from core import roles
from core.pages import staff_page


@require_safe
@staff_page("staff.view")
def staff(request: HttpRequest) -> HttpResponse:
    """People with their roles, and the page of grants as a matrix."""
    return _page(request)


@require_POST
@staff_page("staff.manage")
def create(request: HttpRequest) -> HttpResponse:
    """A new colleague. The first password stands in this answer and nowhere else."""
    form = StaffForm(request.POST)
    made = form.carry_out(lambda given: colleagues.create_staff(by=request.user, **given))
    if made is None:
        return _page(request, form=form, status=form.status)
    response = _page(request, made=made)
    response["Cache-Control"] = "no-store"
    return response


@require_POST
@staff_page("staff.manage")
def set_active(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Close or reopen an account."""
    active = request.POST.get("active") == "1"
    form = DeskForm(request.POST)
    if form.carry_out(lambda _given: colleagues.set_active(staff_id=pk, active=active, by=request.user)) is None:
        return _page(request, refused=form, status=form.status)
    messages.success(request, _("The account is open again.") if active else _("The account is closed."))
    return redirect("staff")


def _page(
    request: HttpRequest,
    *,
    form: StaffForm | None = None,
    refused: DeskForm | None = None,
    made: tuple[Staff, str] | None = None,
    status: int = 200,
) -> HttpResponse:
    context: dict[str, Any] = {
        "people": Staff.objects.order_by("-is_active", "username"),
        "form": form or StaffForm(),
        "refused": refused,
        "made": made,
        "roles": list(roles.ROLES.values()),
        "grants": [
            (permission, [role in holders for role in roles.ROLES]) for permission, holders in roles.GRANTS.items()
        ],
    }
    return show(request, "accounts/staff.html", context, place="staff", status=status)
