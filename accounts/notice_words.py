"""The words of notices. The sentences are ours and translated; what staff typed only fills the blanks, by plain
substitution, and is never read as a template."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.utils import translation
from django.utils.translation import gettext as _

from accounts.models import Appeal, Measure, User
from accounts.states import ACCOUNT_WORDS
from core.calendar import SHANGHAI

LANGUAGE = "zh-hans"  # of the services' users; names in English stay as they are


class Told(NamedTuple):
    """What a notice is about."""

    user: User
    measure: Any  # a Measure, for the kinds that have one
    appeal: Any  # an Appeal, for the kinds that have one
    reason: str
    until: datetime | None


def words(kind: str, told: Told) -> tuple[str, str]:
    """Title and body of a notice. Raises KeyError for an unknown kind."""
    with translation.override(LANGUAGE):
        title, lines = _WORDS[kind](told)
        return title[:120], "\n".join([_about(told.user), *(line for line in lines if line)])


def last_day(end: datetime) -> str:
    """The last day of a limit that is kept as the end (24:00) of it."""
    return f"{(end - timedelta(seconds=1)).astimezone(SHANGHAI):%Y-%m-%d}"


def functions_in_words(user: User, codes: list[str]) -> str:
    """The names of a service's functions, in the reader's language."""
    known = {function.code: str(function) for function in user.service.functions.all()}
    return ", ".join(known.get(code, code) for code in codes)


def _measure_applied(told: Told) -> tuple[str, list[str]]:
    measure: Measure = told.measure
    kind = Measure.KINDS[measure.kind]
    lines = [_("Measure: %(measure)s") % {"measure": kind}]
    if measure.functions:
        lines.append(_("Functions: %(functions)s") % {"functions": functions_in_words(told.user, measure.functions)})
    lines.append(_("Reason: %(reason)s") % {"reason": measure.ground})
    if measure.clause:
        lines.append(_("Clause: %(clause)s") % {"clause": measure.clause})
    lines.append(_span(measure))
    if measure.remedy:
        lines.append(_("How to put it right: %(remedy)s") % {"remedy": measure.remedy})
    if measure.material:
        lines.append(_("What to hand in: %(material)s") % {"material": measure.material})
    if measure.appeal_until:
        lines.append(_("You can appeal until the end of %(day)s.") % {"day": last_day(measure.appeal_until)})
    return _("Notice: %(measure)s") % {"measure": kind}, lines


def _measure_lifted(told: Told) -> tuple[str, list[str]]:
    kind = Measure.KINDS[told.measure.kind]
    return _("Lifted: %(measure)s") % {"measure": kind}, [
        _("This measure is lifted: %(measure)s") % {"measure": kind},
        _("Reason: %(reason)s") % {"reason": told.reason},
        _account(told.user),
    ]


def _appeal_received(told: Told) -> tuple[str, list[str]]:
    appeal: Appeal = told.appeal
    return _("Your appeal %(number)s was received") % {"number": appeal.number}, [
        _against(told),
        _("Somebody who did not make the decision looks at it. The answer comes by the end of %(day)s.")
        % {"day": last_day(appeal.due_at)},
    ]


def _appeal_decided(told: Told) -> tuple[str, list[str]]:
    accepted = told.appeal.state == "accepted"
    title = _("Your appeal %(number)s was accepted") if accepted else _("Your appeal %(number)s was refused")
    return title % {"number": told.appeal.number}, [
        _against(told),
        _("Answer: %(reason)s") % {"reason": told.reason},
        _("The measure is lifted and does not count against you.") if accepted else "",
        _account(told.user),
    ]


def _identity_rejected(told: Told) -> tuple[str, list[str]]:
    return _("Your proof of identity was not accepted"), [
        _("Reason: %(reason)s") % {"reason": told.reason} if told.reason else "",
        _("Hand in your identity again through the service. Until it is verified, you can't publish."),
    ]


def _identity_again(told: Told) -> tuple[str, list[str]]:
    return _("Please prove your identity again"), [
        _("Reason: %(reason)s") % {"reason": told.reason} if told.reason else "",
        _("You can publish as before until the end of %(day)s.") % {"day": last_day(told.until)} if told.until else "",
        _("Hand in your identity again through the service."),
    ]


def _request_answered(told: Told) -> tuple[str, list[str]]:
    return _("Your request about your data was answered"), [told.reason]


_WORDS: dict[str, Callable[[Told], tuple[str, list[str]]]] = {
    "measure_applied": _measure_applied,
    "measure_lifted": _measure_lifted,
    "appeal_received": _appeal_received,
    "appeal_decided": _appeal_decided,
    "identity_rejected": _identity_rejected,
    "identity_again": _identity_again,
    "request_answered": _request_answered,
}


def _about(user: User) -> str:
    return _("Account %(account)s at %(service)s") % {"account": user.external_id, "service": user.service}


def _account(user: User) -> str:
    return _("Your account is now: %(state)s") % {"state": ACCOUNT_WORDS[user.account_status]}


def _against(told: Told) -> str:
    return _("Against: %(measure)s") % {"measure": Measure.KINDS[told.measure.kind]}


def _span(measure: Measure) -> str:
    if measure.kind == "warn" and not measure.ends_at:
        return ""
    start = f"{measure.starts_at.astimezone(SHANGHAI):%Y-%m-%d %H:%M}"
    if not measure.ends_at:
        return _("From %(start)s (Beijing time) until it is lifted") % {"start": start}
    end = f"{measure.ends_at.astimezone(SHANGHAI):%Y-%m-%d %H:%M}"
    return _("From %(start)s until %(end)s (Beijing time)") % {"start": start, "end": end}
