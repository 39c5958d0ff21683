"""The one page of grants against everything that asks it: each role × each command, each role × each page.

Commands are found in the code, so that a new one is tested the day it is written.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import uuid
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, get_resolver

from core import roles
from core.errors import Forbidden

ROOT = Path(__file__).resolve().parents[1]
APPS = ("accounts", "governance", "moderation", "rumors", "reporting", "platform/core")
WHO = {
    "moderator": "lin",
    "senior_moderator": "xu",
    "identity_admin": "zhou",
    "compliance_officer": "chen",
    "auditor": "he",
    "admin": "fang",
}


def asked(function: ast.FunctionDef, neighbours: dict[str, ast.FunctionDef], depth: int = 2) -> set[str]:
    """The permissions that a command asks of `by`, itself or through a neighbour to which it hands `by`."""
    found: set[str] = set()
    for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        given = [a for a in [*call.args, *(k.value for k in call.keywords)] if isinstance(a, ast.Name) and a.id == "by"]
        if not given:
            continue
        if name == "check" and len(call.args) == 2 and isinstance(call.args[1], ast.Constant):
            found.add(str(call.args[1].value))
        elif depth and name in neighbours and isinstance(call.func, ast.Name):
            found |= asked(neighbours[name], neighbours, depth - 1)
    return found


def commands() -> dict[tuple[str, str], set[str]]:
    """Every public function that takes `by` by keyword and asks the page of grants, with what it asks."""
    found = {}
    for app in APPS:
        for file in sorted((ROOT / app).rglob("*.py")):
            if "migrations" in file.parts:
                continue
            module = ".".join(file.relative_to(ROOT).with_suffix("").parts).removeprefix("platform.")
            here = {
                node.name: node for node in ast.parse(file.read_text("utf-8")).body if isinstance(node, ast.FunctionDef)
            }
            for name, node in here.items():
                takes = {a.arg for a in [*node.args.kwonlyargs]}
                if name.startswith("_") or "by" not in takes:
                    continue
                if permissions := asked(node, here):
                    found[module, name] = permissions
    return found


COMMANDS = commands()


def anything(parameter: inspect.Parameter) -> Any:
    """A value that lets a call begin: what it names doesn't exist, which only those who may are told."""
    said = str(parameter.annotation)
    if "UUID" in said:
        return uuid.uuid4()
    if said.startswith(("str", "'str")):
        return "x"
    return MagicMock()


def call(module: str, name: str, person: Any) -> Exception | None:
    """Call a command as a person, undo whatever it did, and answer what it raised."""
    command = getattr(importlib.import_module(module), name)
    given = {
        p.name: anything(p)
        for p in inspect.signature(command).parameters.values()
        if p.name != "by" and p.default is inspect.Parameter.empty and p.kind is not inspect.Parameter.VAR_KEYWORD
    }
    try:
        with transaction.atomic():
            try:
                command(**given, by=person)
            finally:
                transaction.set_rollback(True)
    except Exception as refused:
        return refused
    return None


def test_the_commands_are_found_and_ask_only_what_the_page_knows():
    assert len(COMMANDS) > 30
    assert set().union(*COMMANDS.values()) <= set(roles.GRANTS)


@pytest.mark.parametrize("role", sorted(roles.ROLES))
def test_a_role_can_call_the_commands_it_has_the_grant_for_and_no_others(world, role):
    person = world.staff[WHO[role]]
    wrong = []
    for (module, name), permissions in COMMANDS.items():
        raised = call(module, name, person)
        refused = isinstance(raised, Forbidden) and (raised.extra or {}).get("permission") in permissions
        if len(permissions) == 1:
            (permission,) = permissions
            granted = role in roles.GRANTS[permission]
            if granted == refused:
                wrong.append((module, name, permission, "let in" if not granted else "refused", repr(raised)[:200]))
        elif not any(role in roles.GRANTS[p] for p in permissions) and not refused:
            wrong.append((module, name, sorted(permissions), "let in", repr(raised)[:200]))
    assert wrong == []


def pages() -> list[tuple[str, Any]]:
    """Every page with a grant: its address, filled with names of nothing, and its view."""

    def walk(patterns: Any, prefix: str) -> list[tuple[str, Any]]:
        found = []
        for pattern in patterns:
            route = prefix + str(pattern.pattern)
            if isinstance(pattern, URLPattern):
                found.append((route, pattern.callback))
            else:
                found += walk(pattern.url_patterns, route)
        return found

    def filled(route: str) -> str:
        values = {"uuid": str(uuid.UUID(int=7)), "int": "7", "slug": "none", "str": "none", "path": "none"}
        return "/" + re.sub(r"<(?:(\w+):)?\w+>", lambda m: values[m.group(1) or "str"], route)

    return [(filled(r), v) for r, v in walk(get_resolver().url_patterns, "") if hasattr(v, "permission")]


@pytest.mark.parametrize("role", sorted(roles.ROLES))
def test_no_page_opens_to_a_role_without_its_grant(world, login, role):
    browser = login(WHO[role])
    browser.raise_request_exception = True
    wrong = []
    for address, view in pages():
        if role in roles.GRANTS[view.permission]:
            continue
        for answer in (browser.get(address), browser.post(address)):
            if answer.status_code not in (403, 404, 405):
                wrong.append((address, view.permission, answer.status_code))
    assert wrong == []


def test_every_page_asks_for_a_grant_or_stands_on_this_list(world):
    open_to_anybody = re.compile(
        r"^/(api/|healthz|readyz|metrics|login/|logout/|i18n/|appearance/|public/|invitation/|sso/|staff/me/)"
    )
    patterns = {address for address, _view in pages()}
    assert len(patterns) > 40
    closed = Client()
    for address in patterns:
        assert not open_to_anybody.match(address) or address.startswith("/staff/me/"), address
        answer = closed.get(address)
        assert answer.status_code in (302, 401, 403, 405), (address, answer.status_code)
