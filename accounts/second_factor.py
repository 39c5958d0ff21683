"""The second factor: codes of an app (TOTP), security keys and passkeys (WebAuthn), recovery codes (ASVS 6.3.3, 6.5).

The records are allauth's. Secrets lie sealed in them; a code counts once, which the record itself remembers: no cache
that was emptied makes an old code good again.
"""

from __future__ import annotations

import base64
import json
from typing import Any, NamedTuple
from uuid import UUID

from allauth.account.stages import LoginStageController
from allauth.core.internal.cryptokit import compare_user_code, normalize_user_code
from allauth.mfa import app_settings
from allauth.mfa.adapter import DefaultMFAAdapter, get_adapter
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.stages import AuthenticateStage
from allauth.mfa.totp.internal.auth import format_hotp_value, generate_totp_secret, hotp_value
from allauth.mfa.webauthn.internal import auth as keys
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from fido2.webauthn import AuthenticationResponse

from accounts import guesses, sessions
from accounts.confirmation import database_time
from accounts.models import Staff
from core import audit, roles, vault
from core.errors import Conflict, NotFound, Refusal, field_error

TOTP, WEBAUTHN, CODES = Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN, Authenticator.Type.RECOVERY_CODES
REAL = (TOTP, WEBAUTHN)
NAMES = {TOTP: _("Codes of an app"), WEBAUTHN: _("Security key or passkey"), CODES: _("Recovery codes")}
MOST_KEYS = 10
_SEALED = {"subject": "house:second_factor", "context": "authenticator"}
# What hostile JSON makes a parser of binary structures raise.
_MALFORMED = (ValidationError, ValueError, TypeError, KeyError, IndexError, AttributeError)


class Enrolled(NamedTuple):
    """A factor that was just added, and the recovery codes that came with the first one."""

    factor: Authenticator
    codes: list[str]


class Adapter(DefaultMFAAdapter):
    """allauth's hooks: secrets are sealed, names are ours."""

    def encrypt(self, text: str) -> str:
        """Sealed under a data key of the house, so that rotation of the field keys covers it."""
        return base64.b64encode(vault.seal(text, **_SEALED)).decode()

    def decrypt(self, encrypted_text: str) -> str:
        """Raises core.crypto.Unreadable for anything else than `encrypt` made."""
        return vault.unseal(base64.b64decode(encrypted_text), **_SEALED)

    def get_totp_label(self, user: Any) -> str:
        """How the app names the entry."""
        return str(user.username)

    def _get_user_identifier(self, user: Any) -> str:
        return str(user.username)

    def _get_site_name(self) -> str:
        return app_settings.TOTP_ISSUER


class SecondFactorStage(AuthenticateStage):
    """The step after the password. A single sign-on that asked for a second factor itself is not asked again."""

    urlname = "second_factor"

    def handle(self) -> tuple[HttpResponse | None, bool]:
        """Lead those who have a second factor to the page that asks for it."""
        provider = self.login.state.get("provider") or {}
        if provider.get("strong") or not has_one(self.login.user):
            return None, True
        return redirect("second_factor"), True


def pending(request: HttpRequest) -> SecondFactorStage | None:
    """The sign-in of this session that waits for a second factor; None when there is none or it took too long."""
    stage = LoginStageController.enter(request, SecondFactorStage.key)
    return stage if isinstance(stage, SecondFactorStage) and stage.login.user else None


def finish(request: HttpRequest, stage: SecondFactorStage) -> HttpResponse:
    """Go on after a right second factor."""
    stage.login.state["second_factor"] = True
    return stage.exit()


def has_one(staff: Any) -> bool:
    """Whether somebody has a second factor. Recovery codes alone are none."""
    return Authenticator.objects.filter(user_id=staff.pk, type__in=REAL).exists()


def of(staff: Any) -> list[Authenticator]:
    """The factors of somebody, without recovery codes, oldest first."""
    return list(Authenticator.objects.filter(user_id=staff.pk, type__in=REAL).order_by("created_at", "pk"))


def kinds(staff: Any) -> set[str]:
    """Which kinds of factor somebody has."""
    return set(Authenticator.objects.filter(user_id=staff.pk).values_list("type", flat=True))


def codes_left(staff: Any) -> int:
    """How many recovery codes are not used yet."""
    row = Authenticator.objects.filter(user_id=staff.pk, type=CODES).first()
    return len(row.wrap().get_unused_codes()) if row else 0


