"""Nobody works here with a password alone: until a second factor is enrolled, every page of the staff leads to the page
where that is done (ASVS 6.3.3). In the demonstration it is optional."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _

from core.errors import Forbidden
from core.pages import refusal_page
from core.problems import refusal_response

BY_PROVIDER = "second_factor_by_provider"
# What stays open: the public's pages and the way out. The pages of enrolment say so themselves.
OPEN = ("/public/", "/login/", "/logout/", "/i18n/", "/appearance/", "/static/", "/healthz", "/readyz", "/api/")


def while_unenrolled(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Mark a page as one of those by which a second factor is enrolled."""
    view.while_unenrolled = True  # type: ignore[attr-defined]
    return view


class EnrolmentMiddleware:
    """Stands behind StaffMiddleware and leads those without a second factor to where they get one."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: Callable[..., HttpResponse], args: object, kwargs: object
    ) -> HttpResponse | None:
        """Before the view: None lets it run."""
        if settings.DEMO or request.path.startswith(OPEN) or getattr(view, "while_unenrolled", False):
            return None
        if not request.user.is_authenticated or not is_missing(request):
            return None
        refusal = Forbidden("second_factor_required", _("Set up a second factor first."))
        if getattr(request, "htmx", False):
            response = refusal_page(request, refusal)
            response["HX-Redirect"] = reverse("my_security")
            return response
        if "application/json" in request.headers.get("Accept", ""):
            return refusal_response(refusal)
        return redirect("my_security")


def is_missing(request: HttpRequest) -> bool:
    """Whether the signed-in person has no second factor, neither here nor vouched for by the single sign-on."""
    from accounts import second_factor

    return not request.session.get(BY_PROVIDER) and not second_factor.has_one(request.user)
