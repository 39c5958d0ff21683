"""Tags and filters of the pages: icons, times as Shanghai reads them, highlights, masks, small figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django import forms, template
from django.templatetags.static import static
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince
from django.utils.translation import get_language, gettext, to_locale

from core import highlighting, state_badges

register = template.Library()

SHANGHAI = ZoneInfo("Asia/Shanghai")
SPRITE = "vendor/icons/icons.svg"
_FORMATS = {  # kind -> (Chinese, English)
    "minute": ("Y-m-d H:i", "j M Y, H:i"),
    "second": ("Y-m-d H:i:s", "j M Y, H:i:s"),
    "date": ("Y-m-d", "j M Y"),
    "time": ("H:i", "H:i"),
    "short": ("m-d H:i", "j M, H:i"),
    "day": ("m-d D", "D j M"),
    "long": ("Y年n月j日 l H:i", "l j F Y, H:i"),
}
_HIDDEN_AT_LEAST = 4  # of a masked number; a shorter one keeps nothing
_PLAIN = (forms.CheckboxInput, forms.RadioSelect, forms.CheckboxSelectMultiple)  # drawn by the browser itself


@register.simple_tag
def icon(name: str, label: str = "", css: str = "") -> SafeString:
    """`{% icon "gavel" %}`: one drawing of the sprite. With a label it is an image with a name, else decoration."""
    spoken = format_html('role="img" aria-label="{}"', label) if label else format_html('aria-hidden="{}"', "true")
    return format_html(
        '<svg class="{}" {}><use href="{}#{}"></use></svg>', f"icon {css}".strip(), spoken, static(SPRITE), name
    )


@register.filter
def grouped(value: int) -> str:
    """A count with its thousands apart."""
    return f"{value:,}"


@register.simple_tag
def html_lang() -> str:
    """The language of this page as HTML names it: zh-Hans, en."""
    return to_locale(get_language() or "zh-hans").replace("_", "-")


@register.filter
def shanghai(value: Any, kind: str = "minute") -> str:
    """A moment as a clock in Shanghai shows it, in the reader's language. Kinds: minute (default), second, date, time,
    short, day, long. A date without a time is not shifted; nothing is shown for None."""
    if not value:
        return ""
    formats = _FORMATS[kind if isinstance(value, datetime) else "date"]
    if isinstance(value, datetime):
        aware = value if timezone.is_aware(value) else value.replace(tzinfo=UTC)
        value = aware.astimezone(SHANGHAI)
    chinese = (get_language() or "zh").startswith("zh")
    if chinese and kind == "day":
        return f"{value:%m-%d} 周{'一二三四五六日'[value.weekday()]}"  # Django's short form is 星期一
    return date_format(value, formats[0 if chinese else 1])


@register.filter
def ago(value: datetime | None) -> str:
    """How long since (or until) a moment, in one unit: “3 minutes ago”, “in 2 hours”, “just now”."""
    if not value:
        return ""
    now = timezone.now()
    if abs((now - value).total_seconds()) < 60:
        return gettext("just now")
    if value > now:
        return gettext("in %(time)s") % {"time": timesince(now, value, depth=1)}
    return gettext("%(time)s ago") % {"time": timesince(value, now, depth=1)}


@register.simple_tag
def moment(value: datetime | date | None, kind: str = "ago") -> SafeString | str:
    """`{% moment x %}`: a <time> that reads “3 minutes ago” and tells the second on hover; a kind of `shanghai` shows
    that instead."""
    if not value:
        return "—"
    if kind == "ago" and isinstance(value, datetime):
        shown = ago(value)
    else:
        shown = shanghai(value, "minute" if kind == "ago" else kind)
    return format_html('<time datetime="{}" title="{}">{}</time>', value.isoformat(), shanghai(value, "second"), shown)


@register.filter
def duration(seconds: Any) -> str:
    """Seconds as a clock reads: 4:12, 1:04:12. Below zero it stays at 0:00."""
    left = max(0, int(seconds or 0))
    hours, minutes = divmod(left // 60, 60)
    return f"{hours}:{minutes:02}:{left % 60:02}" if hours else f"{minutes}:{left % 60:02}"


@register.filter
def highlight(text: str, spans: Iterable[Mapping[str, Any]] | None) -> SafeString:
    """`{{ text|highlight:spans }}`, see `core.highlighting.highlight`."""
    return highlighting.highlight(text, spans)


@register.filter
def mask(value: Any, kind: str = "number") -> str:
    """What may stand on a page of something personal. `name` keeps the first character, `number` the first and the last
    two, `phone` the first three and last four, `email` the first character and the domain. Too short: nothing is kept.
    """
    text = str(value or "").strip()
    if kind == "email" and "@" in text:
        local, _at, domain = text.rpartition("@")
        return f"{local[:1]}***@{domain}"
    head, tail = {"name": (1, 0), "phone": (3, 4)}.get(kind, (1, 2))
    if kind == "name":
        return text[:1] + "**" if len(text) > 1 else "*" * len(text)
    hidden = len(text) - head - tail
    if hidden < _HIDDEN_AT_LEAST:
        return "*" * len(text)
    return text[:head] + "*" * hidden + text[-tail:]


@register.filter
def look(state: str, machine: str = "") -> dict[str, Any]:
    """Word, tone and icon of a state, for components/badge_state.html."""
    return state_badges.look(str(state), str(machine or ""))


@register.filter
def control(bound: forms.BoundField) -> SafeString:
    """A form field's control with the class of its kind and the names of the help and error texts beneath it."""
    widget = bound.field.widget
    own = widget.attrs.get("class", "")
    attrs = {"class": f"{_control_class(widget)} {own}".strip()}
    described = [f"{bound.auto_id}_help"] if bound.help_text else []
    if bound.errors:
        described.insert(0, f"{bound.auto_id}_error")
        attrs["aria-invalid"] = "true"
        attrs["class"] += " is-invalid"
    if described:
        attrs["aria-describedby"] = " ".join(described)
    return bound.as_widget(attrs={name: value for name, value in attrs.items() if value})