# Codes of an app


def new_secret() -> str:
    """A secret for an app: 160 random bits, in base32."""
    return generate_totp_secret()


def address_for(staff: Staff, secret: str) -> str:
    """The otpauth address that the QR code holds."""
    return get_adapter().build_totp_url(staff, secret)


def drawing(address: str) -> str:
    """The QR code as SVG, without styles: the page's policy takes it as it is."""
    declared, _mark, svg = get_adapter().build_totp_svg(address).partition("?>")
    return svg or declared


def enrol_app(*, staff_id: UUID, secret: str, code: str, by: Any) -> Enrolled:
    """Add an app, proved by its first code. Refuses a wrong code, and a second app."""
    with transaction.atomic():
        staff = _own(staff_id, by)
        if Authenticator.objects.filter(user=staff, type=TOTP).exists():
            raise Conflict("app_enrolled", _("You have an app already. Remove it first."))
        counter = _counter_of(secret, code)
        if counter is None:
            raise _wrong_code()
        # The first code is used up by this: whoever saw it typed can't sign in with it.
        data = {"secret": get_adapter().encrypt(secret), "last_counter": counter}
        factor = Authenticator.objects.create(user=staff, type=TOTP, data=data)
        return _added(staff, factor, by)


def _counter_of(secret: str, code: str) -> int | None:
    # The step before counts too: people type slower than the clock turns. None after it does (ASVS 6.5.5).
    now = int(database_time()) // app_settings.TOTP_PERIOD
    for counter in (now, now - 1):
        if compare_user_code(actual=code, expected=format_hotp_value(hotp_value(secret, counter))):
            return counter
    return None


def check_code(request: HttpRequest, *, staff: Staff, code: str) -> Authenticator | None:
    """The factor whose code this is; it is used up by the look. None for a wrong code or one that was used before.
    Raises Refusal (429) while tries must wait."""
    tried = guesses.code_try(request, staff)
    found = _use_app_code(staff, code) or _use_recovery_code(staff, code)
    guesses.was_right(tried) if found else guesses.was_wrong(tried)
    return found


def _use_app_code(staff: Staff, code: str) -> Authenticator | None:
    with transaction.atomic():
        row = Authenticator.objects.select_for_update().filter(user_id=staff.pk, type=TOTP).first()
        counter = _counter_of(get_adapter().decrypt(row.data["secret"]), code) if row else None
        if row is None or counter is None or counter <= row.data.get("last_counter", 0):
            return None
        row.data["last_counter"] = counter
        return _used(row)


def _use_recovery_code(staff: Staff, code: str) -> Authenticator | None:
    if len(normalize_user_code(code)) != app_settings.RECOVERY_CODE_DIGITS:
        return None
    with transaction.atomic():
        row = Authenticator.objects.filter(user_id=staff.pk, type=CODES).first()
        wrapped = row.wrap() if row else None
        if wrapped is None or not wrapped.validate_code(code):
            return None
        audit.record(action="staff.recovery_code_used", subject=f"staff:{staff.pk}", by=staff)
        return _used(wrapped.instance)


def _used(row: Authenticator) -> Authenticator:
    row.last_used_at = timezone.now()
    row.save(update_fields=["data", "last_used_at"])
    return row


# Security keys and passkeys


def begin_key(staff: Staff) -> dict[str, Any]:
    """What a browser needs to make a key for us; the challenge waits in the session."""
    return keys.begin_registration(staff, False)


def enrol_key(*, staff_id: UUID, name: str, credential: str, by: Any) -> Enrolled:
    """Add a key from what the browser answered. Refuses an answer to another challenge, site or person."""
    try:
        given = json.loads(credential)
        keys.parse_registration_response(given)
        keys.complete_registration(given)
    except _MALFORMED:
        keys.clear_state()
        raise Refusal("key_refused", _("The key's answer can't be taken. Try again.")) from None
    with transaction.atomic():
        staff = _own(staff_id, by)
        if Authenticator.objects.filter(user=staff, type=WEBAUTHN).count() >= MOST_KEYS:
            raise Conflict("too_many_keys", _("You have as many keys as there is room for. Remove one first."))
        data = {"name": name[:60], "credential": given, "sign_count": 0}
        return _added(staff, Authenticator.objects.create(user=staff, type=WEBAUTHN, data=data), by)


def ask_key(staff: Staff) -> dict[str, Any]:
    """What a browser needs to ask one of the person's keys; the challenge waits in the session."""
    return keys.begin_authentication(staff)


