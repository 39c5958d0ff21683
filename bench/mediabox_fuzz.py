"""mediabox_fuzz: damaged files of every format through the box (security M18).

    python bench/mediabox_fuzz.py [--samples 2000] [--seed 1] [--keep FOLDER] [FORMAT …]

Counts what came of them, and fails where something else came than a result, a refusal or "undecodable", where a box
outlived its time, where one was left behind, or where this process grew. Files that crashed a box are kept in FOLDER.
The same seed makes the same files.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "platform")]

from bench import mediabox_samples  # noqa: E402
from core import mediabox  # noqa: E402

LIMITS = mediabox.Limits(wall=10.0, cpu=8)
MOST_GROWTH = 400 * 1024  # KiB of this process over a whole run
_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def mutated(data: bytes, draw: random.Random) -> bytes:
    """The file with a few things wrong: bits, numbers of the kind that overflow, pieces lost, doubled, moved, cut off."""
    changed = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 4, 16))):
        at = min(len(changed) - 1, int(len(changed) * draw.random() ** draw.choice((1, 3))))  # heads more often
        if draw.random() < 0.95:
            at = max(at, min(16, len(changed) - 1))  # with its first bytes broken it is merely turned away
        kind = draw.randrange(7)
        length = draw.choice((1, 4, 16, 256))
        if kind == 0:
            changed[at] ^= 1 << draw.randrange(8)
        elif kind == 1:
            size = draw.choice((1, 2, 4))
            number = draw.choice(_NUMBERS) % (1 << 8 * size)
            changed[at : at + size] = number.to_bytes(size, draw.choice(("big", "little")))
        elif kind == 2:
            changed[at : at + length] = draw.randbytes(length)
        elif kind == 3:
            del changed[at : at + length]
        elif kind == 4:
            changed[at:at] = changed[at : at + length] * draw.choice((1, 8))
        elif kind == 5:
            other = draw.randrange(len(changed))
            changed[at : at + length] = changed[other : other + length]
        else:
            del changed[max(1, at) :]
        if not changed:
            return data[:1]
    return bytes(changed)


def outcome(data: bytes, folder: Path) -> tuple[str, float]:
    """What the box made of the file, in a word or two, and in how many seconds. Raises whatever it must not raise."""
    path = folder / "sample"
    path.write_bytes(data)
    began = time.monotonic()
    try:
        boxed = mediabox.open_up(path, limits=LIMITS)
        said = "decoded, marked" if set(boxed.flags) & mediabox.NOT_ALL_SEEN else "decoded"
    except mediabox.Refused:
        said = "refused"
    except mediabox.Undecodable as exc:
        said = exc.reason if exc.crashed else "out of time" if exc.reason == "out of time" else "undecodable"
    return said, time.monotonic() - began


def campaign(name: str, samples: int, seed: int, keep: Path | None) -> Counter[str]:
    """So many damaged files of one format: how often what came of them."""
    whole = mediabox_samples.whole(name)
    draw = random.Random(f"{seed} {name}")
    told: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(samples):
            data = mutated(whole, draw)
            said, seconds = outcome(data, Path(folder))
            told[said] += 1
            if seconds > (LIMITS.wall or 0) + 2:
                told["OUTLIVED ITS TIME"] += 1
            if said.startswith("crashed") and keep:
                keep.mkdir(parents=True, exist_ok=True)
                (keep / f"{name}-{hashlib.sha256(data).hexdigest()[:16]}").write_bytes(data)
    return told


def left_behind() -> list[str]:
    """Boxes that still run with this process as their origin."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            line = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if b"mediabox/inside.py" in line and f'"parent": {os.getpid()},'.encode() in line:
            found.append(entry.name)
    return found


def main(
    samples: int = 100, seed: int = 1, keep: Path | None = None, names: list[str] | None = None
) -> dict[str, object]:
    """The figures by format, and whether all held."""
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    told: dict[str, object] = {"box": mediabox.BOX_VERSION, "mode": mediabox.state()["mode"], "samples": samples}
    bad = 0
    for name in names or list(mediabox_samples.WHOLE):
        began = time.monotonic()
        found = campaign(name, samples, seed, keep)
        bad += found["OUTLIVED ITS TIME"]
        told[name] = dict(found)
        print(f"{name}  {dict(found)}  {time.monotonic() - began:.0f} s", flush=True)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - grown
    told["left_behind"] = left_behind()
    told["grown_kib"] = grown
    told["held"] = not bad and not told["left_behind"] and grown < MOST_GROWTH
    print(f"left behind {told['left_behind']}, grown by {grown // 1024} MiB, held: {told['held']}")
    return told


if __name__ == "__main__":
    asked = argparse.ArgumentParser()
    asked.add_argument("--samples", type=int, default=2000)
    asked.add_argument("--seed", type=int, default=1)
    asked.add_argument("--keep", type=Path)
    asked.add_argument("formats", nargs="*", choices=[[], *mediabox_samples.WHOLE])
    given = asked.parse_args()
    figures = main(given.samples, given.seed, given.keep, given.formats or None)
    print("FIGURES " + json.dumps(figures))
    sys.exit(0 if figures["held"] else 1)
