"""The programs that call the API, their keys, and how much they call."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db.models import Prefetch
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts import keys, usage
from accounts.confirmation import recently_confirmed
from accounts.models import ApiClient, ApiKey
from accounts.pages.client_forms import KeySearch, LimitForm
from accounts.pages.forms import ClientForm, KeyForm, ReasonForm
from accounts.pages.house import show
from core.forms import DeskForm
from core.options import option
from core.pages import staff_page
from core.templatetags.mingjian import shanghai

HOURS = 48
DAYS = 30


@require_safe
@staff_page("staff.view")
def clients(request: HttpRequest) -> HttpResponse:
    """Every client with its keys."""
    return _page(request)


@require_POST
@staff_page("client.manage")
def create(request: HttpRequest) -> HttpResponse:
    """A new client."""
    form = ClientForm(request.POST)
    if form.carry_out(lambda given: keys.create_client(by=request.user, **given)) is None:
        return _page(request, form=form, status=form.status)
    messages.success(request, _("The client is known. Issue a key for it now."))
    return redirect("clients")


@require_POST
@staff_page("staff.view")
def find(request: HttpRequest) -> HttpResponse:
    """The client whose key begins so."""
    search = KeySearch(request.POST)
    key = search.carry_out(lambda given: keys.with_prefix(given["beginning"]))
    if key is None:
        if search.is_valid():
            search.found_nothing()
        return _page(request, search=search, status=422)
    return redirect(f"{reverse('client', args=[key.client_id])}#{key.prefix}")


@require_safe
@staff_page("staff.view")
def client(request: HttpRequest, pk: UUID) -> HttpResponse:
    """One client: its keys, what each may do, and how much it calls."""
    return _one(request, _found(pk))


@require_POST
@staff_page("client.manage")
@recently_confirmed(back="clients")
def issue(request: HttpRequest, pk: UUID) -> HttpResponse:
    """A new key. Its secret stands in this answer and nowhere else; the same form again is refused."""
    found = _found(pk)
    form = KeyForm(request.POST)
    issued = form.carry_out(lambda given: keys.issue_key(client=found, by=request.user, **given))
    if issued is None:
        return _page(request, key_form=form, key_of=pk, status=form.status)
    return _unstored(_page(request, issued=(found, *issued)))


@require_POST
@staff_page("client.manage")
@recently_confirmed(back="clients")
def revoke(request: HttpRequest, pk: UUID) -> HttpResponse:
    """End a key."""
    form = ReasonForm(request.POST)
    key = form.carry_out(lambda given: keys.revoke_key(key_id=pk, by=request.user, **given))
    if key is None:
        return _page(request, refused=form, status=form.status)
    messages.success(request, _("The key is revoked; it stops working within five seconds."))
    return redirect("client", key.client_id)


@require_POST
@staff_page("client.manage")
@recently_confirmed(back="clients")
def rotate(request: HttpRequest, pk: UUID) -> HttpResponse:
    """A successor for a key; both work for a while."""
    form = DeskForm(request.POST)
    rotated = form.carry_out(lambda _given: keys.rotate_key(key_id=pk, by=request.user))
    found = _found(_key(pk).client_id)
    if rotated is None:
        return _one(request, found, refused=form, status=form.status)
    return _unstored(_one(request, found, secret=rotated.secret, signing=rotated.signing))


@require_POST
@staff_page("client.manage")
def limit(request: HttpRequest, pk: UUID) -> HttpResponse:
    """From where and how often a key may call."""
    form = LimitForm(request.POST, auto_id=f"id_{pk.hex}_%s")
    key = form.carry_out(lambda given: keys.limit_key(key_id=pk, by=request.user, **given))
    if key is None:
        return _one(request, _found(_key(pk).client_id), limits=form, limits_of=pk, status=form.status)
    messages.success(request, _("Changed; every process knows within five seconds."))
    return redirect("client", key.client_id)


@require_POST
@staff_page("client.manage")
@recently_confirmed(back="clients")
def demand_signatures(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Requests with this key must be signed from now on."""
    form = DeskForm(request.POST)
    made = form.carry_out(lambda _given: keys.demand_signatures(key_id=pk, by=request.user))
    found = _found(_key(pk).client_id)
    if made is None:
        return _one(request, found, refused=form, status=form.status)
    return _unstored(_one(request, found, signing=made[1]))


