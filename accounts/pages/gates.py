"""Gates that a directive closes, and the settings in force."""

from __future__ import annotations

import os
from uuid import UUID

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts.confirmation import recently_confirmed
from accounts.pages.forms import GateForm, ReasonForm
from accounts.pages.house import show
from core import gates as doors
from core.forms import DeskForm
from core.models import Gate
from core.options import OPTIONS, option
from core.pages import staff_page
from governance.models import Service

SHOWN_BEFORE = 50


@require_safe
@staff_page("settings.view")
def settings(request: HttpRequest) -> HttpResponse:
    """Every setting with its default, the value in force and the name in the environment."""
    rows = []
    for name, known in OPTIONS.items():
        variable = f"MINGJIAN_{name.upper()}"
        rows.append(
            {
                "variable": variable,
                "meaning": known.meaning,
                "default": _plain(known.default),
                "value": _plain(option(name)),
                "unit": known.unit,
                "changed": bool(os.environ.get(variable)),
            }
        )
    return show(request, "accounts/settings.html", {"rows": rows}, place="settings")


def _plain(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:g}"


@require_safe
@staff_page("settings.view")
def gates(request: HttpRequest) -> HttpResponse:
    """What is closed now, and what was."""
    return _page(request)


@require_POST
@staff_page("gate.operate")
@recently_confirmed(back="gates")
def close(request: HttpRequest) -> HttpResponse:
    """Close a capability by order."""
    form = GateForm(request.POST)
    closed = form.carry_out(
        lambda given: doors.close_gate(
            capability=given["capability"],
            service_id=given["service"].pk if given["service"] else None,
            directive=given["directive"],
            until=given["until"],
            by=request.user,
        )
    )
    if closed is None:
        return _page(request, form=form, status=form.status)
    messages.success(request, _("The gate is closed. Callers are refused with the number of the directive."))
    return redirect("gates")


@require_POST
@staff_page("gate.operate")
@recently_confirmed(back="gates")
def reopen(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Open a gate again."""
    form = ReasonForm(request.POST)
    if form.carry_out(lambda given: doors.open_gate(gate_id=pk, by=request.user, **given)) is None:
        return _page(request, refused=form, status=form.status)
    messages.success(request, _("The gate is open. Items that waited for it are evaluated again."))
    return redirect("gates")


def _page(
    request: HttpRequest, *, form: GateForm | None = None, refused: DeskForm | None = None, status: int = 200
) -> HttpResponse:
    services = {str(service.pk): str(service) for service in Service.objects.all()}

    def with_service(rows: QuerySet[Gate]) -> list[tuple[Gate, str]]:
        return [(gate, services.get(str(gate.service_id), _("All services"))) for gate in rows]

    context = {
        "closures": with_service(Gate.objects.filter(opened_at=None).order_by("-since")),
        "earlier": with_service(Gate.objects.exclude(opened_at=None).order_by("-opened_at")[:SHOWN_BEFORE]),
        "form": form or GateForm(),
        "refused": refused,
    }
    return show(request, "accounts/gates.html", context, place="gates", status=status)
