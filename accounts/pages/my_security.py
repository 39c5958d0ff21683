"""One's own second factors, password and connection with the single sign-on, and the confirmation that it is still
oneself."""

from __future__ import annotations

from typing import Any, cast

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.safestring import mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST, require_safe

from accounts import confirmation, guesses, second_factor, sessions, sign_in, sso
from accounts.confirmation import recently_confirmed
from accounts.enrolment import is_missing, while_unenrolled
from accounts.models import Staff
from accounts.pages.house import show
from accounts.pages.sign_in import way_to_provider
from accounts.pages.sign_in_forms import AppForm, ConfirmForm, NewKeyForm, PasswordForm
from core.errors import NotFound
from core.forms import DeskForm
from core.pages import staff_page

NEW_APP = "new_app"  # where its sealed secret waits in the session


@while_unenrolled
@require_safe
@staff_page("account.own")
def my_security(request: HttpRequest) -> HttpResponse:
    """What protects one's account."""
    return _page(request)


@while_unenrolled
@require_safe
@staff_page("account.own")
@recently_confirmed
def app(request: HttpRequest) -> HttpResponse:
    """A new app: QR code and secret. Each look makes a new secret; it counts once its first code was given."""
    request.session[NEW_APP] = second_factor.get_adapter().encrypt(second_factor.new_secret())
    return _app_page(request)


@while_unenrolled
@require_POST
@staff_page("account.own")
@recently_confirmed(back="my_security")
def add_app(request: HttpRequest) -> HttpResponse:
    """The app's first code."""
    sealed = request.session.get(NEW_APP)
    if not sealed:
        return redirect("my_security_app")
    guesses_so_far = guesses.code_try(request, _me(request))
    form = AppForm(request.POST)
    secret = second_factor.get_adapter().decrypt(sealed)
    enrolled = form.carry_out(
        lambda given: second_factor.enrol_app(
            staff_id=_me(request).pk, secret=secret, code=given["code"], by=_me(request)
        )
    )
    if enrolled is None:
        guesses.was_wrong(guesses_so_far)
        return _app_page(request, form=form, status=form.status)
    guesses.was_right(guesses_so_far)
    request.session.pop(NEW_APP, None)
    return _enrolled(request, enrolled)


@while_unenrolled
@require_safe
@staff_page("account.own")
@recently_confirmed
def key(request: HttpRequest) -> HttpResponse:
    """A new security key or passkey."""
    return _key_page(request)


@while_unenrolled
@require_POST
@staff_page("account.own")
@recently_confirmed(back="my_security")
def add_key(request: HttpRequest) -> HttpResponse:
    """What the key answered."""
    form = NewKeyForm(request.POST)
    enrolled = form.carry_out(
        lambda given: second_factor.enrol_key(
            staff_id=_me(request).pk, name=given["name"], credential=given["credential"], by=_me(request)
        )
    )
    if enrolled is None:
        return _key_page(request, form=form, status=form.status)
    return _enrolled(request, enrolled)


@while_unenrolled
@require_POST
@staff_page("account.own")
@recently_confirmed(back="my_security")
def make_codes(request: HttpRequest) -> HttpResponse:
    """New recovery codes. They stand in this answer and nowhere else."""
    form = DeskForm(request.POST)
    codes = form.carry_out(lambda _given: second_factor.make_codes(staff_id=_me(request).pk, by=_me(request)))
    return _page(request, refused=form, status=form.status) if codes is None else _codes_page(request, codes)


@require_POST
@staff_page("account.own")
@recently_confirmed(back="my_security")
def remove(request: HttpRequest, pk: int) -> HttpResponse:
    """Take a factor away."""
    form = DeskForm(request.POST)
    done = form.carry_out(lambda _given: second_factor.remove(staff_id=_me(request).pk, factor_id=pk, by=_me(request)))
    if done is None and form.status != NotFound.status:
        return _page(request, refused=form, status=form.status)
    # Somebody else's and one that never was are answered like one that is gone already.
    messages.success(request, _("The factor is removed."))
    return redirect("my_security")


@require_POST
@staff_page("account.own")
@recently_confirmed(back="my_security")
def connect(request: HttpRequest) -> HttpResponse:
    """Connect one's account with the single sign-on. The way there is a link of its own: a form that leads to another
    site is forbidden to this one's pages."""
    if not sso.is_on():
        return redirect("my_security")
    away = way_to_provider(request, process="connect", then=reverse("my_security"))
    return show(request, "accounts/connect.html", {"away": away, "sso": settings.OIDC_NAME}, place="my_security")


@require_POST
@staff_page("account.own")
@recently_confirmed(back="my_security")
def disconnect(request: HttpRequest) -> HttpResponse:
    """Take the connection away."""
    form = DeskForm(request.POST)
    if form.carry_out(lambda _given: sso.disconnect(by=_me(request))) is None:
        return _page(request, refused=form, status=form.status)
    messages.success(request, _("Your account is not connected any more."))
    return redirect("my_security")


@require_safe
@staff_page("account.own")
def my_password(request: HttpRequest) -> HttpResponse:
    """One's own password."""
    return show(request, "accounts/my_password.html", {"form": PasswordForm()}, place="my_security")


