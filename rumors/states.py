"""The state table of rumor cases (DS-11a)."""

from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from core.states import Machine, Move

OFFICER = "compliance officer"

RUMOR_CASE = Machine(
    name="rumor_case",
    states=("open", "verifying", "confirmed_false", "not_false", "refuted", "waived", "reported", "closed"),
    initial="open",
    moves=(
        Move("verify", ("open",), "verifying", f"{OFFICER}, with the first evidence"),
        Move("confirm", ("verifying",), "confirmed_false", OFFICER),
        Move("clear", ("verifying",), "not_false", OFFICER),
        Move("refute", ("confirmed_false", "not_false"), "refuted", f"{OFFICER}, by publishing"),
        Move("waive", ("confirmed_false", "not_false"), "waived", f"{OFFICER}, saying why"),
        Move("report", ("refuted", "waived"), "reported", "the last report that was missing"),
        Move("close", ("waived", "reported"), "closed", OFFICER),
        Move(
            "reopen",
            ("confirmed_false", "not_false", "refuted", "waived", "reported", "closed"),
            "verifying",
            f"{OFFICER}, saying why",
        ),
    ),
    words={
        "open": pgettext_lazy("rumor case", "opened"),
        "verifying": _("being verified"),
        "confirmed_false": _("confirmed false"),
        "not_false": _("not found false"),
        "refuted": _("refuted"),
        "waived": _("refutation not needed"),
        "reported": _("reported"),
        "closed": pgettext_lazy("rumor case", "closed"),
    },
)
