"""The brake of the feature library: a new entry that matches too large a share of the traffic loses its effect by itself
and calls the people who brought it in. Whoever approves looks at it and lets it go on, or retires it."""

from __future__ import annotations

from datetime import timedelta

import structlog
from django.db import transaction
from django.db.models.functions import Now
from django.urls import reverse
from django.utils.translation import gettext as _

from core import alarms, jobs, mail, outbox
from core.options import option
from core.sql import run
from core.states import transition
from moderation.features import count_up, hold
from moderation.models import Feature
from moderation.states import FEATURE

log = structlog.get_logger("brake")
BY = "system:brake"
TOPIC = "internal.feature_braked"


def pull() -> list[int]:
    """Look at what the new entries hit, and stop those that hit too much; run by beat. Answers their ids. The cost is
    bounded: only the last `brake_window` items are looked at, and nothing where no entry is new."""
    if option("brake_share") >= 1 or not _new_ones():
        return []
    return [pk for pk, hits, items in _too_wide() if _stop(pk, hits, items)]


def _new_ones() -> bool:
    since = Now() - timedelta(hours=option("brake_hours"))
    return Feature.objects.filter(state="active", allow=False, braked_at=None, approved_at__gt=since).exists()


def _too_wide() -> list[tuple[int, int, int]]:
    return run(  # type: ignore[return-value]
        "moderation/brake_features",
        {
            "window": int(option("brake_window")),
            "hours": option("brake_hours"),
            "least": int(option("brake_least")),
            "share": option("brake_share"),
        },
    )


def _stop(feature_id: int, hits: int, items: int) -> bool:
    with transaction.atomic():
        hold()
        feature = Feature.objects.select_for_update(of=("self",)).filter(pk=feature_id).first()
        if feature is None or feature.state != "active" or feature.braked_at is not None:
            return False  # a person was faster
        feature.changed_in = version = count_up()
        feature.braked_at, feature.braked_share = Now(), hits / items
        said = {"library": version, "hits": hits, "items": items}
        transition(
            FEATURE,
            feature,
            "brake",
            by=BY,
            reason=f"{hits}/{items}",
            also=["changed_in", "braked_at", "braked_share"],
            data=said,
        )
        alarms.ring(
            kind="feature_braked",
            subject=f"feature:{feature_id}",
            by=BY,
            detail=f"#{feature_id}: {hits}/{items} ({hits / items:.0%})",
        )
        outbox.emit(TOPIC, subject=str(feature_id), payload=said)
    log.warning("feature_braked", feature=feature_id, hits=hits, items=items)
    return True


def letter(job: jobs.Claimed) -> None:
    """Tell whoever proposed and whoever approved the entry, where there is a mail server: which, and where to look."""
    feature = Feature.objects.select_related("proposed_by", "approved_by").filter(pk=job.subject).first()
    if feature is None or feature.state != "braked" or not mail.configured():
        return
    people = [person for person in (feature.proposed_by, feature.approved_by) if person and person.is_active]
    mail.send(
        to=[person.email for person in people],
        subject=_("Mingjian: the brake stopped entry #%(id)s") % {"id": feature.pk},
        text="\n\n".join(
            [
                _("It matched %(share)s of what was screened since it came into force, and has no effect any more.")
                % {"share": f"{feature.braked_share or 0:.0%}"},
                mail.address(reverse("feature", args=[feature.pk])),
            ]
        ),
    )


KIND = jobs.register(jobs.Kind("feature.braked_mail", mail.sends(letter), queue="courier", lease="webhook_lease"))
outbox.subscribe(TOPIC, KIND.name)