def _found(pk: UUID) -> ApiClient:
    found = ApiClient.objects.select_related("service").filter(pk=pk).first()
    if found is None:
        raise Http404
    return found


def _key(pk: UUID) -> ApiKey:
    key = ApiKey.objects.filter(pk=pk).first()
    if key is None:
        raise Http404
    return key


def _unstored(response: HttpResponse) -> HttpResponse:
    response["Cache-Control"] = "no-store"
    return response


def _page(
    request: HttpRequest,
    *,
    form: ClientForm | None = None,
    search: KeySearch | None = None,
    key_form: KeyForm | None = None,
    key_of: UUID | None = None,
    refused: DeskForm | None = None,
    issued: tuple[Any, ...] | None = None,
    status: int = 200,
) -> HttpResponse:
    rows = (
        ApiClient.objects.select_related("service")
        .prefetch_related(Prefetch("keys", queryset=ApiKey.objects.order_by("-created_at")))
        .order_by("service__code", "name")
    )
    cards = []
    for row in rows:
        # Each form has ids of its own: several stand on one page.
        given = key_form if key_form and key_of == row.pk else KeyForm(auto_id=f"id_{row.pk.hex}_%s")
        cards.append((row, _described(row.keys.all()), given, bool(key_form and key_of == row.pk)))
    context = {
        "cards": cards,
        "form": form or ClientForm(),
        "search": search or KeySearch(),
        "refused": refused,
        "issued": issued,
    }
    return show(request, "accounts/clients.html", context, place="clients", status=status)


def _one(
    request: HttpRequest,
    found: ApiClient,
    *,
    refused: DeskForm | None = None,
    limits: LimitForm | None = None,
    limits_of: UUID | None = None,
    secret: str = "",
    signing: str = "",
    status: int = 200,
) -> HttpResponse:
    rows = _described(found.keys.select_related("replaced_by").order_by("-created_at"))
    ids = [key.pk for key in rows]
    last = usage.last_used(ids)
    for key in rows:
        key.last_used = last.get(key.pk)
        key.shown_limit = key.per_minute or int(option("key_per_minute"))
        key.limits = limits if limits and limits_of == key.pk else LimitForm.of(key)
        key.open = bool(limits and limits_of == key.pk)
    now = timezone.now()
    context = {
        "client": found,
        "rows": rows,
        "refused": refused,
        "secret": secret,
        "signing": signing,
        "overlap_hours": round(option("key_overlap") / 3600),
        "chart_hours": _chart(usage.by_hour(ids, hours=HOURS, now=now), "minute"),
        "chart_days": _chart(usage.by_day(ids, days=DAYS, now=now), "day"),
    }
    return show(request, "accounts/client.html", context, place="client", args=(found.pk,), status=status)


def _described(found: Any) -> list[Any]:
    now = timezone.now()
    rows = list(found)
    for key in rows:
        key.state = keys.state_of(key, now)
        key.works = key.state in ("valid", "expiring", "replaced")
    return rows


def _chart(counted: list[tuple[Any, int, int]], kind: str) -> dict[str, Any]:
    return {
        "kind": "bar",
        "stacked": True,
        "labels": [shanghai(moment, kind) for moment, _calls, _refused in counted],
        "series": [
            {"name": _("Answered"), "tone": "ok", "values": [calls for _moment, calls, _refused in counted]},
            {"name": _("Refused"), "tone": "bad", "values": [refused for _moment, _calls, refused in counted]},
        ],
    }
