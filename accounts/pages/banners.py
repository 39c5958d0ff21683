"""What stands above every staff page while it lasts: alarms that nobody has looked at, and broken glass."""

from __future__ import annotations

from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts import emergency
from core.context import Banner
from core.roles import may
from core.templatetags.mingjian import shanghai


def lines(request: HttpRequest) -> list[Banner]:
    """The lines for whoever looks. What the session's look at the database found decides (accounts/sessions.py), so that
    a quiet house costs nothing more."""
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return []
    found = getattr(request, "presence", None)
    if found is None:
        return []
    shown = []
    if found.emergencies or user.emergency:
        shown += [_broken(glass, user) for glass in emergency.opened()]
    if found.alarms and may(user, "alarm.see"):
        text = ngettext("%(n)d alarm: nobody has looked yet.", "%(n)d alarms: nobody has looked yet.", found.alarms)
        shown.append(Banner("bad", "bell", text % {"n": found.alarms}, reverse("alarms"), _("Look")))
    if found.unreviewed and may(user, "glass.review"):
        text = ngettext("%(n)d emergency waits for a review.", "%(n)d emergencies wait for a review.", found.unreviewed)
        shown.append(
            Banner("warn", "hourglass", text % {"n": found.unreviewed}, reverse("emergencies"), _("Review it"))
        )
    return shown


def _broken(glass: emergency.BreakGlass, user: object) -> Banner:
    text = _("%(name)s has emergency rights until %(until)s: %(reason)s") % {
        "name": str(glass.staff),
        "until": shanghai(glass.until, "time"),
        "reason": glass.reason[:200],
    }
    seen = may(user, "glass.view")
    return Banner("bad", "alert-triangle", text, reverse("emergencies") if seen else "", _("Look") if seen else "")
