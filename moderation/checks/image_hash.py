"""Pictures that the feature library knows by what they look like (DS-10b): stills, and frames of moving pictures and
videos, that show a known picture."""

from __future__ import annotations

from dataclasses import replace

from core.mediabox import Boxed, Frame
from moderation import media, pdq
from moderation.checks import Check, Side, Text, register
from moderation.checks.exact import allowed
from moderation.entries import Match, findings
from moderation.image_index import ImageIndex
from moderation.library import Loaded
from moderation.policy import Found

VERSION = "pdq 1"
_AS_IT_IS = ("as it is", "without bars")


class ImageHash(Check):
    """Looks a picture's PDQ hash up, also turned, mirrored and without even bars. A picture with too little in it
    (quality below 50) can't be told from others by its hash: that is noted, as a finding without weight."""

    name = "image_hash"
    modality = "file"
    cost = 110
    limit = 20.0

    def version(self, library: Loaded) -> str:
        return f"library {library.version}, {VERSION}"

    def look(self, side: Side, text: Text) -> list[Found]:
        """One finding an entry, for the place where it is nearest; `detail` says how the picture was turned, or when it
        shows in a moving one."""
        if not side.file or not len(side.library.images):
            return []
        seen = media.boxed(side)
        if seen is None or not seen.frames or allowed(side):
            return []
        matches, plain = matches_of(seen, side.library.images)
        found = findings(matches, check=self.name, side=side.name, item=side.item)
        if plain is not None and not found:
            found.append(Found(side.name, self.name, None, 0, detail=f"quality {plain}"))
        return found


def matches_of(seen: Boxed, images: ImageIndex) -> tuple[list[Match], int | None]:
    """What the library knows of a file's pictures, each entry once where it is nearest; and the quality of a still that
    has too little in it to be looked up, None for any other."""
    moving = len(seen.frames) > 1
    nearest: dict[int, Match] = {}
    plain = None
    for frame in seen.frames:
        forms, good = _forms(frame, moving)
        if good < pdq.GOOD:
            plain = None if moving else good
            continue
        for name, code in forms:
            for match in images.find(code):
                before = nearest.get(match.entry.id)
                if before is None or (match.distance or 0.0) < (before.distance or 0.0):
                    nearest[match.entry.id] = replace(match, detail=_detail(name, frame, moving))
    return list(nearest.values()), plain


def _forms(frame: Frame, moving: bool) -> tuple[list[tuple[str, bytes]], int]:
    if min(frame.width, frame.height) < pdq.SMALLEST:
        return [], 0
    plane = pdq.luma(frame.rgb, frame.width, frame.height)
    forms, good = pdq.forms(plane)
    # Of a moving picture each frame is looked up as it is only: all turns of all frames would cost a second.
    return [form for form in forms if form[0] in _AS_IT_IS] if moving else forms, good


def _detail(form: str, frame: Frame, moving: bool) -> str:
    if moving:
        return f"{frame.seconds:.1f} s"
    return "" if form == "as it is" else form


register(ImageHash())
