"""Characters taken apart (拆字): 弓虽 for 强, 亻言 for 信."""

from __future__ import annotations

from functools import cache
from pathlib import Path

_TABLE = Path(__file__).parent / "data" / "split_characters.txt"


@cache
def all_parts() -> dict[str, tuple[str, ...]]:
    """Characters and the sequences of parts that they can be written as."""
    table: dict[str, tuple[str, ...]] = {}
    with _TABLE.open(encoding="utf-8") as lines:
        for line in lines:
            if not line.startswith("#"):
                character, *forms = line.split()
                table[character] = (*table.get(character, ()), *forms)
    return table


def parts_of(character: str) -> tuple[str, ...]:
    """The sequences of parts a character can be written as; none for one that can't be split or is not known."""
    return all_parts().get(character, ())
