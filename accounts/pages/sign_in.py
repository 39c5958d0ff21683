"""The door: password, second factor, single sign-on."""

from __future__ import annotations

import secrets
from typing import Any

import structlog
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.models import SocialApp
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth import views as auth_views
from django.contrib.auth.forms import AuthenticationForm
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe
from requests import RequestException

from accounts import confirmation, second_factor, sign_in, sso
from accounts.models import Staff
from accounts.pages.sign_in_forms import CodeForm, KeyForm, SignInForm
from core.errors import Refusal
from core.pages import refusal_page

log = structlog.get_logger("sso")
WAYS = ("app", "key", "codes")


class LoginView(auth_views.LoginView):
    """Name and password."""

    form_class = SignInForm
    redirect_authenticated_user = True

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        """On to the second factor, or in."""
        staff: Any = form.get_user()
        return sign_in.begin(self.request, staff, then=self.get_success_url())

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """With the button of the single sign-on, where there is one."""
        more = {"sso": settings.OIDC_NAME if sso.is_on() else ""}
        return {**super().get_context_data(**kwargs), **more}


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def ask_second_factor(request: HttpRequest) -> HttpResponse:
    """Ask who gave a right password for the second factor: a code, a key or a recovery code."""
    stage = second_factor.pending(request)
    if request.user.is_authenticated or stage is None:
        return redirect("login")
    staff = stage.login.user
    form: CodeForm | KeyForm | None = None
    if request.method == "POST":
        form = KeyForm(request.POST) if "credential" in request.POST else CodeForm(request.POST)
        if _is_right(request, staff, form):
            return second_factor.finish(request, stage)
    kinds = second_factor.kinds(staff)
    way = _way(request, kinds)
    context = {
        "ways": [one for one in WAYS if _kind(one) in kinds],
        "way": way,
        "form": form if isinstance(form, CodeForm) else CodeForm(),
        "refused": form if isinstance(form, KeyForm) else None,
        "key_options": second_factor.ask_key(staff) if way == "key" else None,
    }
    return render(request, "registration/second_factor.html", context, status=422 if form else 200)


def _is_right(request: HttpRequest, staff: Staff, form: CodeForm | KeyForm) -> bool:
    if not form.is_valid():
        return False
    if isinstance(form, KeyForm):
        right = second_factor.check_key(request, staff=staff, credential=form.cleaned_data["credential"])
        wrong = _("This key's answer can't be taken. Try again.")
    else:
        form.forget_code()
        right = second_factor.check_code(request, staff=staff, code=form.cleaned_data["code"])
        wrong = _("This code is wrong, or was used already.")
    if not right:
        form.add_error(None, wrong)
    return bool(right)


def _kind(way: str) -> str:
    return {"app": second_factor.TOTP, "key": second_factor.WEBAUTHN, "codes": second_factor.CODES}[way]


def _way(request: HttpRequest, kinds: set[str]) -> str:
    wanted = request.POST.get("by") or request.GET.get("by", "")
    if wanted in WAYS and _kind(wanted) in kinds:
        return wanted
    return next((way for way in WAYS if _kind(way) in kinds), "app")


@never_cache
@require_safe
def start_sso(request: HttpRequest) -> HttpResponse:
    """Off to the provider. With `again` for somebody who is signed in: to be seen by the provider anew."""
    again = request.user.is_authenticated
    if again and "again" not in request.GET:
        return redirect("/")
    then = confirmation.safe_path(request, request.GET.get("next"))
    return redirect(way_to_provider(request, process="confirm" if again else "login", then=then))


def way_to_provider(request: HttpRequest, *, process: str, then: str) -> str:
    """The address at the provider where a sign-in begins, with state, nonce and PKCE bound to this session. Raises
    Http404 where there is no single sign-on, and Refusal where the provider can't be reached."""
    if not sso.is_on():
        raise Http404
    nonce = secrets.token_urlsafe(24)
    # A confirmation is worth what the provider looks at now, not what it remembers.
    anew = {} if process == "login" else {"prompt": "login", "max_age": "0"}
    try:
        provider = sso.Judge(request, sso.PROVIDER).get_provider()
        provider.oauth2_adapter_class = sso.Judge
        away = provider.redirect(
            request, process=process, next_url=then, auth_params={"nonce": nonce, **anew}, nonce=nonce
        )
    except (OAuth2Error, RequestException, KeyError, ValueError, TypeError) as wrong:
        log.warning("sso_unreachable", exception=type(wrong).__name__)
        raise sso.failed() from wrong
    if not away.headers.get("Location", "").startswith(("https://", "http://")):
        raise sso.failed()
    return str(away["Location"])


class Callback(OAuth2CallbackView):
    """allauth's way back, with what the way out had noted at hand when the token is judged."""

    def _get_state(self, request: HttpRequest, provider: Any) -> Any:
        state, response = super()._get_state(request, provider)
        self.adapter.state = state or {}  # type: ignore[attr-defined]
        return state, response


class Arrivals(sso.Judge):
    """What to do with a token that holds."""

    def complete_login(self, request: HttpRequest, app: SocialApp, token: Any, **kwargs: Any) -> Any:
        """Never returns: the answer to the browser is ready here."""
        claims = self.claims_of(str(kwargs["response"].get("id_token") or ""))
        raise ImmediateHttpResponse(_arrive(request, sso.told(claims), self.state))


@never_cache
@require_safe
def finish_sso(request: HttpRequest, provider_id: str) -> HttpResponse:
    """Back from the provider."""
    if not sso.is_on() or provider_id != sso.PROVIDER:
        raise Http404
    try:
        return Callback.adapter_view(Arrivals(request, sso.PROVIDER))(request)
    except (OAuth2Error, RequestException, KeyError, ValueError, TypeError) as wrong:
        # allauth looks at the provider's description outside of its own try.
        log.warning("sso_failed", exception=type(wrong).__name__)
        return refusal_page(request, sso.failed())


def _arrive(request: HttpRequest, about: sso.Told, state: dict[str, Any]) -> HttpResponse:
    then = confirmation.safe_path(request, state.get("next"))
    try:
        if state.get("process") == "confirm":
            return _confirm(request, about, then)
        if state.get("process") == "connect":
            return _connect(request, about)
        staff = sso.admit(about)
    except Refusal as refusal:
        return refusal_page(request, refusal)
    if request.user.is_authenticated:
        logout(request)
    return sign_in.begin_by_provider(request, staff, then=then, strong=about.strong, at=about.seen_at)


def _confirm(request: HttpRequest, about: sso.Told, then: str) -> HttpResponse:
    link = sso.link_of(request.user) if request.user.is_authenticated else None
    if link is None or link.uid != about.uid:
        raise sso.failed()
    sso.admit(about)
    if about.seen_at is None:
        messages.error(request, _("The single sign-on did not say when it saw you. Confirm with a second factor."))
        return redirect(f"{reverse('confirm')}?{confirmation.query(then)}")
    confirmation.remember(request, at=about.seen_at)
    return redirect(then)


def _connect(request: HttpRequest, about: sso.Told) -> HttpResponse:
    # Begun by a form with its token and with a confirmation; the state that came back is of this very session.
    if not request.user.is_authenticated or not isinstance(request.user, Staff):
        raise sso.failed()
    sso.connect(uid=about.uid, by=request.user)
    messages.success(request, _("Your account is connected."))
    return redirect("my_security")
