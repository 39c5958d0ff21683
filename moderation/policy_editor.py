"""The small table in which a draft is edited: a form that carries all rules, so that adding, removing and moving work
without a script and without saving. What was typed becomes rules; rules and their errors become the table again."""

from __future__ import annotations

from typing import Any

from django.http import QueryDict
from django.utils.translation import gettext as _

from governance.models import FUNCTION_KINDS, TECHNOLOGIES, Function, Service
from moderation import policy_validation, policy_words
from moderation.models import Feature
from moderation.policy_conditions import CHOICE, CODES, CONDITIONS, NUMBER, SORTS, WHOLE, YES_NO, listed
from moderation.screening import categories

_SOURCES = 200
_BOXES = 24  # up to so many choices stand side by side as boxes, more in a list
_LONGEST = 400


def rules_of(post: QueryDict) -> list[dict[str, Any]]:
    """The rules as they stand in the form. What can't be a number stays as it was typed, for the validation to refuse
    and the table to show."""
    return [_rule(post, key) for key in post.getlist("row")[: policy_validation.MOST_RULES + 1]]


def _rule(post: QueryDict, key: str) -> dict[str, Any]:
    def typed(name: str) -> str:
        return post.get(f"{key}-{name}", "").replace("\x00", "").strip()[:_LONGEST]

    rule: dict[str, Any] = {"id": typed("id"), "name": typed("name"), "then": typed("then")}
    if name_en := typed("name_en"):
        rule["name_en"] = name_en
    if priority := typed("priority"):
        rule["priority"] = _whole(priority)
    if queue := typed("queue"):
        rule["queue"] = queue
    stated = [name for name in dict.fromkeys(post.getlist(f"{key}-has")) if name in CONDITIONS]
    rule["when"] = {name: _value(post, key, name) for name in stated}
    return rule


def _value(post: QueryDict, key: str, name: str) -> Any:
    kind = CONDITIONS[name].kind
    given = [value.replace("\x00", "").strip()[:_LONGEST] for value in post.getlist(f"{key}-when-{name}")]
    if kind == CODES:
        return [value for value in given if value]
    one = given[0] if given else ""
    if kind == YES_NO:
        return {"1": True, "0": False}.get(one, one)
    if kind == WHOLE:
        return _whole(one)
    if kind == NUMBER:
        try:
            return float(one) if len(one) < 20 else one
        except ValueError:
            return one
    return one


def _whole(text: str) -> Any:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else text


def act(rules: list[dict[str, Any]], post: QueryDict) -> tuple[str, int | None]:
    """Do what a button of the table asks, on the rules in memory. Answers the id of the control that gets the focus and
    the rule that changed."""
    what, _colon, rest = post.get("act", "").partition(":")
    if what == "add":
        if len(rules) < policy_validation.MOST_RULES:
            rules.append({"id": _new_id(rules), "name": "", "then": "review", "when": {}})
        return f"{len(rules) - 1}-name", len(rules) - 1
    key, _colon, name = rest.partition(":")
    place = int(key) if key.isascii() and key.isdigit() and int(key) < len(rules) else None
    if place is None:
        return "", None
    if what == "remove":
        del rules[place]
        return "add-rule", None
    if what in ("up", "down"):
        to = place + (-1 if what == "up" else 1)
        if 0 <= to < len(rules):
            rules[place], rules[to] = rules[to], rules[place]
            last = to == (0 if what == "up" else len(rules) - 1)
            return f"{to}-{('down' if what == 'up' else 'up') if last else what}", to
        return f"{place}-{what}", place
    when = rules[place].setdefault("when", {})
    if what == "drop":
        when.pop(name, None)
        return f"{place}-add", place
    if what == "condition":
        wanted = post.get(f"{key}-add", "")
        if wanted in CONDITIONS and wanted not in when:
            when[wanted] = [] if CONDITIONS[wanted].kind == CODES else True if wanted == "check_failed" else ""
            return f"{place}-when-{wanted}", place
        return f"{place}-add", place
    return "", None


def _new_id(rules: list[dict[str, Any]]) -> str:
    taken = {rule.get("id") for rule in rules}
    return next(name for n in range(1, 1000) if (name := f"R-{n:02d}") not in taken)


