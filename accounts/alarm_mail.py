"""Alarms told by e-mail: to those who look at alarms, and to everybody when somebody took emergency rights."""

from __future__ import annotations

from django.db.models import QuerySet
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts.models import Staff
from core import alarms, jobs, mail, outbox, roles
from core.models import Alarm

FOR_EVERYBODY = {"glass_broken"}


def recipients(alarm: Alarm) -> QuerySet[Staff]:
    """Active colleagues with an address whom this alarm concerns."""
    people = Staff.objects.filter(is_active=True).exclude(email="")
    return people if alarm.kind in FOR_EVERYBODY else people.filter(role__in=roles.GRANTS["alarm.see"])


def letter(job: jobs.Claimed) -> None:
    """Tell an alarm: what and when and where to look, nothing of whom it is about. An alarm that somebody looked at
    meanwhile is told nevertheless when it concerns everybody."""
    alarm = Alarm.objects.filter(pk=job.subject).first()
    if alarm is None or not mail.configured() or (alarm.seen_at and alarm.kind not in FOR_EVERYBODY):
        return
    what = str(alarms.KINDS.get(alarm.kind, alarm.kind))
    page = "emergencies" if alarm.kind in FOR_EVERYBODY else "alarms"
    said = [what + (f" ({alarm.actor})" if alarm.kind in FOR_EVERYBODY else ""), mail.address(reverse(page))]
    mail.send(
        to=list(recipients(alarm).values_list("email", flat=True)),
        subject=_("Mingjian: alarm: %(what)s") % {"what": what},
        text="\n\n".join(said),
    )


KIND = jobs.register(jobs.Kind("alarm.mail", mail.sends(letter), queue="courier", lease="webhook_lease"))
outbox.subscribe("internal.alarm", KIND.name)
