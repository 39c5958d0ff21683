"""Single sign-on by OpenID Connect: who the provider says somebody is, and which role that gives them here.

allauth walks the way to the provider and back (state, PKCE). What comes back is judged here: the ID token's signature,
issuer, audience, times and nonce, and nothing but the ID token. Configured by the environment only (docs/operator.md).
"""

from __future__ import annotations

import hashlib
import re
from typing import Any, NamedTuple

import jwt
import structlog
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialAccount, SocialApp
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.db.models import Q
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from accounts import emergency, sessions
from accounts.models import Staff
from core import audit, roles
from core.errors import Conflict, Forbidden, Refusal
from core.pages import refusal_page

log = structlog.get_logger("sso")
PROVIDER = "oidc"
BY = "system:sso"
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
STRONG = {"mfa", "otp", "hwk"}  # RFC 8176: the provider asked for a second factor
LEEWAY = 30  # seconds by which two clocks may differ
CLOSED = "closed_by_provider"


class Told(NamedTuple):
    """What an ID token that holds says about somebody."""

    uid: str
    role: str
    username: str
    display_name: str
    email: str
    strong: bool
    seen_at: float | None


def is_on() -> bool:
    """Whether single sign-on is configured."""
    return bool(settings.OIDC_ISSUER and settings.OIDC_CLIENT_ID)


class SocialAdapter(DefaultSocialAccountAdapter):
    """allauth's hooks: one provider, from the settings and nowhere else; failures are pages of ours."""

    def list_apps(self, request: HttpRequest, provider: Any = None, client_id: Any = None) -> list[SocialApp]:
        """The provider of the environment; rows of the database are not looked at."""
        if not is_on() or provider not in (None, PROVIDER, "openid_connect"):
            return []
        return [
            SocialApp(
                provider="openid_connect",
                provider_id=PROVIDER,
                name=settings.OIDC_NAME,
                client_id=settings.OIDC_CLIENT_ID,
                secret=settings.OIDC_CLIENT_SECRET,
                settings={"server_url": settings.OIDC_ISSUER.rstrip("/"), "oauth_pkce_enabled": True},
            )
        ]

    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:
        """People are taken in by `admit`."""
        return False

    def on_authentication_error(self, request: HttpRequest, provider: Any, **more: Any) -> None:
        """Whatever went wrong on the way, in one sentence; the reason stands in the log."""
        log.warning("sso_failed", error=str(more.get("error")), exception=type(more.get("exception")).__name__)
        raise ImmediateHttpResponse(refusal_page(request, failed()))


def failed() -> Refusal:
    """The refusal for an answer of the provider that can't be taken."""
    return Forbidden("sso_failed", _("The single sign-on did not work. Start again from the sign-in page."))


class Judge(OpenIDConnectOAuth2Adapter):
    """allauth's way to the token, with our judgement of it."""

    state: dict[str, Any]

    @property
    def openid_config(self) -> dict[str, Any]:
        """The provider's description, if it is the provider's own (no mix-up of two)."""
        config: dict[str, Any] = super().openid_config
        if config.get("issuer") != settings.OIDC_ISSUER:
            raise OAuth2Error("the description names another issuer")
        return config

    def claims_of(self, token: str) -> dict[str, Any]:
        """The claims of an ID token that is for us, from our provider, in time and for this very sign-in. Raises
        OAuth2Error for any other. The signature counts even over TLS: a proxy may stand between."""
        try:
            claims = jwt.decode(
                token,
                self._key_for(token),
                algorithms=ALGORITHMS,
                audience=settings.OIDC_CLIENT_ID,
                issuer=settings.OIDC_ISSUER,
                leeway=LEEWAY,
                options={"require": ["exp", "iat", "iss", "aud", "sub", "nonce"]},
            )
        except jwt.PyJWTError as wrong:
            raise OAuth2Error(type(wrong).__name__) from wrong
        several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        if claims.get("azp", None if several else settings.OIDC_CLIENT_ID) != settings.OIDC_CLIENT_ID:
            raise OAuth2Error("the token was made for somebody else")
        if not self.state.get("nonce") or claims["nonce"] != self.state["nonce"]:
            raise OAuth2Error("the token belongs to another sign-in")
        return claims

    def _key_for(self, token: str) -> Any:
        header = jwt.get_unverified_header(token)
        with SocialAdapter(self.request).get_requests_session() as web:
            answer = web.get(self.openid_config["jwks_uri"])
            answer.raise_for_status()
            known = jwt.PyJWKSet.from_dict(answer.json()).keys
        kid = header.get("kid")
        fitting = [key for key in known if key.key_id == kid] if kid else known
        if len(fitting) != 1:
            raise OAuth2Error("the provider has no such key")
        return fitting[0]


