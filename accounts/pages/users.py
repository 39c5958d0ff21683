"""The list of users and the page of one user."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts import lookup, measures, reverification
from accounts.models import Identity, User
from accounts.pages import user_page
from accounts.pages.forms import MeasureForm, NumberSearch, ReasonForm, UserFilter
from accounts.pages.people import show
from core.pages import Page, staff_page
from core.roles import may
from governance.models import Service

COUNTED = 1000  # proofs of identity that wait: counted no further


@require_safe
@staff_page("user.view")
def users(request: HttpRequest) -> HttpResponse:
    """Everybody, newest first, filtered."""
    return _list(request, NumberSearch())


@require_POST
@staff_page("user.view")
def search_by_number(request: HttpRequest) -> HttpResponse:
    """Find users by a number that never stands in an address: the answer's address names an identity instead."""
    form = NumberSearch(request.POST)
    found = form.carry_out(lambda given: lookup.find_by_number(number=given["number"], by=request.user))
    if found is None:
        return _list(request, form, status=form.status)
    people = {identity.user_id for identity in found}
    if not people:
        messages.info(request, _("Nobody has handed in this number."))
        return redirect("users")
    if len(people) == 1:
        return redirect("user", people.pop())
    return redirect(f"{reverse('users')}?same={found[0].pk}")


def _list(request: HttpRequest, search: NumberSearch, status: int = 200) -> HttpResponse:
    filters = UserFilter(request.GET)
    chosen = filters.chosen()
    newest = Identity.objects.filter(user=OuterRef("pk")).order_by("-submitted_at")
    rows = User.objects.select_related("service").annotate(
        number_masked=Subquery(newest.values("number_masked")[:1]), method=Subquery(newest.values("method")[:1])
    )
    page = Page(_narrowed(rows, chosen), before=str(chosen.get("before", "")))
    context = {
        "page": page,
        "filters": filters,
        "search": search,
        "narrowed": bool(set(chosen) - {"before"}),
        "same": chosen.get("same"),
        "pending": User.objects.filter(identity_status="pending")[: COUNTED + 1].count(),
        "counted": COUNTED,
    }
    return show(request, "accounts/users.html", context, place="users", status=status)


def _narrowed(rows: QuerySet[User], chosen: dict[str, Any]) -> QuerySet[User]:
    if "q" in chosen:
        # The index begins with the service; there are few of them, so naming all lets it be used.
        services = list(Service.objects.values_list("pk", flat=True))
        rows = rows.filter(service_id__in=services, external_id__startswith=chosen["q"])
    if "identity" in chosen:
        rows = rows.filter(identity_status=chosen["identity"])
    if "account" in chosen:
        rows = rows.filter(account_status=chosen["account"])
    if "same" in chosen:
        digest = Identity.objects.filter(pk=chosen["same"]).values("number_digest")[:1]
        rows = rows.filter(pk__in=Identity.objects.filter(number_digest=Subquery(digest)).values("user"))
    return rows


@require_safe
@staff_page("user.view")
def user(request: HttpRequest, pk: UUID) -> HttpResponse:
    """One user in one screen: identity, account, measures, what they handed in, whom they are related to, what happened."""
    return _one(request, _found(pk))


@require_POST
@staff_page("measure.apply")
def apply_measure(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Put a measure on the account."""
    person = _found(pk)
    form = MeasureForm(request.POST, functions=person.service.functions.order_by("code"))
    if form.carry_out(lambda given: measures.apply(user=person, by=request.user, **given)) is None:
        return _one(request, person, measure=form, status=form.status)
    messages.success(request, _("The measure is in force."))
    return redirect("user", pk)


@require_POST
@staff_page("measure.lift")
def lift_measure(request: HttpRequest, pk: UUID, measure: UUID) -> HttpResponse:
    """End a measure at once."""
    person = _found(pk)
    if not person.measures.filter(pk=measure).exists():
        raise Http404
    form = ReasonForm(request.POST)
    if form.carry_out(lambda given: measures.lift(measure_id=measure, by=request.user, **given)) is None:
        return _one(request, person, lift=form, status=form.status)
    messages.success(request, _("The measure is lifted."))
    return redirect("user", pk)


@require_POST
@staff_page("measure.apply")
def demand_identity(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The account is abnormal: have its identity proved again (GEN-12)."""
    person = _found(pk)
    form = ReasonForm(request.POST)
    if form.carry_out(lambda given: reverification.demand(user=person, by=request.user, **given)) is None:
        return _one(request, person, lift=form, status=form.status)
    messages.success(request, _("The identity counts no more; the user is told to hand it in again."))
    return redirect("user", pk)


def _found(pk: UUID) -> User:
    person = User.objects.select_related("service").filter(pk=pk).first()
    if person is None:
        raise Http404
    return person


def _one(
    request: HttpRequest,
    person: User,
    *,
    measure: MeasureForm | None = None,
    lift: ReasonForm | None = None,
    status: int = 200,
) -> HttpResponse:
    before = request.GET.get("history", "")
    context = user_page.about(
        person,
        decides=may(request.user, "identity.decide"),
        before=int(before) if before.isdecimal() and len(before) < 19 else None,
    )
    context["measure_form"] = measure or MeasureForm(functions=person.service.functions.order_by("code"))
    context["lift_form"] = lift
    return show(request, "accounts/user.html", context, place="user", args=(person.pk,), status=status)
