"""What runs in the box: one file, then the end. Started by the parent's side as a script, isolated (`python -I -S`).

The file is descriptor 0, the answer goes to descriptor 1 (see `wire`). The order matters: limits, libraries, jail, and
only then the first byte is given to a decoder.
"""

from __future__ import annotations

import json
import os
import sys
import types
from typing import Any

_WINDOW = 4 * 1024 * 1024


def main() -> None:
    """Do the job that stands on the command line."""
    job = json.loads(sys.argv[1])
    _make_importable(job["paths"])
    from core.mediabox import jail

    missing = jail.limits(memory=job["memory"], cpu=job["cpu"])
    work = _prepare(job)
    missing += jail.enter(job["parent"], frozenset(job["without"]))
    os._exit(_answer(work, missing))


def _make_importable(paths: list[str]) -> None:
    # The package's own __init__ is the parent's side, which nobody needs in here.
    here = os.path.dirname(os.path.abspath(__file__))
    for name, path in (("core", os.path.dirname(here)), ("core.mediabox", here)):
        package = types.ModuleType(name)
        package.__path__ = [path]
        sys.modules[name] = package
    sys.path += paths


def _prepare(job: dict[str, Any]) -> Any:
    """Load what the job needs, while files can still be opened, and answer the work as a function."""
    from core.mediabox import boxed, endings, formats, wire

    assert endings and wire  # later there is nothing to load them from
    if job["do"] == "self_test":
        from core.mediabox import self_test

        return lambda: ({"status": "self_test", "self_test": self_test.run(job["port"], job["parent"])}, [])
    known = formats.FORMATS[job["format"]]
    limits = boxed.Limits(**job["limits"])
    reader: Any = None
    if _holds(b"c2pa"):
        from core.mediabox import credentials

        reader = credentials
    if known.pillow:
        from core.mediabox import images

        images.Image.preinit()
        return lambda: _picture(images, reader, known, job, limits)
    from core.mediabox import moving

    return lambda: _film(moving, reader, known, job, limits)


def _holds(mark: bytes) -> bool:
    """Whether these bytes stand in the file: content credentials can't do without their name, and loading what reads
    them costs more than decoding most pictures."""
    at, before = 0, b""
    while part := os.pread(0, _WINDOW, at):
        if mark in before + part:
            return True
        at += len(part)
        before = part[-len(mark) :]
    return False


def _picture(
    images: Any, reader: Any, known: Any, job: dict[str, Any], limits: Any
) -> tuple[dict[str, Any], list[bytes]]:
    with os.fdopen(0, "rb", closefd=False) as opened:
        data = opened.read()
        found = images.decode(data, known, frames=job["frames"], limits=limits)
        found["kind"] = "image"
        found["sound"] = None
        if reader:
            _credentials(reader, opened, known, found)
    return _told(found, known)


def _film(moving: Any, reader: Any, known: Any, job: dict[str, Any], limits: Any) -> tuple[dict[str, Any], list[bytes]]:
    from core.mediabox import boxed, endings, formats

    size = os.fstat(0).st_size
    with os.fdopen(0, "rb", closefd=False, buffering=256 * 1024) as opened:
        found = moving.decode(
            opened, known, frames=job["frames"], sound=job["sound"], limits=limits, cpu=job["cpu"] * 0.7
        )
        if known.demuxer in ("mp4", "m4a", "mov"):
            ending = endings.boxes(lambda at, length: os.pread(0, length, at), size)
            if "truncated" in ending:
                raise boxed.Undecodable("ends early")
            found["flags"] += ending
        if formats.has_second_magic(os.pread(0, formats.HEAD, 0)) or formats.has_second_magic(
            os.pread(0, formats.TAIL, max(0, size - formats.TAIL))
        ):
            found["flags"].append("second_magic")
        if reader:
            _credentials(reader, opened, known, found)
    return _told(found, known)


def _credentials(reader: Any, opened: Any, known: Any, found: dict[str, Any]) -> None:
    account = reader.read(opened, known.media_type, found["flags"])
    if account is not None:
        found["metadata"]["c2pa"] = account


def _told(found: dict[str, Any], known: Any) -> tuple[dict[str, Any], list[bytes]]:
    """The answer's head and the bytes that follow it."""
    if str(found["metadata"].get("xmp", {}).get("dcterms:provenance", "")).startswith("http"):
        found["flags"].append("remote_manifest_not_fetched")
    metadata = _bounded(found["metadata"], found["flags"])
    head = {
        "status": "boxed",
        "kind": found["kind"],
        "media_type": known.media_type if found["kind"] != "audio" else known.media_type.replace("video/", "audio/"),
        "width": found["width"],
        "height": found["height"],
        "seconds": found["seconds"],
        "count": found["count"],
        "frames": [
            {"seconds": frame.seconds, "width": frame.width, "height": frame.height, "scale": frame.scale}
            for frame in found["frames"]
        ],
        "sound": len(found["sound"] or b""),
        "metadata": metadata,
        "flags": sorted(set(found["flags"])),
        "codecs": found["codecs"],
    }
    return head, [*(frame.rgb for frame in found["frames"]), found["sound"] or b""]


def _bounded(metadata: dict[str, Any], flags: list[str]) -> dict[str, Any]:
    """At most 64 KiB: the largest parts are left out, and that is said."""
    from core.mediabox.wire import MOST_METADATA

    parts = {name: len(json.dumps(part)) for name, part in metadata.items()}
    while sum(parts.values()) + 16 * len(parts) + 2 > MOST_METADATA:
        largest = max(parts, key=parts.__getitem__)
        del parts[largest]
        flags.append("metadata_cut")
    return {name: metadata[name] for name in parts}


def _answer(work: Any, missing: list[str]) -> int:
    from core.mediabox import wire
    from core.mediabox.boxed import Refused, Undecodable

    try:
        head, parts = work()
    except Refused as exc:
        head, parts = {"status": "refused", "reason": exc.reason}, []
    except Undecodable as exc:
        head, parts = {"status": "undecodable", "reason": exc.reason}, []
    except MemoryError:
        head, parts = {"status": "undecodable", "reason": "out of memory"}, []
    except Exception as exc:  # whatever a broken file makes a library do: no result
        head, parts = {"status": "undecodable", "reason": f"broken: {type(exc).__name__}"}, []
    head["missing"] = missing
    wire.write(1, head, parts)
    return 0


if __name__ == "__main__":
    main()
