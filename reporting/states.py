"""The state table of bundles."""

from django.utils.translation import gettext_lazy as _

from core.states import Machine, Move

BUNDLE = Machine(
    name="bundle",
    states=("queued", "making", "ready", "failed"),
    initial="queued",
    moves=(
        Move("make", ("queued",), "making", "a worker"),
        Move("finish", ("making",), "ready", "the worker, when the file is stored"),
        Move("fail", ("queued", "making"), "failed", "the third failed attempt"),
        Move("retry", ("failed",), "queued", "compliance officer"),
    ),
    final=("ready",),
    words={"queued": _("waiting"), "making": _("being made"), "ready": _("ready"), "failed": _("failed")},
)