def told(claims: dict[str, Any]) -> Told:
    """What the claims say, with the role that they give (empty: none)."""
    seen_at = claims.get("auth_time")
    amr = claims.get("amr")
    name = str(claims.get("name") or claims.get("preferred_username") or "")
    verified = claims.get("email_verified") is True
    uid = hashlib.sha256(f"{claims['iss']}\x00{claims['sub']}".encode()).hexdigest()
    return Told(
        uid=uid,
        role=role_for(claims),
        username=_username(str(claims.get("preferred_username") or ""), uid),
        display_name=name.replace("\x00", "")[:60],
        email=str(claims.get("email") or "")[:254] if verified else "",
        strong=isinstance(amr, list) and bool(STRONG & {str(method) for method in amr}),
        seen_at=float(seen_at) if isinstance(seen_at, int | float) else None,
    )


def role_for(claims: dict[str, Any]) -> str:
    """The role of the first line of OIDC_ROLES whose value is among the claim's; empty when none is. The claim's name may
    be a path: `realm_access.roles`."""
    value: Any = claims
    for part in settings.OIDC_ROLE_CLAIM.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    given = {str(one) for one in value} if isinstance(value, list) else {str(value)} if value else set()
    return next((role for named, role in settings.OIDC_ROLES.items() if named in given and role in roles.ROLES), "")


def _username(preferred: str, uid: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "-", preferred.partition("@")[0]).strip("-")[:40] or f"sso-{uid[:10]}"


def admit(about: Told) -> Staff:
    """The colleague this is, with the role that the provider gives now; made on the first sign-in. Refuses whoever has no
    role here, which closes their account, one that an administrator closed, and a user name that somebody has already.
    """
    try:
        with transaction.atomic():
            staff = _admitted(about)
    except IntegrityError:
        # The name was taken this very moment; the second look says so.
        with transaction.atomic():
            staff = _admitted(about)
    # Raised after the commit: that the account closed must stay.
    if not about.role:
        raise Forbidden(
            "no_role", _("Your account at the single sign-on has no role here. Ask an administrator for one.")
        )
    if staff is None or not staff.is_active:
        raise Forbidden("account_closed", _("Your account here is closed. Ask an administrator."))
    return staff


def _admitted(about: Told) -> Staff | None:
    with connection.cursor() as cursor:
        # Two first sign-ins of one person queue up here: the second finds the account that the first made.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"sso:{about.uid}"])
    link = SocialAccount.objects.filter(provider=PROVIDER, uid=about.uid).first()
    if link is None:
        return _made(about) if about.role else None
    staff = Staff.objects.select_for_update().get(pk=link.user_id)
    link = SocialAccount.objects.select_for_update().get(pk=link.pk)
    _follow(staff, link, about.role)
    return staff


def _made(about: Told) -> Staff:
    known = Q(username=about.username)
    if about.email:
        known |= Q(email__iexact=about.email, is_active=True)
    if Staff.objects.filter(known).exists():
        # One person with two accounts could approve what they proposed: never a second name for the same person, and
        # never somebody's account for whoever has their name elsewhere.
        raise Conflict(
            "username_taken",
            _(
                "Your user name or address has an account here already. Sign in to it by password and connect it on your security page."
            ),
        )
    staff = Staff(username=about.username, display_name=about.display_name or about.username, role=about.role)
    staff.email = about.email
    try:
        staff.clean_fields(exclude=["password"])
    except ValidationError:
        staff.email = ""
    staff.set_unusable_password()
    staff.save(force_insert=True)
    SocialAccount.objects.create(user=staff, provider=PROVIDER, uid=about.uid)
    audit.record(action="staff.created", subject=f"staff:{staff.pk}", by=BY, data={"role": about.role})
    return staff


