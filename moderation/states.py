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

FEATURE_WORDS = {
    "proposed": _("proposed"),
    "active": _("active"),
    "braked": _("stopped by the brake"),
    "retired": _("retired"),
}

FEATURE = Machine(
    name="feature",
    states=("proposed", "active", "braked", "retired"),
    initial="proposed",
    moves=(
        Move("approve", ("proposed",), "active", "another person than the proposer"),
        Move("refuse", ("proposed",), "retired", "another person than the proposer"),
        Move("withdraw", ("proposed",), "retired", "the proposer"),
        Move("brake", ("active",), "braked", "the clock, when a new entry matches too large a share of the traffic"),
        Move("let_go", ("braked",), "active", "senior moderator or compliance officer"),
        Move("replace", ("active", "braked"), "retired", "the approval of its revision"),
        Move("retire", ("active", "braked"), "retired", "senior moderator or compliance officer"),
    ),
    final=("retired",),
    words=FEATURE_WORDS,
)

FEATURE_IMPORT = Machine(
    name="feature_import",
    states=("checking", "checked", "running", "done", "aborted", "failed"),
    initial="checking",
    moves=(
        Move("finish_check", ("checking",), "checked", "the job that read the file"),
        Move("carry_out", ("checked",), "running", "a moderator who may propose"),
        Move("finish", ("running",), "done", "the job that proposed the entries"),
        Move("abort", ("checking", "checked", "failed"), "aborted", "a moderator who may propose, or the clock"),
        Move("fail", ("checking", "running"), "failed", "a file that is no list, or a job that failed three times"),
    ),
    final=("done", "aborted"),
    words={
        "checking": _("being checked"),
        "checked": _("checked, not carried out"),
        "running": _("running"),
        "done": _("done"),
        "aborted": _("aborted"),
        "failed": _("failed"),
    },
)

POLICY = Machine(
    name="policy",
    states=("draft", "shadow", "live", "retired"),
    initial="draft",
    moves=(
        Move("shadow", ("draft",), "shadow", "its author"),
        Move("go_live", ("draft", "shadow"), "live", "another person than its author, who approved this revision"),
        Move("withdraw", ("draft", "shadow"), "retired", "compliance officer or senior moderator"),
        Move("retire", ("live",), "retired", "the version after it"),
    ),
    final=("retired",),
    words={"draft": _("draft"), "shadow": _("in shadow"), "live": _("live"), "retired": _("retired")},
)

BACKTEST = Machine(
    name="backtest",
    states=("running", "aborted", "done", "failed"),
    initial="running",
    moves=(
        Move("finish", ("running",), "done", "the job of its last part"),
        Move("abort", ("running",), "aborted", "whoever may start one"),
        Move("resume", ("aborted", "failed"), "running", "whoever may start one"),
        Move("fail", ("running",), "failed", "a part that could not be done in three tries"),
    ),
    final=("done",),
    words={"running": _("running"), "aborted": _("aborted"), "done": _("done"), "failed": _("failed")},
)

CLASSIFIER = Machine(
    name="classifier",
    states=("trained", "active", "retired"),
    initial="trained",
    moves=(
        Move("activate", ("trained",), "active", "another person than who trained it"),
        Move("refuse", ("trained",), "retired", "another person than who trained it"),
        Move("retire", ("active",), "retired", "senior moderator or compliance officer"),
    ),
    final=("retired",),
    words={"trained": _("trained"), "active": _("active"), "retired": _("retired")},
)