def check_key(request: HttpRequest, *, staff: Staff, credential: str) -> Authenticator | None:
    """The key that answered our challenge; None for any other answer. A challenge is good for one answer."""
    tried = guesses.code_try(request, staff)
    found = _use_key(staff, credential)
    guesses.was_right(tried) if found else guesses.was_wrong(tried)
    return found


def _use_key(staff: Staff, credential: str) -> Authenticator | None:
    try:
        given = json.loads(credential)
        keys.parse_authentication_response(given)
        found = keys.complete_authentication(staff, given)
        count = AuthenticationResponse.from_dict(given).response.authenticator_data.counter
    except _MALFORMED:
        keys.clear_state()
        return None
    with transaction.atomic():
        row = Authenticator.objects.select_for_update().filter(pk=found.pk).first()
        # A key that counts its signatures never counts backwards: a copy of it does.
        if row is None or (count and count <= row.data.get("sign_count", 0)):
            return None
        row.data["sign_count"] = count
        return _used(row)


# Recovery codes, removal


def make_codes(*, staff_id: UUID, by: Any) -> list[str]:
    """New recovery codes; the old ones end. They are shown by the caller this once."""
    with transaction.atomic():
        staff = _own(staff_id, by)
        if not has_one(staff):
            raise Conflict("no_second_factor", _("Set up a second factor first."))
        codes = _fresh_codes(staff)
        audit.record(action="staff.recovery_codes_made", subject=f"staff:{staff.pk}", by=by)
    return codes


def remove(*, staff_id: UUID, factor_id: int, by: Any) -> str:
    """Remove one of one's own factors and answer its kind; with the last one the recovery codes end. Refuses the last one
    where everybody needs one."""
    with transaction.atomic():
        staff = _own(staff_id, by)
        factor = Authenticator.objects.filter(user=staff, pk=factor_id, type__in=REAL).first()
        if factor is None:
            raise NotFound("not_found", _("There is no such factor."))
        last = not Authenticator.objects.filter(user=staff, type__in=REAL).exclude(pk=factor_id).exists()
        if last and not settings.DEMO:
            raise Conflict("last_factor", _("This is your only second factor. Add another one before you remove it."))
        kind = factor.type
        factor.delete()
        if last:
            Authenticator.objects.filter(user=staff).delete()
        audit.record(action="staff.factor_removed", subject=f"staff:{staff.pk}", by=by, data={"kind": kind})
    return kind


def reset(*, staff_id: UUID, reason: str, by: Any) -> int:
    """Remove all factors of a colleague who lost them, and sign them out; at the next sign-in they enrol anew. Nobody
    does it to themselves. Returns how many factors there were."""
    if not (isinstance(by, str) and by.startswith("system:")):
        roles.check(by, "staff.manage")
        if staff_id == by.pk:
            raise Refusal("own_account", _("Nobody closes or changes their own account."), status=403)
    with transaction.atomic():
        staff = Staff.objects.select_for_update().filter(pk=staff_id).first()
        if staff is None:
            raise NotFound("not_found", _("There is no such person."))
        gone = Authenticator.objects.filter(user=staff).delete()[0]
        sessions.close(staff.pk, "admin")
        audit.record(action="staff.factors_reset", subject=f"staff:{staff.pk}", by=by, reason=reason)
    return gone


def _own(staff_id: UUID, by: Any) -> Staff:
    if staff_id != by.pk:
        raise Refusal("own_account", _("Only a person themselves changes their second factors."), status=403)
    return Staff.objects.select_for_update().get(pk=staff_id)


def _added(staff: Staff, factor: Authenticator, by: Any) -> Enrolled:
    codes = [] if Authenticator.objects.filter(user=staff, type=CODES).exists() else _fresh_codes(staff)
    audit.record(action="staff.factor_added", subject=f"staff:{staff.pk}", by=by, data={"kind": factor.type})
    return Enrolled(factor, codes)


def _fresh_codes(staff: Staff) -> list[str]:
    Authenticator.objects.filter(user=staff, type=CODES).delete()
    made = RecoveryCodes.activate(staff).generate_codes()
    return [f"{code[:5]}-{code[5:]}" for code in made]


def _wrong_code() -> Refusal:
    sentence = _("This code is wrong, or was used already.")
    return Refusal("code_wrong", sentence, errors=[field_error("code", "wrong", sentence)])
