"""The page of somebody who was invited. No login: the link is what they have."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.cache import add_never_cache_headers
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from accounts import invitations
from accounts.pages.staff_forms import AcceptForm
from core import roles
from core.errors import NotFound


@require_http_methods(["GET", "HEAD", "POST"])
def invitation(request: HttpRequest, token: str) -> HttpResponse:
    """Choose a password, and have an account. A link that isn't good any more says so and nothing else."""
    form = AcceptForm(request.POST or None)
    if request.method == "POST":

        def accept(given: dict[str, Any]) -> Any:
            return invitations.accept(token=token, password=form.password_given(given))

        made = form.carry_out(accept)
        if made is not None:
            messages.success(request, _("Your account is ready. Log in with your user name and password."))
            return redirect("login")
    invited = invitations.find(token)
    status = form.status if request.method == "POST" else 200
    if invited is None:
        status = NotFound.status
    context = {
        "form": form,
        "invited": invited,
        "role": invited and roles.ROLES[invited.role],
        # The switches of language and theme come back to an address, which would stand in a log: not to this one.
        "here": "/login/",
    }
    response = render(request, "accounts/invitation.html", context, status=status)
    add_never_cache_headers(response)
    response["Referrer-Policy"] = "no-referrer"
    return response
