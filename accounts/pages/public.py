"""The page behind the link in a notice: what was done to the account and why, and the appeal against it (DS-10e, DS-12a,
GEN-12). Whoever holds the link speaks for the user; nobody signs in, suspended and closed users least of all.

The address is a secret, so the page sends no referrer (`no-referrer`). Browsers then hide the origin of its own forms too
(`Origin: null`): the form's token alone is asked there, and the language is chosen by a link instead of a form.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.middleware.csrf import CsrfViewMiddleware
from django.shortcuts import redirect, render
from django.utils.decorators import decorator_from_middleware
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_POST

from accounts import appeals, attempts, notices
from accounts.models import Appeal, Notice
from accounts.notice_words import functions_in_words, last_day
from accounts.pages.appeal_forms import AppealForm
from core.forms import DeskForm
from core.requests import client_address

_YEAR = 365 * 24 * 3600


class _FormsToken(CsrfViewMiddleware):
    """Django's check of forms, for pages whose browser hides where they come from. The token in cookie and form is asked
    as ever; another site knows neither it nor this page's address."""

    def _origin_verified(self, request: HttpRequest) -> bool:
        return request.META.get("HTTP_ORIGIN") == "null" or super()._origin_verified(request)  # type: ignore[misc]


_by_forms_token = decorator_from_middleware(_FormsToken)


def secret_address(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Kept by nobody, found by no search engine, told to nobody."""

    @wraps(view)
    def discreet(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response = view(request, *args, **kwargs)
        response["Cache-Control"] = "no-store"
        response["X-Robots-Tag"] = "noindex, nofollow"
        response["Referrer-Policy"] = "no-referrer"
        return response

    return csrf_exempt(_by_forms_token(discreet))


@secret_address
@require_http_methods(["GET", "HEAD", "POST"])
def appeal(request: HttpRequest, token: str) -> HttpResponse:
    """What the notice is about and how the appeal stands; POST files one."""
    notice = _found(token)
    if request.method == "POST":
        return _file(request, token, notice)
    if (language := request.GET.get("language", "")) in dict(settings.LANGUAGES):
        return in_language("public_appeal", token, language)
    if request.method == "GET":
        notices.was_opened(notice)
    return _page(request, token, notice)


@secret_address
@require_POST
def withdraw(request: HttpRequest, token: str) -> HttpResponse:
    """The user takes the appeal back."""
    notice, form = _found(token), DeskForm(request.POST)
    open_one = _latest(notice)
    if open_one is None:
        raise Http404
    done = form.carry_out(lambda given: appeals.withdraw(appeal_id=open_one.pk, by=_user(notice)))
    if done is None:
        return _page(request, token, notice, withdrawal=form, status=form.status)
    return redirect("public_appeal", token)


def _file(request: HttpRequest, token: str, notice: Notice) -> HttpResponse:
    measure = notice.measure
    if measure is None:
        raise Http404
    form = AppealForm(request.POST)

    def file(given: dict[str, Any]) -> tuple[Appeal, bool]:
        attempts.for_appeal(address=client_address(request), measure_id=measure.pk)
        return appeals.file(measure=measure, statement=given["statement"], by=_user(notice))

    if form.carry_out(file) is None:
        response = _page(request, token, notice, form=form, status=form.status)
        if form.status == 429:
            response["Retry-After"] = str(attempts.HOUR)
        return response
    return redirect("public_appeal", token)


def _page(
    request: HttpRequest,
    token: str,
    notice: Notice,
    *,
    form: AppealForm | None = None,
    withdrawal: DeskForm | None = None,
    status: int = 200,
) -> HttpResponse:
    measure, latest = notice.measure, _latest(notice)
    context: dict[str, Any] = {"notice": notice, "token": token, "appeal": latest, "withdrawal": withdrawal}
    if measure is not None:
        limit = appeals.limit(measure)
        context |= {
            "measure": measure,
            "functions": functions_in_words(notice.user, measure.functions),
            "last_day": last_day(limit),
            "answer_by": last_day(latest.due_at) if latest else "",
            "may_appeal": appeals.may_be_appealed(measure, latest),
            "form": form or AppealForm(),
        }
    return render(request, "public/appeal.html", context, status=status)


def _latest(notice: Notice) -> Appeal | None:
    if notice.measure_id is None:
        return None
    return Appeal.objects.filter(measure_id=notice.measure_id).order_by("-received_at", "-pk").first()


def _found(token: str) -> Notice:
    notice = notices.behind(token)
    if notice is None:
        raise Http404
    return notice


def _user(notice: Notice) -> str:
    return f"user:{notice.user_id}"


def in_language(page: str, token: str, language: str) -> HttpResponse:
    """Back to a page behind a link, in another language: a form would have to name where it comes from."""
    response = redirect(page, token)
    response.set_cookie(
        settings.LANGUAGE_COOKIE_NAME,
        language,
        max_age=_YEAR,
        samesite="Lax",
        secure=settings.LANGUAGE_COOKIE_SECURE,
    )
    return response
