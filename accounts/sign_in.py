"""Who comes in: the password, and what happens once all steps of a sign-in are done.

allauth carries a sign-in from step to step (password or single sign-on, then the second factor) and ends it with
Django's login, which gives the session a new key. There is no other way in.
"""

from __future__ import annotations

import secrets
from typing import Any

import structlog
from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.internal.flows.login import perform_login, perform_password_login
from allauth.account.models import Login
from allauth.account.stages import LoginStage
from axes.signals import user_locked_out
from django.contrib.auth import authenticate
from django.contrib.auth.password_validation import validate_password
from django.contrib.auth.signals import user_logged_in
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext_lazy as _

from accounts import confirmation, guesses, sessions
from accounts.enrolment import BY_PROVIDER
from accounts.models import Staff
from core import audit
from core.errors import NotFound, Refusal, field_error
from core.requests import client_address

log = structlog.get_logger("sign_in")
LONGEST_NAME = 100  # longer than any real one, and what still fits where tries are written down


def check_credentials(request: HttpRequest, *, username: str, password: str) -> Staff | None:
    """The person whose name and password these are. None for anybody else, in the same time whether or not the name
    exists (ASVS 6.3.8). Raises Refusal (429) while tries must wait."""
    username = username[:LONGEST_NAME]
    tried = guesses.password_try(request, username)
    person = authenticate(request, username=username, password=password)
    if not isinstance(person, Staff):
        guesses.was_wrong(tried)
        log.warning("sign_in_failed")
        return None
    guesses.was_right(tried)
    return person


def check_own_password(request: HttpRequest, *, staff: Staff, password: str) -> bool:
    """Whether this is the password of the person who is signed in. Raises Refusal (429) while tries must wait."""
    tried = guesses.password_try(request, staff.username)
    if staff.check_password(password):
        guesses.was_right(tried)
        return True
    guesses.was_wrong(tried)
    return False


def begin(request: HttpRequest, staff: Staff, *, then: str) -> HttpResponse:
    """Go on after a right password: to the second factor, or in."""
    return perform_password_login(request, {}, Login(user=staff, redirect_url=then))


def begin_by_provider(request: HttpRequest, staff: Staff, *, then: str, strong: bool, at: float | None) -> HttpResponse:
    """Go on after a single sign-on. `strong`: the provider asked for a second factor itself; `at`: when it saw the
    person, if it says so."""
    login = Login(user=staff, redirect_url=then, state={"provider": {"strong": strong, "at": at}})
    return perform_login(request, login)


def change_own_password(request: HttpRequest, *, current: str, new: str) -> Staff:
    """As `change_password`, for the person who is signed in; a wrong current password counts as a guess."""
    staff: Any = request.user
    if not check_own_password(request, staff=staff, password=current):
        raise _wrong("password", "wrong", _("This is not your password."))
    return change_password(staff_id=staff.pk, current=current, new=new, by=staff)


def change_password(*, staff_id: Any, current: str, new: str, by: Staff) -> Staff:
    """Change one's own password. Refuses a wrong current one, a weak new one, and anybody else's. The caller keeps its
    own session; all others end with the old password's hash."""
    if staff_id != by.pk:
        raise Refusal("own_account", _("Only a person themselves changes their password."), status=403)
    with transaction.atomic():
        staff = Staff.objects.select_for_update().get(pk=staff_id)
        if not staff.check_password(current):
            raise _wrong("password", "wrong", _("This is not your password."))
        if current == new:
            raise _wrong("new_password", "same", _("The new password is the old one."))
        try:
            validate_password(new, staff)
        except ValidationError as weak:
            raise _wrong("new_password", "weak", " ".join(weak.messages)) from weak
        staff.set_password(new)
        staff.save(update_fields=["password"])
        audit.record(action="staff.password_changed", subject=f"staff:{staff.pk}", by=by)
    return staff


def replace_password(*, staff_id: Any, reason: str, by: str) -> str:
    """Give somebody who forgot theirs a random password, which is answered once and chosen by nobody (ASVS 6.4.6). For
    the command line. Their sessions end; their second factor stays and is asked for as ever (ASVS 6.4.3)."""
    password = secrets.token_urlsafe(15)
    with transaction.atomic():
        staff = Staff.objects.select_for_update().filter(pk=staff_id).first()
        if staff is None:
            raise NotFound("not_found", _("There is no such person."))
        staff.set_password(password)
        staff.save(update_fields=["password"])
        sessions.close(staff.pk, "password")
        audit.record(action="staff.password_replaced", subject=f"staff:{staff.pk}", by=by, reason=reason)
    return password


def _wrong(field: str, code: str, sentence: Any) -> Refusal:
    return Refusal("fields_invalid", _("Some fields can't be taken."), errors=[field_error(field, code, sentence)])


class ArrivalStage(LoginStage):
    """The last step, passed by everybody in the request that signs them in: tells `arrived` how they came."""

    key = "arrival"

    def handle(self) -> tuple[HttpResponse | None, bool]:
        """Nothing is asked any more."""
        self.request.came_by_provider = self.login.state.get("provider")  # type: ignore[attr-defined]
        self.request.gave_second_factor = bool(self.login.state.get("second_factor"))  # type: ignore[attr-defined]
        return None, True


class AccountAdapter(DefaultAccountAdapter):
    """How allauth's steps look from here: nobody signs up, nothing is mailed, and the second factor is ours."""

    def get_login_stages(self) -> list[str]:
        """The steps after the password."""
        return ["accounts.second_factor.SecondFactorStage", "accounts.sign_in.ArrivalStage"]

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Colleagues are invited, or come by single sign-on."""
        return False

    def post_login(self, request: HttpRequest, user: Any, *, redirect_url: str | None, **more: Any) -> HttpResponse:
        """On to where the person wanted to go; the browser is known from now on."""
        response = redirect(confirmation.safe_path(request, redirect_url))
        guesses.remember_browser(request, response, user)
        return response

    def respond_user_inactive(self, request: HttpRequest, user: Any) -> HttpResponse:
        """A closed account reads like a wrong password."""
        return redirect("login")

    def add_message(self, *args: Any, **kwargs: Any) -> None:
        """allauth's own sentences are not shown."""

    def send_notification_mail(self, *args: Any, **kwargs: Any) -> None:
        """Changes stand in the ledger; mail is not a second way in."""

    def get_client_ip(self, request: HttpRequest) -> str:
        """As everywhere here."""
        return client_address(request)


def arrived(sender: Any, request: HttpRequest, user: Any, **more: Any) -> None:
    """Django's word that somebody signed in. A sign-in is a confirmation; one by a provider from the moment on at which
    the provider says that it saw the person, and not at all when it doesn't say (ASVS 7.5.3)."""
    provider = getattr(request, "came_by_provider", None)
    by_factor = getattr(request, "gave_second_factor", False)
    request.session[BY_PROVIDER] = bool(provider and provider["strong"])
    if provider is None or by_factor:
        confirmation.remember(request, who=user)
    elif provider["at"] is not None:
        confirmation.remember(request, who=user, at=provider["at"])
    else:
        confirmation.forget(request)
    log.info("signed_in", staff=str(user.pk), by="provider" if provider else "password", second_factor=by_factor)


def locked_out(sender: Any, request: HttpRequest, username: str | None, **more: Any) -> None:
    """django-axes locked a name at an address."""
    staff = Staff.objects.filter(username=username or "").first()
    if staff is not None:
        guesses.ring(staff)


user_logged_in.connect(arrived, dispatch_uid="accounts.sign_in")
user_locked_out.connect(locked_out, dispatch_uid="accounts.sign_in")
