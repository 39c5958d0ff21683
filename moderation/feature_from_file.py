"""Proposing an entry of the feature library by showing the file: an upload, or the file of a submission (DS-10b).

The file itself isn't kept by this: the entry holds hashes of it, from which it can't be made again.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.utils.translation import gettext_lazy as _

from core import jsonbody, mediabox
from core.errors import Refusal, field_error
from core.roles import check
from moderation import audio_print, library, media, pdq, video_hash
from moderation.models import Feature

KINDS = ("sha256", "image", "video", "audio")


@dataclass(frozen=True)
class Taken:
    """What an entry keeps of a file, and for a picture how much there is to be seen in it."""

    value: str
    data: dict[str, Any] = field(default_factory=dict)
    quality: int | None = None


def propose_from_file(
    *,
    kind: str,
    by: Any,
    category: str,
    severity: int,
    path: Path | str | None = None,
    stored: str = "",
    name: str = "",
    **more: Any,
) -> Feature:
    """Propose an entry of the kind `sha256`, `image`, `video` or `audio` for an uploaded file (`path`) or one in the
    evidence store (`stored`, its SHA-256). `name` is what people call the video or sound; `more` goes to
    `library.propose` as it is. Refuses, naming the field `file`, what the box can't open, what is not of that kind, and
    what has too little in it to be known again."""
    check(by, "feature.propose")
    taken = take(kind=kind, path=path, stored=stored)
    value = name.strip() if kind in ("video", "audio") and name.strip() else taken.value
    return library.propose(kind=kind, value=value, data=taken.data, category=category, severity=severity, by=by, **more)


def take(*, kind: str, path: Path | str | None = None, stored: str = "") -> Taken:
    """Work out what an entry would keep of a file, writing nothing to the library. Refuses as `propose_from_file`."""
    if kind not in KINDS or (path is None) == (not stored):
        raise ValueError("one file, and a kind that is of files")
    if kind == "sha256":
        return Taken(stored or _sha256(path))
    try:
        if stored:
            opened = media.open_up(stored)
        else:
            frames = video_hash.FRAMES if kind == "video" else 1
            opened = mediabox.open_up(path, frames=frames, sound=kind == "audio")  # type: ignore[arg-type]
    except (mediabox.Refused, mediabox.Undecodable) as unopened:
        raise _refusal("undecodable", _("This file can't be opened: %s.") % unopened.reason) from None
    return _TAKE[kind](opened)


def _image(opened: mediabox.Boxed) -> Taken:
    if opened.kind != "image" or not opened.frames:
        raise _refusal("not_an_image", _("This is no picture."))
    frame = opened.frames[0]
    plane = pdq.luma(frame.rgb, frame.width, frame.height)
    try:
        code, quality = pdq.of_plane(plane)
    except pdq.NotAPicture:
        raise _refusal("too_small", _("This picture is too small.")) from None
    bare, core = code, pdq.trimmed(plane)
    if core is not plane:
        bare, quality = pdq.of_plane(core)
    if quality < pdq.GOOD:
        raise _refusal("too_plain", _("There is too little in this picture to tell it from others."))
    return Taken(code.hex(), {"variants": [bare.hex()]} if bare != code else {}, quality)


def _video(opened: mediabox.Boxed) -> Taken:
    if opened.kind == "audio" or len(opened.frames) < 2:
        raise _refusal("not_a_video", _("This is no video."))
    try:
        data = video_hash.data_of(video_hash.of_boxed(opened), opened.seconds)
    except video_hash.NotAVideo:
        raise _refusal("too_plain", _("There is too little in this video to tell it from others.")) from None
    return Taken(_named(data), data)


def _audio(opened: mediabox.Boxed) -> Taken:
    try:
        data = audio_print.of_boxed(opened)
    except audio_print.NotASound:
        raise _refusal("too_short", _("There are less than two seconds of sound in this file.")) from None
    return Taken(_named(data), data)


_TAKE = {"image": _image, "video": _video, "audio": _audio}


def _named(data: dict[str, Any]) -> str:
    """The value of an entry whose hashes are many: one hash over them all, which the same file gives again."""
    return hashlib.sha256(jsonbody.encode(data)).hexdigest()


def _sha256(path: Path | str | None) -> str:
    with Path(path or "").open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _refusal(code: str, sentence: Any) -> Refusal:
    return Refusal("fields_invalid", _("Some fields can't be taken."), errors=[field_error("file", code, sentence)])
