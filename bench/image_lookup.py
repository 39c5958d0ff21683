"""image_lookup: finding an image hash among 1,000,000 and 10,000,000, against comparing with each by numpy's popcount.

The goals: 99 of 100 look-ups under 2 ms at a million and under 25 ms at ten million, a new hash found within 5 s. Half
of the hashes asked for are an entry's with up to 31 bits turned round, half are of nothing that is there; a baseline's
answers are compared with ours. `python bench/run.py image_lookup`; ten million only with IMAGE_LOOKUP_LARGE=1 (takes
about 2 GB and a minute).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bench import place

MILLION = 1_000_000
ASKED = 1000
BASELINE_ASKED = 20
CATEGORY = "fraud.part_time"


def resident() -> float:
    """MB of memory this process holds now."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1000


def measure(number: int) -> dict[str, float]:
    """Build an index of so many entries, look hashes up in it and in the baseline, add one."""
    from moderation import pdq
    from moderation.entries import Entry
    from moderation.image_index import ImageIndex

    draw = np.random.default_rng(number)
    drawn = draw.bytes(32 * number)

    def code(row: int) -> bytes:
        return drawn[32 * row : 32 * row + 32]

    def entries() -> Iterator[Entry]:
        return (Entry(row + 1, 1, code(row).hex(), CATEGORY, 3, "image") for row in range(number))

    before, began = resident(), time.perf_counter()
    index = ImageIndex(entries())
    build = time.perf_counter() - began
    held = resident() - before

    asked = []
    for turn in range(ASKED):
        if turn % 2:
            asked.append(draw.bytes(32))
        else:
            bits = draw.choice(256, int(draw.integers(32)), replace=False)
            asked.append(pdq.flipped(code(int(draw.integers(number))), bits.tolist()))
    for one in asked[:20]:
        index.find(one)
    took, busy, answers = [], [], []
    for one in asked:
        began, working = time.perf_counter(), time.thread_time()
        answers.append(index.find(one))
        took.append((time.perf_counter() - began) * 1000)
        busy.append((time.thread_time() - working) * 1000)

    codes = np.frombuffer(drawn, dtype=np.uint64).reshape(-1, 4)
    compared = []
    for one, answer in zip(asked[:BASELINE_ASKED], answers, strict=False):
        began = time.perf_counter()
        apart = np.bitwise_count(codes ^ np.frombuffer(one, dtype=np.uint64)).sum(axis=1, dtype=np.int16)
        rows = np.flatnonzero(apart <= pdq.SAME)
        compared.append((time.perf_counter() - began) * 1000)
        assert {(row + 1, float(apart[row])) for row in rows.tolist()} == {(m.entry.id, m.distance) for m in answer}

    new = draw.bytes(32)
    began = time.perf_counter()
    larger = index.added([Entry(number + 1, 1, new.hex(), CATEGORY, 3, "image")])
    assert [match.entry.id for match in larger.find(pdq.flipped(new, range(31)))] == [number + 1]
    visible = (time.perf_counter() - began) * 1000
    return {
        "p50_ms": float(np.percentile(took, 50)),
        "p99_ms": float(np.percentile(took, 99)),
        "most_ms": max(took),
        "cpu_p99_ms": float(np.percentile(busy, 99)),
        "compared_p50_ms": float(np.percentile(compared, 50)),
        "build_s": build,
        "mb": held,
        "index_mb": index.nbytes / 1e6,
        "visible_ms": visible,
        "found": float(sum(map(bool, answers[::2]))),
    }


def main() -> dict[str, float]:
    """One line a size; `ratio` is how many times faster than comparing with each."""
    place.django()
    told: dict[str, float] = {}
    sizes = [MILLION, *([10 * MILLION] if os.environ.get("IMAGE_LOOKUP_LARGE") else [])]
    for number in sizes:
        figures = measure(number)
        name = f"image_lookup_{number // MILLION}m"
        place.line(
            name,
            f"{figures['p99_ms']:.2f} ms (p99)",
            f"{figures['compared_p50_ms']:.1f} ms (numpy popcount over all, p50)",
            figures["compared_p50_ms"] / figures["p50_ms"],
        )
        print(
            f"  {number:,} hashes: p50 {figures['p50_ms']:.2f} ms, longest {figures['most_ms']:.2f} ms, p99 of"
            f" processor time {figures['cpu_p99_ms']:.2f} ms,"
            f" {figures['found']:.0f} of {ASKED // 2} found; built in {figures['build_s']:.1f} s from entries,"
            f" {figures['mb']:.0f} MB held ({figures['index_mb']:.0f} MB in the index); a new hash found after"
            f" {figures['visible_ms']:.1f} ms"
        )
        told |= {f"{name}_{key}": value for key, value in figures.items()}
    return told
