"""State tables of identities, measures, appeals and requests about personal data."""

from django.utils.translation import gettext_lazy as _

from core.states import Machine, Move

IDENTITY_WORDS = {
    "unverified": _("not verified"),
    "pending": _("waiting for verification"),
    "verified": _("verified"),
    "rejected": _("rejected"),
    "expired": _("must be proved again"),
    "replaced": _("replaced by a newer one"),
}

IDENTITY = Machine(
    name="identity",
    states=("pending", "verified", "rejected", "expired", "replaced"),
    initial="pending",
    moves=(
        Move("verify", ("pending",), "verified", "identity admin or a verifier"),
        Move("reject", ("pending",), "rejected", "identity admin"),
        Move("overturn", ("rejected",), "verified", "another identity admin"),
        Move("recheck", ("verified",), "pending", "profession or institution changed"),
        Move("expire", ("verified",), "expired", "the clock, after the grace"),
        Move("demand", ("pending", "verified"), "expired", "staff, for an abnormal account"),
        Move("replace", ("pending", "verified", "rejected", "expired"), "replaced", "the user sends another"),
    ),
    final=("replaced",),
    words=IDENTITY_WORDS,
)

MEASURE = Machine(
    name="measure",
    states=("in_force", "lifted", "expired", "overturned"),
    initial="in_force",
    moves=(
        Move("lift", ("in_force",), "lifted", "staff"),
        Move("expire", ("in_force",), "expired", "the clock"),
        Move("overturn", ("in_force",), "lifted", "an appeal that succeeds"),
        Move("overturn", ("lifted", "expired"), "overturned", "an appeal that succeeds after its end"),
    ),
    final=("overturned",),
    words={
        "in_force": _("in force"),
        "lifted": _("lifted"),
        "expired": _("expired"),
        "overturned": _("overturned"),
    },
)

APPEAL = Machine(
    name="appeal",
    states=("open", "accepted", "refused", "withdrawn"),
    initial="open",
    moves=(
        Move("accept", ("open",), "accepted", "somebody else than the first decider"),
        Move("refuse", ("open",), "refused", "somebody else than the first decider"),
        Move("withdraw", ("open",), "withdrawn", "the user"),
    ),
    final=("accepted", "refused", "withdrawn"),
    words={
        "open": _("waiting for an answer"),
        "accepted": _("appeal accepted"),
        "refused": _("appeal refused"),
        "withdrawn": _("appeal withdrawn"),
    },
)

PERSON_REQUEST = Machine(
    name="person_request",
    states=("received", "working", "frozen", "done", "refused"),
    initial="received",
    moves=(
        Move("take", ("received",), "working", "staff"),
        Move("answer", ("working",), "done", "staff; a job where a bundle is made"),
        Move("refuse", ("received", "working"), "refused", "staff, with reasons"),
        Move("freeze", ("working",), "frozen", "a second person, for a deletion"),
        Move("erase", ("frozen",), "done", "the clock, after the retention period"),
    ),
    final=("done", "refused"),
    words={
        "received": _("received"),
        "working": _("being worked on"),
        "frozen": _("kept until its time is over"),
        "done": _("answered"),
        "refused": _("refused"),
    },
)

USER_IMPORT = Machine(
    name="user_import",
    states=("checking", "checked", "running", "finished", "refused", "failed", "aborted"),
    initial="checking",
    moves=(
        Move("check", ("checking",), "checked", "the worker"),
        Move("refuse", ("checking",), "refused", "the worker: the file can't be read"),
        Move("carry_out", ("checked",), "running", "identity admin"),
        Move("finish", ("running",), "finished", "the worker"),
        Move("fail", ("running",), "failed", "the worker"),
        Move("resume", ("failed",), "running", "identity admin"),
        Move("abort", ("checking", "checked", "running", "failed"), "aborted", "identity admin, or the clock"),
    ),
    final=("finished", "refused", "aborted"),
    words={
        "checking": _("being checked"),
        "checked": _("checked, not carried out"),
        "running": _("being carried out"),
        "finished": _("carried out"),
        "refused": _("the file was refused"),
        "failed": _("stopped"),
        "aborted": _("aborted"),
    },
)

ACCOUNT_WORDS = {
    "active": _("active"),
    "limited": _("limited"),
    "suspended": _("suspended"),
    "closed": _("closed"),
}
