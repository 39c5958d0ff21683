"""library_swap: a process takes a new version of a library of 100,000 terms while it goes on matching.

The baseline is bare ahocorasick_rs built over the same folded terms in the same run. Ours is the whole way of the terms:
folding, whole words, disguises where an entry allows them, rows out of PostgreSQL. Then the library is changed again and
again: by a few terms at a time, and by half of all of them at once, as when a list is replaced. Meanwhile a thread
matches texts; the longest time for which it got no answer is the pause, and memory is read after every swap.

    BENCH_SWAPS=30 script/bench library_swap
"""

from __future__ import annotations

import gc
import os
import random
import threading
import time
from pathlib import Path
from statistics import median

from bench import place

TERMS = 100_000
SWAPS = int(os.environ.get("BENCH_SWAPS", "30"))
FEW = 100


def main() -> dict[str, float]:
    """One line for the build, one for the swaps."""
    with place.database("bench_library_swap"):
        place.django()
        place.raise_world(users=1)
        return {**_build(), **_swaps()}


def _build() -> dict[str, float]:
    from ahocorasick_rs import AhoCorasick, Implementation

    from bench.text_match import synthetic_terms
    from moderation import library
    from moderation.entries import Entry
    from moderation.normalisation import normalise, prepare

    prepare()
    values = synthetic_terms(TERMS)
    folded = [normalise(value).text for value in values]
    entries = [Entry(number, 1, value, "fraud.loan", 2) for number, value in enumerate(values)]
    ours, bare = [], []
    for _ in range(5):
        began = time.process_time()
        built = library.build(1, entries)
        ours.append(time.process_time() - began)
        del built
        began = time.process_time()
        automaton = AhoCorasick(folded, implementation=Implementation.ContiguousNFA)
        bare.append(time.process_time() - began)
        del automaton
    ratio = median(bare) / median(ours)
    place.line("library_swap", f"{median(ours):.2f} s", f"{median(bare):.2f} s (bare ahocorasick_rs, built)", ratio)
    return {"build_s": median(ours), "bare_build_s": median(bare), "build_ratio": ratio}


def _swaps() -> dict[str, float]:
    from moderation import library

    _fill()
    began = time.perf_counter()
    library.current()
    first = time.perf_counter() - began
    draw = random.Random(7)
    reader = _Reader()
    reader.start()
    time.sleep(1.0)
    quiet = reader.longest_since()
    taken: dict[str, list[float]] = {"few": [], "half": []}
    pauses: dict[str, list[float]] = {"few": [], "half": []}
    memory: list[float] = []
    for number in range(SWAPS):
        what = "half" if number % 3 == 2 else "few"
        _change(number, TERMS // 2 if what == "half" else FEW, draw)
        reader.longest_since()
        began = time.perf_counter()
        version = _version()
        while library.current().version != version:
            time.sleep(0.05)
            if time.perf_counter() - began > 60:
                raise SystemExit("the new version was never taken")
        taken[what].append(time.perf_counter() - began)
        time.sleep(0.3)  # whatever the swap leaves behind is let go in this time
        pauses[what].append(reader.longest_since())
        memory.append(_resident())
    reader.stop()
    growth = median(memory[-5:]) - median(memory[len(memory) // 3 : len(memory) // 3 + 5])
    figures = {
        "first_s": first,
        "few_s": max(taken["few"]),
        "few_pause_ms": max(pauses["few"]) * 1000,
        "half_s": max(taken["half"], default=0.0),
        "half_pause_ms": max(pauses["half"], default=0.0) * 1000,
        "quiet_pause_ms": quiet * 1000,
        "texts_per_s": reader.rate(),
        "growth_mb": growth,
        "resident_mb": memory[-1],
    }
    print(
        f"  {SWAPS} swaps of {TERMS:,} terms: {FEW} changed taken within {figures['few_s']:.2f} s, longest pause"
        f" {figures['few_pause_ms']:.0f} ms; {TERMS // 2:,} changed within {figures['half_s']:.2f} s,"
        f" {figures['half_pause_ms']:.0f} ms (without a swap {figures['quiet_pause_ms']:.0f} ms); first load"
        f" {first:.2f} s; memory {growth:+.1f} MB over the last two thirds, {figures['resident_mb']:.0f} MB held"
    )
    return figures


def _fill() -> None:
    from django.db import connection

    from bench.text_match import synthetic_terms
    from moderation import library

    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO moderation_feature (kind, value, digest, data, options, allow, category_id, severity, clause,"
            " note, source, rollout, state, version, proposed_by_id, approved_by_id, approved_at, changed_in)"
            " SELECT 'term', value, encode(sha256(convert_to(value, 'UTF8')), 'hex'), '{}', '{}', false, 'fraud.loan', 2,"
            " '', '', 'bench', 100, 'active', 1, lin.id, xu.id, now(), 1"
            " FROM unnest(%s::text[]) AS value, accounts_staff AS lin, accounts_staff AS xu"
            " WHERE lin.username = 'lin' AND xu.username = 'xu'",
            [synthetic_terms(TERMS)],
        )
        cursor.execute("ANALYZE moderation_feature")
    library.bump()


def _change(number: int, terms: int, draw: random.Random) -> None:
    """Retire so many terms and put as many others in force, in one version, as the approval of a list does."""
    from django.db import connection, transaction

    from moderation.features import count_up

    with transaction.atomic(), connection.cursor() as cursor:
        version = count_up()
        cursor.execute(
            "UPDATE moderation_feature SET state = CASE state WHEN 'active' THEN 'retired' ELSE 'active' END,"
            " changed_in = %s WHERE id IN (SELECT id FROM moderation_feature WHERE source = 'bench'"
            " ORDER BY md5(id::text || %s) LIMIT %s)",
            [version, str(draw.random()), terms],
        )


def _version() -> int:
    from moderation.models import Library

    return Library.objects.values_list("version", flat=True).get(pk=1)


class _Reader(threading.Thread):
    """Matches texts without end, as a worker under load does, and keeps the longest time between two answers."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._stop_it = False
        self._longest = 0.0
        self._done = 0
        self._began = time.perf_counter()

    def run(self) -> None:
        from bench.text_match import ordinary_texts
        from moderation import library
        from moderation.normalisation import normalise

        texts = [text.decode() for text in ordinary_texts(500)]
        last = time.perf_counter()
        while not self._stop_it:
            for text in texts:
                library._loaded.matcher.find(normalise(text))  # type: ignore[union-attr]
                now = time.perf_counter()
                if now - last > self._longest:
                    self._longest = now - last
                last = now
                self._done += 1
                if not self._done % 50:
                    time.sleep(0)

    def longest_since(self) -> float:
        """The longest pause since this was asked last."""
        longest, self._longest = self._longest, 0.0
        return longest

    def rate(self) -> float:
        """Texts a second."""
        return self._done / (time.perf_counter() - self._began)

    def stop(self) -> None:
        """End."""
        self._stop_it = True
        self.join()


def _resident() -> float:
    """MB of memory that this process holds."""
    gc.collect()
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmRSS")
