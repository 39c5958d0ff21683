"""State tables of submissions, features and policies."""

from django.utils.translation import gettext_lazy as _

from core.states import Machine, Move

SUBMISSION_WORDS = {
    "screening": _("being screened"),
    "in_review": _("in review"),
    "released": _("released"),
    "blocked": _("blocked"),
    "withdrawn": _("withdrawn"),
}

SUBMISSION = Machine(
    name="submission",
    states=("screening", "in_review", "released", "blocked", "withdrawn"),
    initial="screening",
    moves=(
        Move("release", ("screening", "in_review"), "released", "policy or moderator"),
        Move("block", ("screening", "in_review"), "blocked", "policy or moderator"),
        Move("review", ("screening",), "in_review", "policy, or a check that failed"),
        Move("withdraw", ("screening", "in_review"), "withdrawn", "the service"),
        Move("evaluate_again", ("in_review",), "screening", "a job, when what held it has ended"),
        Move("restore", ("blocked",), "released", "an appeal that succeeds"),
    ),
    final=("released", "withdrawn"),
    words=SUBMISSION_WORDS,
)

FEATURE_WORDS = {"proposed": _("proposed"), "active": _("active"), "retired": _("retired")}

FEATURE = Machine(
    name="feature",
    states=("proposed", "active", "retired"),
    initial="proposed",
    moves=(
        Move("approve", ("proposed",), "active", "another person than the proposer"),
        Move("refuse", ("proposed",), "retired", "another person than the proposer"),
        Move("retire", ("active",), "retired", "senior moderator or compliance officer"),
    ),
    final=("retired",),
    words=FEATURE_WORDS,
)

POLICY = Machine(
    name="policy",
    states=("draft", "live", "retired"),
    initial="draft",
    moves=(
        Move("go_live", ("draft",), "live", "the next version"),
        Move("retire", ("live",), "retired", "the version after it"),
    ),
    final=("retired",),
    words={"draft": _("draft"), "live": _("live"), "retired": _("retired")},
)