def table(rules: list[dict[str, Any]], errors: list[dict[str, Any]], focus: str = "") -> list[dict[str, Any]]:
    """The rows of the table: every rule with its fields, its conditions as controls, and the errors at each field."""
    said: dict[str, list[str]] = {}
    for error in errors:
        said.setdefault(error["field"], []).append(str(error["detail"]))
    options = _Options(rules)
    rows = []
    for place, rule in enumerate(rules):
        at = f"rules.{place}"
        when = rule.get("when", {})
        rows.append(
            {
                "key": place,
                "number": place + 1,
                "id": rule.get("id", ""),
                "name": rule.get("name", ""),
                "name_en": rule.get("name_en", ""),
                "priority": rule.get("priority", "") or "",
                "then": [(code, word, rule.get("then") == code) for code, (word, _t, _i) in policy_words.THEN.items()],
                "queue": [
                    (code, word, rule.get("queue", "review") == code) for code, word in policy_words.QUEUES.items()
                ],
                "errors": {
                    name: said.get(f"{at}.{name}", [])
                    for name in ("id", "name", "name_en", "then", "priority", "queue", "when")
                },
                "conditions": [
                    _control(place, name, value, said.get(f"{at}.when.{name}", []), options, focus)
                    for name, value in when.items()
                    if name in CONDITIONS
                ],
                "addable": [
                    (word, [(n, c.label) for n, c in CONDITIONS.items() if c.about == sort and n not in when])
                    for sort, word in SORTS.items()
                ],
                "wrong": any(field == at or field.startswith(at + ".") for field in said),
                "first": place == 0,
                "last": place == len(rules) - 1,
            }
        )
    return rows


def _control(place: int, name: str, value: Any, errors: list[str], options: _Options, focus: str) -> dict[str, Any]:
    known = CONDITIONS[name]
    chosen = set(listed(value)) if known.kind == CODES else {value}
    control: dict[str, Any] = {
        "name": name,
        "field": f"{place}-when-{name}",
        "label": known.label,
        "kind": known.kind,
        "value": value if isinstance(value, str) else f"{value:g}" if known.kind in (WHOLE, NUMBER) else "",
        "errors": errors,
        "least": f"{known.least:g}",
        "most": f"{known.most:g}",
        "step": "1" if known.kind == WHOLE else "any",
        "fixed": name == "check_failed",
        "focus": focus == f"{place}-when-{name}",
    }
    if known.kind in (CODES, CHOICE):
        control["options"] = [(code, word, code in chosen) for code, word in options.of(name)]
        control["chosen"] = ", ".join(word.strip() for _code, word, on in control["options"] if on)
        control["few"] = known.kind == CODES and len(control["options"]) <= _BOXES
    elif known.kind == YES_NO:
        control["options"] = [("1", _("yes"), value is True), ("0", _("no"), value is False)]
    return control


class _Options:
    """What may be chosen in the selects; each list is asked for once, and only where a rule has such a condition."""

    def __init__(self, rules: list[dict[str, Any]]):
        self._rules = rules
        self._known: dict[str, list[tuple[str, str]]] = {}

    def of(self, name: str) -> list[tuple[str, str]]:
        """Code and word of each choice of a condition. What a rule states stays choosable though it has gone."""
        if name not in self._known:
            stated = [code for rule in self._rules for code in listed(rule.get("when", {}).get(name, [])) if code]
            codes = dict.fromkeys([*self._codes(name), *(code for code in stated if isinstance(code, str))])
            words = dict(policy_words.choices(name, list(codes)))
            if name == "category":
                words = {code: ("\u2003" if "." in code else "") + word for code, word in words.items()}
            self._known[name] = [(code, words[code]) for code in codes]
        return self._known[name]

    @staticmethod
    def _codes(name: str) -> list[str]:
        if name == "category":
            return [c.pk for c in sorted(categories().values(), key=lambda c: c.position)]
        if name == "service":
            return list(Service.objects.order_by("code").values_list("code", flat=True))
        if name == "function":
            return list(Function.objects.order_by("code").values_list("code", flat=True).distinct())
        if name == "feature_source":
            sources = Feature.objects.exclude(source="").order_by("source").values_list("source", flat=True)
            return list(sources.distinct()[:_SOURCES])
        fixed: dict[str, list[str]] = {
            "check": policy_validation.checks(),
            "side": ["input", "output"],
            "field": list(policy_words.FIELDS),
            "technology": list(TECHNOLOGIES),
            "function_kind": list(FUNCTION_KINDS),
            "user_kind": ["person", "organization"],
        }
        return fixed[name]
