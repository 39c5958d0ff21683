"""text_match: folding a text and finding the library's terms in it, against bare ahocorasick_rs and a plain loop; and with
a tenth of the terms also found in the disguises that are proposed for them.

The bare automaton holds the same terms and reads the same texts unfolded, so it misses every disguise: it is the
ceiling, not an alternative. Each round times all sides in turn over strings made afresh (a string keeps its UTF-8 once
asked for it, which would favour whoever comes second); the figures are medians over the rounds.

    python bench/text_match.py [--profile]
"""

from __future__ import annotations

import cProfile
import json
import pstats
import random
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

from ahocorasick_rs import AhoCorasick, BytesAhoCorasick, Implementation  # noqa: E402

from moderation.matching import Matcher, Term  # noqa: E402
from moderation.normalisation import normalise, prepare  # noqa: E402
from moderation.spelling import default_options  # noqa: E402

REAL_TEXTS = ROOT.parent / "shared" / "data" / "ingest"
ROUNDS = 7
SHARE = 10  # one term in so many carries options
LOOPED_TEXTS = 20  # the plain loop is some thousand times slower: a sample of the texts is enough for its speed
# The 3,755 common characters of GB 2312's first level; there in the order of their pinyin, here shuffled.
COMMON = [bytes((high, low)).decode("gb2312") for high in range(0xB0, 0xD8) for low in range(0xA1, 0xFF)
          if (high, low) < (0xD7, 0xFA)]  # fmt: skip


def synthetic_terms(number: int) -> list[str]:
    """Distinct terms of two to six common characters, one in ten Latin letters and digits."""
    draw = random.Random(number)
    terms: dict[str, None] = {}
    while len(terms) < number:
        alphabet = COMMON if draw.random() < 0.9 else "abcdefghijklmnopqrstuvwxyz0123456789"
        shortest = 2 if alphabet is COMMON else 4
        terms["".join(draw.choices(alphabet, k=draw.randint(shortest, shortest + 4)))] = None
    return list(terms)


def ordinary_texts(number: int) -> list[bytes]:
    """Chinese prose as far as a matcher can tell: clauses of 4 to 16 characters, the common ones far more often."""
    draw = random.Random(number)
    characters = draw.sample(COMMON, len(COMMON))
    weights = [1 / (rank + 20) for rank in range(len(characters))]

    def clause() -> str:
        return "".join(draw.choices(characters, weights, k=draw.randint(4, 16))) + draw.choice("，，，，。。！？；：")

    return ["".join(clause() for _ in range(draw.randint(2, 16))).encode() for _ in range(number)]


def real_texts() -> list[bytes]:
    """The lines beside the checkout, or none."""
    lines = (line for path in sorted(REAL_TEXTS.glob("*.jsonl")) for line in path.open(encoding="utf-8"))
    return [json.loads(line)["text"].encode() for line in lines]


def seconds(work: Callable[[object], object], inputs: Iterable[object]) -> float:
    """Processor time of the work over all inputs (others may share the cores)."""
    began = time.process_time()
    for one in inputs:
        work(one)
    return time.process_time() - began


def entries(terms: list[str], every: int = 0) -> list[Term]:
    """The terms as entries, each so many-th with the options that are proposed for it (0: none)."""
    return [
        Term(number, 1, value, "synthetic", 1, options=default_options(value) if every and number % every == 0 else {})
        for number, value in enumerate(terms)
    ]


def build_seconds(of: list[Term]) -> tuple[Matcher, float]:
    """A matcher, and the processor time it took to build (the second time, when all tables are there)."""
    Matcher(of[:100])
    began = time.process_time()
    matcher = Matcher(of)
    return matcher, time.process_time() - began


def compare(terms: list[str], texts: list[bytes]) -> dict[str, float]:
    """MB/s of each side, and the time to build ours."""
    matcher, build = build_seconds(entries(terms))
    with_options, build_with_options = build_seconds(entries(terms, every=SHARE))
    bare = AhoCorasick(terms, implementation=Implementation.ContiguousNFA).find_matches_as_indexes
    bare_bytes = BytesAhoCorasick(
        [term.encode() for term in terms], implementation=Implementation.ContiguousNFA
    ).find_matches_as_indexes
    sides: dict[str, Callable] = {
        "ours": lambda text: matcher.find(normalise(text)),
        "ours_with_options": lambda text: with_options.find(normalise(text)),
        "bare": lambda text: bare(text, True),
        "bare_bytes": lambda text: bare_bytes(text, True),
        "fold_only": lambda text: normalise(text).text,
    }
    took: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(ROUNDS):
        for side, work in sides.items():
            fresh = texts if side == "bare_bytes" else [text.decode() for text in texts]
            took[side].append(seconds(work, fresh))
    sample = [text.decode() for text in texts[:: max(1, len(texts) // LOOPED_TEXTS)]]
    looped = seconds(lambda text: [term for term in terms if term in text], sample)

    size = sum(map(len, texts)) / 1e6
    figures = {side: size / median(times) for side, times in took.items()}
    figures["loop"] = sum(len(text.encode()) for text in sample) / 1e6 / looped
    figures["ratio"] = median(bare / ours for ours, bare in zip(took["ours"], took["bare"], strict=True))
    figures["texts_per_s"] = len(texts) / median(took["ours"])
    figures["ratio_with_options"] = median(
        bare / ours for ours, bare in zip(took["ours_with_options"], took["bare"], strict=True)
    )
    figures["build_s"] = build
    figures["build_with_options_s"] = build_with_options
    return figures


def main() -> dict[str, float]:
    """Prints one line for each set of texts and number of terms; the first is the figure the goal (0.5) is set for."""
    prepare()
    told: dict[str, float] = {}
    sets = {"": ordinary_texts(4000), "_real": real_texts()}
    for number in (100_000, 10_000):
        terms = synthetic_terms(number)
        for suffix, texts in sets.items():
            name = f"text_match{suffix}" + ("" if number == 100_000 else f"_{number // 1000}k")
            if not texts:
                print(f"{name}  no texts in {REAL_TEXTS.relative_to(ROOT.parent)}")
                continue
            figures = compare(terms, texts)
            print(
                f"{name}  {figures['ours']:.1f} MB/s  {figures['bare']:.1f} MB/s (bare ahocorasick_rs)"
                f"  {figures['ratio']:.2f}"
            )
            print(
                f"  {number:,} terms, {len(texts):,} texts: {figures['texts_per_s']:,.0f} texts/s, folding alone"
                f" {figures['fold_only']:.1f} MB/s, bare on bytes {figures['bare_bytes']:.1f} MB/s, plain loop"
                f" {figures['loop']:.3f} MB/s ({figures['ours'] / figures['loop']:,.0f} times slower),"
                f" built in {figures['build_s']:.2f} s"
            )
            print(
                f"  every tenth term with options: {figures['ours_with_options']:.1f} MB/s"
                f" {figures['ratio_with_options']:.2f}, built in {figures['build_with_options_s']:.2f} s"
            )
            told |= {f"{name}_{key}": value for key, value in figures.items()}
    return told


def profile() -> None:
    """Where the time of ours goes."""
    prepare()
    matcher = Matcher([Term(number, 1, value, "synthetic", 1) for number, value in enumerate(synthetic_terms(100_000))])
    texts = [text.decode() for text in ordinary_texts(4000) + real_texts()]
    profiler = cProfile.Profile()
    profiler.runcall(lambda: [matcher.find(normalise(text)) for text in texts])
    pstats.Stats(profiler).sort_stats("tottime").print_stats(15)


if __name__ == "__main__":
    profile() if "--profile" in sys.argv[1:] else main()
