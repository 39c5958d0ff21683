"""The ledger's actions about users in words, for the history line of a user."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.models import Identity, Measure
from accounts.states import ACCOUNT_WORDS
from core.models import AuditEvent

WORDS = {
    "user.registered": _("Registered"),
    "identity.submitted": _("Handed in an identity"),
    "user.identity_verified": _("Identity verified"),
    "user.identity_rejected": _("Identity rejected"),
    "identity.revealed": _("Number shown in the clear"),
    "identity.checked": _("The verification service answered"),
    "identity.left_to_person": _("Left to a person"),
    "identity.code_sent": _("A code was sent"),
    "identity.code_asked": _("Asked for another code"),
    "identity.code_held_back": _("No code was sent: too many to this number"),
    "identity.code_wrong": _("Typed a wrong code"),
    "identity.code_confirmed": _("Typed the right code"),
    "user.identity_recheck": _("Identity must be looked at again"),
    "user.identity_expiring": _("Identity ran out: the grace began"),
    "user.identity_expired": _("Identity counts no more: the grace is over"),
    "user.identity_demanded": _("Identity must be handed in again: abnormal account"),
    "identity.overturn_proposed": _("Overturning the rejection was proposed"),
    "identity.overturn_declined": _("The rejection stands"),
    "identity.overturned": _("The rejection was overturned"),
    "document.claimed": _("Handed in pictures of documents"),
    "guardian.recorded": _("A guardian's consent was recorded"),
    "guardian.withdrawn": _("A guardian's consent was withdrawn"),
    "measure.applied": _("Measure applied"),
    "measure.lifted": _("Measure lifted"),
    "measure.expired": _("Measure ended"),
    "measure.overturned": _("Measure overturned after its end"),
    "appeal.received": _("Appealed"),
    "appeal.accepted": _("Appeal accepted"),
    "appeal.refused": _("Appeal refused"),
    "appeal.withdrawn": _("Appeal withdrawn"),
    "notice.not_emailed": _("A notice could not be sent by e-mail"),
    "user.account_status": _("Account is now"),
    "user.frozen": _("Record frozen: kept, not used"),
    "user.erased": _("Personal data erased"),
    "person_request.received": _("Asked about their data"),
    "person_request.taken_up": _("Request about data taken up"),
    "person_request.bundle_asked": _("All data being gathered"),
    "person_request.answered": _("Request about data answered"),
    "person_request.refused": _("Request about data refused"),
    "person_request.deletion_proposed": _("Deletion proposed"),
    "person_request.deletion_approved": _("Deletion approved"),
    "person_request.downloaded": _("All data fetched by staff"),
    "person_request.fetched": _("All data fetched by the person"),
    "alarm.honey_touched": _("Alarm"),
    "user.changed": _("Changed what the account says"),
    "document.accepted": _("Accepted a document"),
}
FIELDS = {
    "display_name": _("display name"),
    "region": _("region"),
    "profession": _("profession"),
    "institution": _("institution"),
    "contact": _("contact"),
    "address_region": _("region of the address"),
}


class Line(NamedTuple):
    """One line of a history: the event, what happened in words, and about what."""

    event: AuditEvent
    what: Any
    about: Any


def line(event: AuditEvent) -> Line:
    """An event of the ledger as people read it; an action without words is shown as it is."""
    data = event.data or {}
    about: Any = ""
    if event.action.startswith("measure."):
        about = _measure(data)
    elif event.action.startswith("appeal."):
        about = data.get("number", "")
    elif event.action == "identity.submitted":
        about = Identity.METHODS.get(data.get("method", ""), "")
    elif event.action == "user.account_status":
        about = ACCOUNT_WORDS.get(data.get("to", ""), "")
    elif event.action == "user.changed":
        about = ", ".join(str(FIELDS.get(name, name)) for name in data.get("fields", []))
    elif event.action == "document.accepted":
        about = f"{data.get('document', '')} v{data.get('number', '')}"
    return Line(event, WORDS.get(event.action, event.action), about)


def _measure(data: dict[str, Any]) -> Any:
    kind, recommended = data.get("kind", ""), data.get("recommended", "")
    word = Measure.KINDS.get(kind, "")
    if recommended in Measure.KINDS and recommended != kind:
        return gettext("%(measure)s (recommended: %(recommended)s)") % {
            "measure": word,
            "recommended": Measure.KINDS[recommended],
        }
    return word
