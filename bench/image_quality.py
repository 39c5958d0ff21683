"""image_quality: how many edited copies of real pictures the image hash finds, and whether it takes others for them.

Two measurements, both on what the box hands out, as in screening: the transformed pictures of Meta's PDQ folder against
their original, with all other pictures as negatives; and edits made here of every real photograph beside the checkout,
each looked up among all of them. `python bench/run.py image_quality`; needs the folder `shared/data`.
"""

from __future__ import annotations

import io
import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench import place

DATA = place.ROOT.parent / "shared" / "data"
CATEGORY = "fraud.part_time"


def main() -> dict[str, float]:
    """Prints recall and precision of both."""
    place.django()
    if not (DATA / "pdq_images").is_dir():
        print("image_quality  no pictures in shared/data/pdq_images")
        return {}
    return {**transformed(), **edited()}


def _seen(path: Path) -> Any:
    from core import mediabox

    try:
        return mediabox.open_up(path, frames=16, sound=False)
    except (mediabox.Refused, mediabox.Undecodable) as unopened:
        print(f"  not opened: {path.name}: {unopened.reason}")
        return None


def _found(seen: Any, index: Any) -> set[int]:
    from moderation.checks.image_hash import matches_of

    return {match.entry.id for match in matches_of(seen, index)[0]}


def _index(codes: dict[int, str]) -> Any:
    from moderation.entries import Entry
    from moderation.image_index import ImageIndex

    return ImageIndex(Entry(number, 1, code, CATEGORY, 3, "image") for number, code in codes.items())


def transformed() -> dict[str, float]:
    """The folder's families: the first picture of each that should match is the entry, the others are looked up."""
    from moderation import pdq

    rows = [json.loads(line) for line in (DATA / "pdq_images" / "manifest.jsonl").open(encoding="utf-8")]
    families: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row["file"]):
        families[row["family"]].append(row)
    originals = {family: some[0] for family, some in families.items() if len(some) > 1}
    numbers = {family: number for number, family in enumerate(originals, 1)}
    index = _index({numbers[f]: pdq.of_file(DATA / "pdq_images" / row["file"])[0] for f, row in originals.items()})
    right = wrong = missed = 0
    for row in rows:
        own = numbers.get(row["family"])
        if own and row is originals[row["family"]]:
            continue
        seen = _seen(DATA / "pdq_images" / row["file"])
        found = _found(seen, index) if seen else set()
        wanted = {own} if own and row["pdq_should_match"] != "no" else set()
        right += len(found & wanted)
        wrong += len(found - wanted)
        missed += len(wanted - found)
        if found != wanted:
            print(f"  {row['file']}: found {sorted(found)}, wanted {sorted(wanted)} ({row['pdq_should_match']})")
    recall, precision = right / max(right + missed, 1), right / max(right + wrong, 1)
    place.line("image_quality_pdq", f"recall {recall:.3f}", f"precision {precision:.3f} ({right} copies)", None)
    return {"recall": recall, "precision": precision}


def edits() -> dict[str, Callable[[Any], Any]]:
    """What copies go through, as functions from picture to picture."""
    from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

    def jpeg(image: Any, quality: int) -> Any:
        out = io.BytesIO()
        image.save(out, "JPEG", quality=quality)
        return Image.open(out).convert("RGB")

    def crop(image: Any, part: float) -> Any:
        x, y = round(image.width * part / 2), round(image.height * part / 2)
        return image.crop((x, y, image.width - x, image.height - y))

    def caption(image: Any) -> Any:
        copy = image.copy()
        draw = ImageDraw.Draw(copy)
        draw.rectangle((0, round(image.height * 0.9), image.width, image.height), fill="white")
        draw.text((image.width // 20, round(image.height * 0.92)), "look at this " * 3, fill="black")
        return copy

    return {
        "JPEG 30": lambda i: jpeg(i, 30),
        "half size": lambda i: i.resize((max(16, i.width // 2), max(16, i.height // 2))),
        "squeezed to 256 x 256": lambda i: i.resize((256, 256)),
        "brighter by 30 %": lambda i: ImageEnhance.Brightness(i).enhance(1.3),
        "contrast 1.5": lambda i: ImageEnhance.Contrast(i).enhance(1.5),
        "grey": lambda i: i.convert("L").convert("RGB"),
        "blurred by 2 px": lambda i: i.filter(ImageFilter.GaussianBlur(2)),
        "mirrored": ImageOps.mirror,
        "turned by 90°": lambda i: i.rotate(90, expand=True),
        "turned by 180°": lambda i: i.rotate(180),
        "letterbox 15 %": lambda i: ImageOps.expand(i, (0, i.height * 15 // 100), "black"),
        "white margin 10 %": lambda i: ImageOps.expand(i, max(i.size) // 10, "white"),
        "caption over the lowest 10 %": caption,
        "cropped by 2 %": lambda i: crop(i, 0.02),
        "cropped by 5 %": lambda i: crop(i, 0.05),
        "cropped by 10 %": lambda i: crop(i, 0.10),
        "cropped by 25 %": lambda i: crop(i, 0.25),
        "turned by 2°": lambda i: i.rotate(2, resample=Image.Resampling.BICUBIC),
        "turned by 10°": lambda i: i.rotate(10, resample=Image.Resampling.BICUBIC),
        "negative": ImageOps.invert,
    }


def edited() -> dict[str, float]:
    """Every real photograph with enough in it, edited in each way, looked up among all."""
    from PIL import Image

    from moderation import pdq

    folders = ("skimage_photos", "pdq_images/negatives", "pdq_images/labelme-negatives", "pdq_images/bridge-mods")
    paths = [p for f in folders for p in sorted((DATA / f).glob("*.*")) if p.suffix in (".png", ".jpg")]
    paths = [p for p in paths if p.parent.name != "bridge-mods" or p.name.startswith("aaa")]
    codes: dict[int, str] = {}
    pictures: dict[int, Any] = {}
    for path in paths:
        seen = _seen(path)
        if seen is None:
            continue
        frame = seen.frames[0]
        code, quality = pdq.of_rgb(frame.rgb, frame.width, frame.height)
        if quality >= pdq.GOOD:
            codes[len(codes) + 1] = code.hex()
            pictures[len(codes)] = Image.frombytes("RGB", (frame.width, frame.height), frame.rgb)
    index = _index(codes)
    told: dict[str, float] = {}
    wrong = 0
    with TemporaryDirectory() as folder:
        target = Path(folder) / "edited.png"
        for name, edit in edits().items():
            right = 0
            for number, picture in pictures.items():
                edit(picture).save(target)
                seen = _seen(target)
                found = _found(seen, index) if seen else set()
                right += number in found
                wrong += len(found - {number})
            told[f"edit {name}"] = right / len(pictures)
            print(f"  {name}: {right} of {len(pictures)}")
    place.line(
        "image_quality_edits", f"{len(pictures)} photographs, {len(told)} edits", f"{wrong} taken for others", None
    )
    return {**told, "wrong": float(wrong)}
