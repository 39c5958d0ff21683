"""Digits, and what is written for them because it looks or counts the same: l, I and 壹 for 1, O and 〇 for 0."""

from __future__ import annotations

from functools import cache

from moderation.split_characters import all_parts

# Of folded text, so small letters only.
GROUPS = ("1liⅼ一壹弌幺", "0o〇零", "2z二贰弍两", "3e三叁弎", "4a四肆", "5s五伍", "6b六陆g", "7t七柒", "8b八捌", "9gq九玖",
          "十拾", "百佰", "千仟", "万萬")  # fmt: skip
# Characters that are taken for one another at a glance and don't sound alike anyway.
SHAPES = ("微徽", "己已巳", "未末", "日曰", "土士", "千干于", "天夭", "兔免", "侯候", "折拆", "拔拨", "人入", "刀刁", "大太犬", "今令", "博傅", "裸棵", "冰水", "贷货", "洗冼", "币巾", "毒毐")  # fmt: skip
_OF: dict[str, set[int]] = {}
for _number, _group in enumerate(GROUPS):
    for _character in _group:
        _OF.setdefault(_character, set()).add(_number)


# Parts of characters that are taken for one another.
_PARTS = str.maketrans("礻冫目禾见冖穴竹卩", "衤氵日木贝宀宀艹阝")


@cache
def _shaped_like() -> dict[str, str]:
    groups: dict[str, set[str]] = {}
    for character, forms in all_parts().items():
        for form in forms:
            groups.setdefault(form.translate(_PARTS), set()).add(character)
    alike: dict[str, set[str]] = {}
    for group in (*SHAPES, *groups.values()):
        for character in group if len(group) > 1 else ():
            alike.setdefault(character, set()).update(group)
    return {character: "".join(sorted(others - {character})) for character, others in alike.items()}


def with_shapes() -> frozenset[str]:
    """The characters that can be taken for others."""
    return frozenset(_shaped_like())


def shaped_like(character: str) -> str:
    """The characters that are taken for this one at a glance."""
    return _shaped_like().get(character, "")


def alike(one: str, other: str) -> bool:
    """May one be written for the other?"""
    groups = _OF.get(one)
    return groups is not None and not groups.isdisjoint(_OF.get(other, ()))


def has_any(text: str) -> bool:
    """Is anything in the text that has a look-alike?"""
    return any(character in _OF for character in text)
