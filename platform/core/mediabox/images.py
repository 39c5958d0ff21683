"""Pictures, by Pillow and only by the one plugin that the first bytes name (M1, M2, M7, M13, M15). Runs in the box."""

from __future__ import annotations

import io
import time
import warnings
from typing import IO, Any

from PIL import (
    ExifTags,
    GifImagePlugin,
    Image,
    ImageStat,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,  # EXIF is written as in a TIFF; `formats` keeps it from opening one
    WebPImagePlugin,
)

from core.mediabox import endings, xmp
from core.mediabox.boxed import Frame, Limits, Refused, Undecodable
from core.mediabox.formats import Format

__all__ = ["decode", "raw_frame", "still"]
# Loaded before the box closes.
assert GifImagePlugin and JpegImagePlugin and PngImagePlugin and TiffImagePlugin and WebPImagePlugin

LARGEST, LONGEST = 2048, 8192  # the longer side of a still, and of one that is long and narrow
LARGEST_MOVING = 1024  # the longer side of each frame of a moving picture or video
SMALLEST = 16  # no shorter side is handed to a model (M15)
MOST_FRAMES = 60
PATIENCE = 2.0  # seconds for the frames of a moving picture
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip
_ORIENTATION, _GPS = 0x0112, 0x8825
_TEXTS, _LONGEST_TEXT = 200, 8192


def decode(data: bytes, known: Format, *, frames: int, limits: Limits) -> dict[str, Any]:
    """Width, height, frames, metadata and flags. Raises Refused for what the header says is too much, Undecodable for
    what can't be decoded to its end."""
    image = _opened(io.BytesIO(data), known, limits)
    flags = endings.flags(known.name, data)
    metadata, orientation = _metadata(image, flags)
    count = _count(image, known, data)
    width, height = image.size  # before a JPEG is asked to decode to a smaller one
    try:
        if count > 1:
            flags.append("animated")
            taken, seconds = _moving(image, count, frames, orientation, limits, flags)
        else:
            taken, seconds = [still(image, orientation=orientation, flags=flags, largest=_reach(image.size))], 0.0
    except MemoryError:
        raise
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, KeyError) as exc:
        raise Undecodable(f"broken {known.name}: {type(exc).__name__}") from exc
    turned = orientation >= 5
    return {
        "width": height if turned else width,
        "height": width if turned else height,
        "seconds": seconds,
        "frames": taken,
        "metadata": metadata,
        "flags": flags,
        "codecs": {"image": known.name},
        "count": count,
    }


def _opened(opened: IO[bytes], known: Format, limits: Limits) -> Image.Image:
    Image.MAX_IMAGE_PIXELS = limits.pixels
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    try:
        image = Image.open(opened, formats=[known.pillow])
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise Refused(f"more than {limits.pixels // 1_000_000} million pixels") from None
    except MemoryError:
        raise
    except Exception as exc:  # a plugin may raise anything on its way through a broken header
        raise Undecodable(f"broken {known.name}: {type(exc).__name__}") from exc
    if image.width * image.height > limits.pixels:
        raise Refused(f"more than {limits.pixels // 1_000_000} million pixels")
    return image


def _reach(size: tuple[int, int]) -> int:
    """How long the longer side may be. A long screenshot keeps its writing readable: it has as many pixels as a square
    of LARGEST has, and is as much longer."""
    shape = max(size) / max(1, min(size))
    return LARGEST if shape < 2 else min(LONGEST, int(LARGEST * shape**0.5))


def still(image: Image.Image, *, orientation: int = 1, flags: list[str], largest: int = LARGEST) -> Frame:
    """The picture as RGB, upright, within `largest` and never narrower than 16 pixels."""
    width, height = image.size
    longest = max(width, height)
    if longest > largest:
        image.draft("RGB", (largest, largest))  # JPEG decodes to a smaller size at once
    image.load()
    scale = min(1.0, largest / longest)
    target = (max(SMALLEST, round(width * scale)), max(SMALLEST, round(height * scale)))
    if min(round(width * scale), round(height * scale)) < SMALLEST:
        flags.append("odd_shape")
    picture = _rgb(image, target, flags)
    if picture.size != target:
        picture = picture.resize(target, Image.Resampling.BICUBIC, reducing_gap=2.0)
    if orientation in _UPRIGHT:
        picture = picture.transpose(_UPRIGHT[orientation])
    return Frame(0.0, picture.width, picture.height, picture.tobytes(), max(picture.size) / longest)


def _rgb(image: Image.Image, target: tuple[int, int], flags: list[str]) -> Image.Image:
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        # 16 bits a pixel: scaled to 8, not cut off at 255.
        image = (
            image.convert("F").resize(target, Image.Resampling.BOX, reducing_gap=2.0) if image.mode != "F" else image
        )
        low, high = (float(one) for one in image.getextrema())  # type: ignore[arg-type]  # one band: two numbers
        if not (abs(low) < 1e9 and abs(high) < 1e9):  # also NaN
            raise Undecodable("numbers without a value")
        span = 65535.0 if high > 255 else 255.0
        return image.point(lambda value: value * (255.0 / span)).convert("L").convert("RGB")
    if image.mode in ("P", "L", "RGB") and "transparency" in image.info:
        image = image.convert("RGBA")
    if image.mode in ("RGBA", "LA", "La", "RGBa", "PA"):
        image = image if image.mode == "RGBA" else image.convert("RGBA")
        if max(image.size) > max(target):
            image = image.resize(target, Image.Resampling.BICUBIC, reducing_gap=2.0)
        return _on_ground(image, flags)
    return image if image.mode == "RGB" else image.convert("RGB")


