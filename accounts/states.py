"""State tables of identities and measures."""

from django.utils.translation import gettext_lazy as _

from core.states import Machine, Move

IDENTITY_WORDS = {
    "unverified": _("not verified"),
    "pending": _("waiting for verification"),
    "verified": _("verified"),
    "rejected": _("rejected"),
    "replaced": _("replaced by a newer one"),
}

IDENTITY = Machine(
    name="identity",
    states=("pending", "verified", "rejected", "replaced"),
    initial="pending",
    moves=(
        Move("verify", ("pending",), "verified", "identity admin"),
        Move("reject", ("pending",), "rejected", "identity admin"),
        Move("replace", ("pending", "verified", "rejected"), "replaced", "the user sends another"),
    ),
    final=("replaced",),
    words=IDENTITY_WORDS,
)

MEASURE = Machine(
    name="measure",
    states=("in_force", "lifted", "expired"),
    initial="in_force",
    moves=(
        Move("lift", ("in_force",), "lifted", "staff, or an appeal that succeeds"),
        Move("expire", ("in_force",), "expired", "the clock"),
    ),
    final=("lifted", "expired"),
    words={"in_force": _("in force"), "lifted": _("lifted"), "expired": _("expired")},
)

ACCOUNT_WORDS = {
    "active": _("active"),
    "limited": _("limited"),
    "suspended": _("suspended"),
    "closed": _("closed"),
}