def _follow(staff: Staff, link: SocialAccount, role: str) -> None:
    subject = f"staff:{staff.pk}"
    if not role and staff.is_active:
        staff.is_active = False
        staff.save(update_fields=["is_active"])
        link.extra_data = {CLOSED: True}
        link.save(update_fields=["extra_data"])
        sessions.close(staff.pk, "closed")
        emergency.end_of(staff_id=staff.pk, by=BY)
        audit.record(action="staff.closed", subject=subject, by=BY, reason="no role at the single sign-on")
    elif role and not staff.is_active and link.extra_data.get(CLOSED):
        staff.is_active = True
        staff.save(update_fields=["is_active"])
        audit.record(action="staff.opened", subject=subject, by=BY, reason="a role at the single sign-on")
    if role and staff.is_active:
        if link.extra_data:
            link.extra_data = {}
            link.save(update_fields=["extra_data"])
        if staff.role != role:
            data = {"from": staff.role, "to": role}
            staff.role = role
            staff.save(update_fields=["role"])
            sessions.close(staff.pk, "role")
            emergency.end_of(staff_id=staff.pk, by=BY)
            audit.record(action="staff.role_changed", subject=subject, by=BY, data=data)


def link_of(staff: Any) -> SocialAccount | None:
    """The connection of an account with the single sign-on."""
    return SocialAccount.objects.filter(user_id=staff.pk, provider=PROVIDER).first()


def connect(*, uid: str, by: Staff) -> SocialAccount:
    """Connect one's own account with who one is at the provider; from the next sign-in on the provider gives the role.
    Refuses a person at the provider who has an account here, and an account that is connected."""
    with transaction.atomic():
        staff = Staff.objects.select_for_update().get(pk=by.pk)
        if link_of(staff):
            raise Conflict("connected", _("This account is connected already."))
        try:
            with transaction.atomic():
                link = SocialAccount.objects.create(user=staff, provider=PROVIDER, uid=uid)
        except IntegrityError as taken:
            raise Conflict("connected_elsewhere", _("Another account here is connected with this person.")) from taken
        audit.record(action="staff.sso_connected", subject=f"staff:{staff.pk}", by=by)
    return link


def disconnect(*, by: Staff) -> bool:
    """Take the connection away; False when there was none. Refuses accounts without a password: nobody could sign in to them."""
    with transaction.atomic():
        staff = Staff.objects.select_for_update().get(pk=by.pk)
        link = link_of(staff)
        if link is None:
            return False
        if not staff.has_usable_password():
            raise Conflict("no_password", _("This account has no password: the single sign-on is the only way in."))
        link.delete()
        audit.record(action="staff.sso_disconnected", subject=f"staff:{staff.pk}", by=by)
    return True


@register()
def sso_is_whole(**kwargs: Any) -> list[CheckMessage]:
    """A half-configured single sign-on lets nobody in, or the wrong people."""
    if not settings.OIDC_ISSUER:
        return []
    found: list[CheckMessage] = []
    if not settings.OIDC_ISSUER.startswith("https://") and not settings.DEMO:
        found.append(Error("OIDC_ISSUER must begin with https://.", id="accounts.E001"))
    if not settings.OIDC_CLIENT_ID:
        found.append(Error("OIDC_CLIENT_ID is not set.", id="accounts.E002"))
    if not isinstance(settings.OIDC_ROLES, dict) or not set(map(str, settings.OIDC_ROLES.values())) <= set(roles.ROLES):
        found.append(Error("OIDC_ROLES must map values to roles of this product.", id="accounts.E003"))
    return found