def _on_ground(image: Image.Image, flags: list[str]) -> Image.Image:
    """A transparent picture on a ground that shows it: white writing would vanish on white."""
    alpha = image.getchannel("A")
    if alpha.getextrema() == (255, 255):
        return image.convert("RGB")
    flags.append("alpha")
    seen = alpha.point(lambda value: 255 if value > 16 else 0)
    bright = ImageStat.Stat(image.convert("L"), seen).mean[0] if seen.getbbox() else 0
    ground = Image.new("RGB", image.size, (0, 0, 0) if bright > 160 else (255, 255, 255))
    ground.paste(image, mask=alpha)
    return ground


def _count(image: Image.Image, known: Format, data: bytes) -> int:
    # Pillow counts a GIF's frames by decoding them; the blocks say it as well.
    if known.name == "gif":
        try:
            return endings.walk_gif(data)[1]
        except (endings.Broken, IndexError):
            return 2 if getattr(image, "is_animated", False) else 1
    if known.name == "jpeg":
        return 1
    return int(getattr(image, "n_frames", 1) or 1)


def _moving(
    image: Image.Image, count: int, wanted: int, orientation: int, limits: Limits, flags: list[str]
) -> tuple[list[Frame], float]:
    """Frames evenly spread over the picture. They build on each other, so all before one have to be decoded: where they
    are too many or too slow, the first ones are looked at and the rest is said to be unseen (M2)."""
    wanted = max(1, min(wanted, MOST_FRAMES, count))
    affordable = max(1, limits.all_pixels // (image.width * image.height))
    reach = min(count, affordable)
    if reach < count:
        flags.append("more_frames_than_looked_at")
    places = [0] if wanted == 1 else sorted({round(i * (reach - 1) / (wanted - 1)) for i in range(wanted)})
    began = time.monotonic()
    taken: list[Frame] = []
    clock = 0.0
    noted: list[str] = []
    for number in range(reach):
        try:
            image.seek(number)
            if number in places:
                frame = still(image, orientation=orientation, flags=noted, largest=LARGEST_MOVING)
                taken.append(Frame(round(clock, 3), frame.width, frame.height, frame.rgb, frame.scale))
            else:
                image.load()
        except (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, KeyError):
            if not taken:
                raise
            flags.append("frames_broken")
            break
        clock += _duration(image)
        if number + 1 < reach and time.monotonic() - began > PATIENCE:
            flags.append("more_frames_than_looked_at")
            break
    flags += dict.fromkeys(noted)
    return taken, clock


def _duration(image: Image.Image) -> float:
    shown = image.info.get("duration", 0)
    return min(float(shown), 3_600_000.0) / 1000 if isinstance(shown, int | float) and shown > 0 else 0.0


def _metadata(image: Image.Image, flags: list[str]) -> tuple[dict[str, Any], int]:
    """What the file says about itself, and which way up it is. Where it was made is said to be there but not kept."""
    said: dict[str, Any] = {}
    orientation = 1
    try:
        exif = image.getexif()
        orientation = exif.get(_ORIENTATION, 1)
        orientation = orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1
        if _GPS in exif:
            flags.append("gps")
        lines = dict(list(exif.items())[:_TEXTS])
        lines.update(list(exif.get_ifd(ExifTags.IFD.Exif).items())[:_TEXTS])
        tags = {ExifTags.TAGS.get(tag, str(tag)): _plain(value) for tag, value in lines.items() if tag != _GPS}
        said["exif"] = {tag: value for tag, value in tags.items() if value is not None}
    except MemoryError:
        raise
    except Exception:  # broken EXIF is common and harmless; it is said, and nothing else of it is used
        said["exif"] = {}
        flags.append("metadata_cut")
    packet = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
    if packet:
        said["xmp"] = xmp.read(packet, flags)
    texts = {}
    for name, value in list(image.info.items())[:_TEXTS]:
        if isinstance(name, str) and isinstance(value, str | bytes) and name not in _NOT_TEXT:
            plain = _plain(value)
            if plain is not None:
                texts[name[:64]] = plain
    if texts:
        said["text"] = texts
    return said, orientation


_NOT_TEXT = {"exif", "icc_profile", "xmp", "XML:com.adobe.xmp", "transparency", "photoshop", "mp", "background"}


def _plain(value: Any) -> str | int | float | None:
    if isinstance(value, bytes):
        value = value[:_LONGEST_TEXT].decode("utf-8", "replace")
    if isinstance(value, str):
        return value[:_LONGEST_TEXT].strip("\x00 ")
    if isinstance(value, bool | int):
        return int(value) if abs(value) < 2**53 else None
    try:
        number = float(value)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return str(value)[:200] if isinstance(value, tuple) else None
    return number if abs(number) < 1e18 else None


def raw_frame(rgb: bytes, width: int, height: int, stride: int, degrees: int) -> tuple[bytes, int, int]:
    """Rows of RGB without the padding behind each, turned as the video says."""
    picture = Image.frombuffer("RGB", (width, height), rgb, "raw", "RGB", stride, 1)
    turned = {90: Image.Transpose.ROTATE_90, 180: Image.Transpose.ROTATE_180, -180: Image.Transpose.ROTATE_180,
              -90: Image.Transpose.ROTATE_270, 270: Image.Transpose.ROTATE_270}.get(degrees)  # fmt: skip
    if turned is not None:
        picture = picture.transpose(turned)
    return picture.tobytes(), picture.width, picture.height
