"""A file of an item as people see it: what the box said of it, its re-encoded picture with the findings drawn over it,
and the texts that were read out of it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from core.mediabox import NOT_ALL_SEEN
from core.models import Evidence as StoredFile
from moderation import media
from moderation.evidence_lines import Evidence, Framed
from moderation.models import ExtractedText, Medium, Submission

# What a submission is read with, so that its files cost no query of their own.
WITH = ("content__input_file__medium", "content__output_file__medium")
BOXES = 300  # a picture full of terms must not make the page endless
KINDS = {"image": gettext_lazy("Picture"), "video": gettext_lazy("Video"), "audio": gettext_lazy("Sound")}
ICONS = {"image": "photo", "video": "photo", "audio": "speakerphone"}
READ_OUT = {"ocr": gettext_lazy("Writing in the picture"), "transcript": gettext_lazy("What is said")}
# What the box noticed (core.mediabox.FLAGS), in the words of the desk.
FLAGS: dict[str, str | Promise] = {
    "animated": gettext_lazy("It moves"),
    "alpha": gettext_lazy("It is transparent in places"),
    "cover": gettext_lazy("It carries a cover picture"),
    "cover_not_decodable": gettext_lazy("Its cover picture could not be decoded"),
    "credentials_unreadable": gettext_lazy("Its content credentials could not be read"),
    "data_stream": gettext_lazy("It carries data beside picture and sound"),
    "frames_broken": gettext_lazy("Some of its frames could not be decoded"),
    "gps": gettext_lazy("It says where it was made"),
    "metadata_cut": gettext_lazy("Its metadata was too much to keep"),
    "more_frames_than_looked_at": gettext_lazy("Not all parts of it could be looked at"),
    "odd_shape": gettext_lazy("It was stretched to be looked at"),
    "remote_manifest_not_fetched": gettext_lazy("It names content credentials elsewhere; they were not fetched"),
    "second_magic": gettext_lazy("It is a file of another kind as well"),
    "several_sounds": gettext_lazy("It has more than one sound track"),
    "several_videos": gettext_lazy("It has more than one video track"),
    "sound_broken": gettext_lazy("Its sound could not be decoded to the end"),
    "sound_cut": gettext_lazy("Its sound was not read to the end"),
    "subtitles": gettext_lazy("It carries subtitles or attached files"),
    "trailing_data": gettext_lazy("Something follows after its end"),
    "truncated": gettext_lazy("It ends early"),
    "xmp_refused": gettext_lazy("Its XMP was not read"),
}
_REASONS: tuple[tuple[str, str | Promise], ...] = (
    (r"format (?P<what>\S+)", gettext_lazy("files of this kind are not opened (%(what)s)")),
    (r"codec (?P<what>\S+)", gettext_lazy("its codec is not decoded (%(what)s)")),
    (r"more than (?P<what>\d+) million pixels", gettext_lazy("it has more than %(what)s million pixels")),
    (r"longer than (?P<what>\d+) minutes", gettext_lazy("it is longer than %(what)s minutes")),
    (r"more than (?P<what>.+)", gettext_lazy("it holds more than %(what)s")),
    (r"crashed: (?P<what>\d+) times.*", gettext_lazy("the decoder crashed %(what)s times, and does not try again")),
    (r"crashed.*", gettext_lazy("the decoder crashed on it")),
    (r"out of time", gettext_lazy("it took too long")),
    (r"out of memory", gettext_lazy("it took too much memory")),
    (r"ends early", gettext_lazy("it ends early")),
    (r"broken (?P<what>\S+):.*", gettext_lazy("it is broken (%(what)s)")),
    (media.DAMAGED, gettext_lazy("the stored bytes are damaged")),
)


@dataclass(frozen=True)
class Drawn:
    """A rectangle over the picture, with the numbers of the findings that stand there at its upper left corner."""

    numbers: str
    tone: str
    title: str
    x: int
    y: int
    w: int
    h: int
    text_y: int


@dataclass(frozen=True)
class Moment:
    """Where on the sheet a frame stands, and when it was."""

    words: str
    x: int
    y: int


@dataclass(frozen=True)
class ReadOut:
    """A text that was read out of the file, with its marks."""

    field: str
    name: Any
    text: str
    spans: list[dict[str, Any]]
    how: str


@dataclass(frozen=True)
class ShownFile:
    """Everything the page shows of one file."""

    side: str
    file: StoredFile
    icon: str
    kind: Any
    problem: str
    facts: list[tuple[Any, str]]
    flags: list[tuple[Any, bool]]  # words; whether something was not looked at because of it
    preview: str = ""
    original: str = ""
    width: int = 0
    height: int = 0
    letter: int = 1  # how high a number is, in units of the picture
    drawn: list[Drawn] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)
    read_out: list[ReadOut] = field(default_factory=list)
    waiting: bool = False


def of(item: Submission, found: Evidence) -> dict[str, ShownFile]:
    """The files of an item by side; one query where there are any, none where there are none. The item comes with its
    content and `WITH`."""
    files = {
        side: file for side in ("input", "output") if (file := getattr(item.content, f"{side}_file", None)) is not None
    }
    if not files:
        return {}
    texts: dict[str, list[ExtractedText]] = {}
    for text in ExtractedText.objects.filter(submission=item).order_by("field"):
        texts.setdefault(text.side, []).append(text)
    return {side: _shown(item, side, file, texts.get(side, []), found) for side, file in files.items()}


def _shown(item: Submission, side: str, file: StoredFile, texts: list[ExtractedText], found: Evidence) -> ShownFile:
    medium: Medium | None = getattr(file, "medium", None)
    original = reverse("submission_file", args=[item.pk, side])
    if medium is None:
        return ShownFile(side, file, "photo", "", "", [], [], original=original, waiting=True)
    facts = medium.facts
    shown = bool(medium.preview_id) and medium.state == "decoded"
    width, height = facts.get("sheet") or (facts.get("width", 0), facts.get("height", 0))
    letter = max(1, max(width, height) // 34)
    framed = found.framed.get(side, [])[:BOXES]
    return ShownFile(
        side=side,
        file=file,
        icon=ICONS.get(medium.kind, "photo"),
        kind=KINDS.get(medium.kind, ""),
        problem="" if medium.state == "decoded" else reason_in_words(medium.reason),
        facts=_facts(medium),
        flags=[(FLAGS.get(flag, flag), flag in NOT_ALL_SEEN) for flag in medium.flags],
        preview=reverse("submission_preview", args=[item.pk, side]) if shown else "",
        original=original,
        width=width,
        height=height,
        letter=letter,
        drawn=_all_drawn(framed, facts, texts, letter) if shown and width else [],
        moments=[
            Moment(clock(cell["seconds"]), cell["x"] + letter // 4, cell["y"] + cell["h"] - letter // 3)
            for cell in facts.get("cells", [])
        ],
        read_out=[
            ReadOut(
                text.field,
                READ_OUT.get(text.field, text.field),
                text.text,
                found.marks.get((side, text.field), []),
                text.check_version,
            )
            for text in texts
        ],
    )  # fmt: skip


def _facts(medium: Medium) -> list[tuple[Any, str]]:
    facts = medium.facts
    said: list[tuple[Any, str]] = []
    if facts.get("width"):
        said.append((_("Size"), f"{facts['width']} × {facts['height']} px"))
    if facts.get("seconds"):
        said.append((_("Length"), clock(facts["seconds"])))
    if medium.kind == "video":
        said.append((_("Sound track"), _("yes") if facts.get("sound") else _("no")))
    if facts.get("codecs") and medium.kind != "image":
        said.append((_("Codec"), ", ".join(sorted(set(facts["codecs"].values())))))
    return said


def clock(seconds: float) -> str:
    """A length or a moment: 0:04, 1:02:03; below a minute with tenths."""
    if seconds < 60:
        return f"0:{seconds:04.1f}"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def reason_in_words(reason: str) -> str:
    """Why a file could not be opened, for people; a reason that is not known is shown as the box gave it."""
    for pattern, words in _REASONS:
        if match := re.fullmatch(pattern, reason):
            return str(words) % match.groupdict()
    return reason


def _all_drawn(framed: list[Framed], facts: dict[str, Any], texts: list[ExtractedText], letter: int) -> list[Drawn]:
    """The rectangles, those of the same place as one in the strongest tone; the gravest last, on top of the others."""
    places: dict[tuple[int, int, int, int], list[Framed]] = {}
    for one in framed:
        if place := _place(one, facts, texts):
            places.setdefault(place, []).append(one)
    drawn = []
    for (x, y, w, h), here in places.items():
        above = y - letter // 5  # the numbers stand above the box, or in it where there is no room
        drawn.append(
            Drawn(
                numbers=" ".join(dict.fromkeys(str(one.number) for one in here)),
                tone=min(one.tone for one in here),
                title="; ".join(dict.fromkeys(one.title for one in here)),
                x=x,
                y=y,
                w=w,
                h=h,
                text_y=above if above >= letter else y + letter,
            )
        )
    return drawn[::-1]


def _place(one: Framed, facts: dict[str, Any], texts: list[ExtractedText]) -> tuple[int, int, int, int] | None:
    """Where a box stands on what is shown: on the picture itself, or on the sheet in the frame it was seen in."""
    x, y, w, h = one.box
    cells = facts.get("cells") or []
    if cells:
        seconds = _seconds_of(one, texts) if one.seconds is None else one.seconds
        if seconds is None or not facts.get("width"):
            return None
        cell = min(cells, key=lambda c: abs(c["seconds"] - seconds))
        scale = cell["w"] / facts["width"]
        x, y, w, h = cell["x"] + x * scale, cell["y"] + y * scale, w * scale, h * scale
    return round(x), round(y), max(1, round(w)), max(1, round(h))


def _seconds_of(one: Framed, texts: list[ExtractedText]) -> float | None:
    for text in texts:
        if text.field != "ocr" or one.start is None:
            continue
        for part in text.layout:
            if part["start"] <= one.start < part["end"]:
                return part.get("seconds")
    return None