@register.filter
def is_checkbox(bound: forms.BoundField) -> bool:
    """Whether the label belongs after the control."""
    return isinstance(bound.field.widget, forms.CheckboxInput)


@register.filter
def chart_rows(data: Mapping[str, Any]) -> list[tuple[Any, list[Any]]]:
    """The figures of a chart as table rows: (label, one value per series)."""
    columns = [series["values"] for series in data["series"]]
    return [(label, [column[i] for column in columns]) for i, label in enumerate(data["labels"])]


@register.simple_tag
def spark(values: Iterable[float], label: str, tone: str = "", kind: str = "line") -> SafeString:
    """A figure the size of a word: `{% spark values _("Last 7 days") tone="bad" kind="bars" %}`."""
    heights = [float(value or 0) for value in values]
    top = max(heights, default=0) or 1
    step = 100 / max(1, len(heights) - (kind == "line"))
    if kind == "bars":
        shapes = [
            format_html(
                '<rect x="{}" y="{}" width="{}" height="{}"></rect>',
                *(f"{n:.1f}" for n in (i * step, 27 - 25 * h / top, step * 0.72, 1 + 25 * h / top)),
            )
            for i, h in enumerate(heights)
        ]
        inner = format_html("{}" * len(shapes), *shapes) if shapes else ""
    else:
        points = " ".join(f"{i * step:.1f},{26 - 24 * h / top:.1f}" for i, h in enumerate(heights))
        inner = format_html('<polyline points="{}"></polyline>', points)
    return format_html(
        '<svg class="spark {}" viewBox="0 0 100 28" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>',
        tone,
        label,
        inner,
    )


def _control_class(widget: forms.Widget) -> str:
    if isinstance(widget, _PLAIN):
        return ""
    return "form-select" if isinstance(widget, forms.Select) else "form-control"