@require_POST
@staff_page("account.own")
def change_password(request: HttpRequest) -> HttpResponse:
    """Change it; all other sessions of this person end."""
    form = PasswordForm(request.POST)
    staff = form.carry_out(
        lambda given: sign_in.change_own_password(request, current=given["password"], new=given["new_password"])
    )
    if staff is None:
        return show(request, "accounts/my_password.html", {"form": form}, place="my_security", status=form.status)
    update_session_auth_hash(request, staff)
    ended = sessions.end_others(keep=request.session.get(sessions.KEY, ""), by=_me(request), why="password")
    confirmation.remember(request)
    others = ngettext("%(n)d other session ended.", "%(n)d other sessions ended.", ended) % {"n": ended}
    messages.success(request, _("The password is changed.") + " " + others)
    return redirect("my_security")


@while_unenrolled
@require_safe
@staff_page("account.own")
def confirm(request: HttpRequest) -> HttpResponse:
    """Ask whether it is still oneself."""
    return _confirm_page(request)


@while_unenrolled
@require_POST
@staff_page("account.own")
def check(request: HttpRequest) -> HttpResponse:
    """The password, a code, or what a key answered; then back to where one was."""
    form = ConfirmForm(request.POST)
    if not form.is_valid() or not _is_oneself(request, form):
        return _confirm_page(request, form=form, status=form.status)
    confirmation.remember(request)
    messages.success(request, _("Confirmed. Go on with what you were about to do."))
    return redirect(confirmation.safe_path(request, request.POST.get("next")))


def _me(request: HttpRequest) -> Staff:
    """The signed-in person: `staff_page` let nobody else in."""
    return cast(Staff, request.user)


def _is_oneself(request: HttpRequest, form: ConfirmForm) -> bool:
    given, staff = form.cleaned_data, _me(request)
    if given["credential"]:
        right, sentence = bool(second_factor.check_key(request, staff=staff, credential=given["credential"])), ""
    elif given["code"]:
        right = bool(second_factor.check_code(request, staff=staff, code=given["code"]))
        sentence = _("This code is wrong, or was used already.")
    else:
        right = sign_in.check_own_password(request, staff=staff, password=given["password"])
        sentence = _("This is not your password.")
    if not right:
        form.forget_code()
        form.add_error(None, sentence or _("This key's answer can't be taken. Try again."))
    return right


def _confirm_page(request: HttpRequest, *, form: ConfirmForm | None = None, status: int = 200) -> HttpResponse:
    kinds = second_factor.kinds(_me(request))
    then = confirmation.safe_path(request, request.POST.get("next") or request.GET.get("next"))
    context = {
        "form": form or ConfirmForm(),
        "then": then,
        "by_password": _me(request).has_usable_password(),
        "by_code": bool(kinds & {second_factor.TOTP, second_factor.CODES}),
        "key_options": second_factor.ask_key(_me(request)) if second_factor.WEBAUTHN in kinds else None,
        "sso": settings.OIDC_NAME if sso.is_on() and sso.link_of(_me(request)) else "",
        "sso_query": confirmation.query(then),
        "here": f"{reverse('confirm')}?{confirmation.query(then)}",
    }
    return render(request, "accounts/confirm.html", context, status=status)


def _page(request: HttpRequest, *, refused: DeskForm | None = None, status: int = 200) -> HttpResponse:
    factors = second_factor.of(_me(request))
    missing = not settings.DEMO and is_missing(request)
    context: dict[str, Any] = {
        "factors": [(factor, _name(factor), second_factor.NAMES[factor.type]) for factor in factors],
        "has_app": any(factor.type == second_factor.TOTP for factor in factors),
        "codes_left": second_factor.codes_left(_me(request)),
        "missing": missing,
        "may_remove": len(factors) > 1 or settings.DEMO,
        "has_password": _me(request).has_usable_password(),
        "sso": settings.OIDC_NAME if sso.is_on() else "",
        "connected": sso.link_of(_me(request)),
        "refused": refused,
    }
    return show(request, "accounts/my_security.html", context, place="my_security", status=status)


def _name(factor: Any) -> str:
    return str(factor.data.get("name") or second_factor.NAMES[factor.type])


def _app_page(request: HttpRequest, *, form: AppForm | None = None, status: int = 200) -> HttpResponse:
    secret = second_factor.get_adapter().decrypt(request.session[NEW_APP])
    drawing = second_factor.drawing(second_factor.address_for(_me(request), secret))
    context = {
        "form": form or AppForm(),
        "secret": " ".join(secret[at : at + 4] for at in range(0, len(secret), 4)),
        # Drawn by the QR library from a secret of ours and the person's own user name, which is a slug.
        "drawing": mark_safe(drawing),  # noqa: S308
    }
    response = show(request, "accounts/my_security_app.html", context, place="my_security", status=status)
    response["Cache-Control"] = "no-store"
    return response


def _key_page(request: HttpRequest, *, form: NewKeyForm | None = None, status: int = 200) -> HttpResponse:
    context = {"form": form or NewKeyForm(), "key_options": second_factor.begin_key(_me(request))}
    return show(request, "accounts/my_security_key.html", context, place="my_security", status=status)


def _enrolled(request: HttpRequest, enrolled: second_factor.Enrolled) -> HttpResponse:
    confirmation.remember(request)
    if enrolled.codes:
        return _codes_page(request, enrolled.codes)
    messages.success(request, _("The second factor is set up."))
    return redirect("my_security")


def _codes_page(request: HttpRequest, codes: list[str]) -> HttpResponse:
    response = show(request, "accounts/my_security_codes.html", {"codes": codes}, place="my_security")
    response["Cache-Control"] = "no-store"
    return response
