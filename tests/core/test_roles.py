"""The one page of grants."""

from __future__ import annotations

import ast
from pathlib import Path
from types import SimpleNamespace

import pytest

from core import roles
from core.errors import Forbidden
from core.permission_words import WORDS

ROOT = Path(__file__).resolve().parents[2]
APPS = ("accounts", "governance", "labeling", "moderation", "rumors", "reporting", "platform/core", "platform/config")


def person(role, **given):
    return SimpleNamespace(**{"role": role, "is_authenticated": True, "is_active": True, **given})


@pytest.mark.parametrize("permission", sorted(roles.GRANTS))
@pytest.mark.parametrize("role", sorted(roles.ROLES))
def test_check_and_may_are_the_same_rule(permission, role):
    granted = role in roles.GRANTS[permission]
    assert roles.may(person(role), permission) is granted
    if granted:
        roles.check(person(role), permission)
    else:
        with pytest.raises(Forbidden) as refused:
            roles.check(person(role), permission)
        assert (refused.value.status, refused.value.extra) == (403, {"permission": permission})


@pytest.mark.parametrize(
    "nobody",
    [
        None,
        SimpleNamespace(),
        person("admin", is_active=False),
        person("admin", is_authenticated=False),
        person(""),
        person("root"),
        "system:clock",
        SimpleNamespace(is_authenticated=True, is_active=True, prefix="abc"),  # an API caller
    ],
)
def test_who_is_not_on_duty_may_nothing(nobody):
    assert not any(roles.may(nobody, permission) for permission in roles.GRANTS)


def test_a_permission_that_does_not_exist_is_a_mistake_and_not_a_no():
    with pytest.raises(KeyError):
        roles.may(person("admin"), "everything")


def test_grants_name_known_roles_and_nobody_decides_what_they_administer():
    assert set().union(*roles.GRANTS.values()) <= set(roles.ROLES)
    assert all(roles.GRANTS.values())
    deciding = {"review.work", "identity.decide", "measure.apply", "measure.lift", "feature.approve", "gate.operate"}
    for permission in deciding:
        assert not roles.GRANTS[permission] & {roles.ADMIN, roles.AUDITOR}, permission


def test_the_auditor_only_reads_and_looks_after_those_who_act():
    held = {permission for permission, holders in roles.GRANTS.items() if roles.AUDITOR in holders}
    supervision = {"alarm.see", "reveal.review", "glass.review", "honey.plant"}
    acting = {permission for permission in held if not permission.endswith(".view")}
    assert {permission for permission in acting if roles.GRANTS[permission] != roles.EVERYONE} == supervision


def test_every_permission_has_a_sentence():
    assert set(WORDS) == set(roles.GRANTS)
    assert len({str(sentence) for sentence in WORDS.values()}) == len(WORDS)


# Broken glass


@pytest.mark.parametrize("permission", sorted(roles.GRANTS))
@pytest.mark.parametrize("role", sorted(roles.ROLES))
def test_an_emergency_adds_its_fixed_rights_and_nothing_else(permission, role):
    broken = person(role, emergency="0192")
    assert roles.may(broken, permission) is (role in roles.GRANTS[permission] or permission in roles.EMERGENCY)
    assert roles.may(person(role, emergency=None), permission) is (role in roles.GRANTS[permission])


def test_an_emergency_never_lets_anybody_decide_reveal_or_rule_over_colleagues():
    reading = {permission for permission in roles.GRANTS if permission.endswith(".view")}
    assert roles.EMERGENCY - reading == {"alarm.see", "gate.operate", "measure.lift", "job.retry"}
    for permission in roles.EMERGENCY:
        subject, verb = permission.split(".")
        assert verb not in {"decide", "approve", "propose", "overturn", "publish", "manage", "reveal", "review"}
        assert subject not in {"reveal", "honey", "identity"}


@pytest.mark.parametrize(
    "nobody", [None, person("admin", is_active=False, emergency="0192"), person("", emergency="1")]
)
def test_who_is_not_on_duty_has_no_emergency_rights(nobody):
    assert not any(roles.may(nobody, permission) for permission in roles.EMERGENCY)


def test_every_permission_named_in_the_code_exists():
    named = {}
    for app in APPS:
        for path in (ROOT / app).rglob("*.py"):
            if "migrations" in path.parts:
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and _called(node) in ("check", "may", "staff_page"):
                    for argument in node.args:
                        if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                            named[argument.value] = path.name
    assert {p: where for p, where in named.items() if "." in p and p not in roles.GRANTS} == {}
    assert len(set(named) & set(roles.GRANTS)) > 10


def _called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


@pytest.mark.parametrize(
    ("who", "written"),
    [
        ("system:clock", "system:clock"),
        (person("moderator", get_username=lambda: "lin", display_name="林溪"), "staff:lin"),
        (SimpleNamespace(prefix="a1b2"), "client:a1b2"),
    ],
)
def test_the_ledger_names_an_actor_without_a_personal_name(who, written):
    assert roles.actor(who) == written
