"""Conventions of the house, as tests (design.md)."""

from __future__ import annotations

import ast
import importlib
import platform
import re
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.template.loader import get_template

ROOT = Path(__file__).resolve().parents[1]
APPS = ("core", "governance", "accounts", "labeling", "moderation", "rumors", "reporting", "config")


def sources() -> list[Path]:
    """Every Python file of the product."""
    folders = [ROOT / name for name in APPS if (ROOT / name).is_dir()] + [ROOT / "platform"]
    return [
        p for folder in folders for p in folder.rglob("*.py") if "migrations" not in p.parts and "vendor" not in p.parts
    ]


def templates() -> list[Path]:
    return sorted((ROOT / "platform" / "templates").rglob("*.html"))


def test_platform_is_a_folder_and_never_a_package():
    assert not (ROOT / "platform" / "__init__.py").exists()
    assert Path(platform.__file__).parent != ROOT / "platform"


def test_imports_run_down_the_list_only():
    done = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"],
        cwd=ROOT, capture_output=True, text=True, env={"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{ROOT}:{ROOT / 'platform'}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("tool", [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]], ids=" ".join)
def test_the_code_is_clean(tool):
    done = subprocess.run(
        [str(Path(sys.executable).parent / tool[0]), *tool[1:], *(_mypy_targets() if tool == ["mypy"] else [])],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


def _mypy_targets() -> list[str]:
    """The ground and every command module."""
    return ["platform/core", "accounts", "moderation", "rumors", "reporting", "governance", "labeling"]


@pytest.mark.django_db
def test_migrations_are_complete():
    out = StringIO()
    try:
        call_command("makemigrations", "--check", "--dry-run", stdout=out)
    except SystemExit:
        pytest.fail(out.getvalue())


def test_state_documents_are_current():
    call_command("statediagram", "--check")


def test_translations_are_complete():
    call_command("messages", "--check")


@pytest.mark.django_db
def test_every_template_compiles():
    for path in templates():
        get_template(str(path.relative_to(ROOT / "platform" / "templates")))


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        (r"\|\s*safe\b", "escapes nothing"),
        (r"autoescape\s+off", "escapes nothing"),
        (r"<script(?![^>]*\b(?:src=|type=\"application/(?:ld\+)?json\"))", "inline script breaks the CSP"),
        (r"<style\b", "inline style breaks the CSP"),
        (r"\sstyle=", "inline style breaks the CSP"),
        (r"\son[a-z]+=", "inline handler breaks the CSP"),
        (r"https?://(?!www\.w3\.org|schema\.org)[^\"'{ ]+\.(?:js|css|woff2?)", "no third-party assets"),
    ],
)
def test_no_template_holds(pattern, why):
    found = [str(p.relative_to(ROOT)) for p in templates() if re.search(pattern, p.read_text(encoding="utf-8"))]
    assert not found, why


def test_no_file_names_a_machine_or_leaves_work_undone():
    bad = re.compile(r"\b(TODO|FIXME|XXX)\b|raise NotImplementedError|[\"' ]/(?:root|work|home)/")
    found = [f"{p.relative_to(ROOT)}: {m[0]}" for p in sources() if (m := bad.search(p.read_text(encoding="utf-8")))]
    assert not found


def test_commands_are_keyword_only_and_name_their_actor():
    """A function with `by` takes it, and everything else, by name."""
    loose = []
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                positional = [a.arg for a in node.args.args]
                if "by" in positional:
                    loose.append(f"{path.relative_to(ROOT)}:{node.name}")
    assert not loose


def test_public_functions_say_what_they_do():
    missing = []
    for path in sources():
        if path.name in ("apps.py", "settings.py", "urls.py", "seeds.py") or "templatetags" in path.parts:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in tree.body:
            public = isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
            if public and ast.get_docstring(node) is None:
                missing.append(f"{path.relative_to(ROOT)}:{node.name}")
    assert not missing


def test_every_dependency_is_pinned_and_says_what_it_is_for():
    for name in ("requirements.txt", "requirements-dev.txt"):
        for line in (ROOT / name).read_text(encoding="utf-8").splitlines():
            if line and not line.startswith(("#", "-r")):
                assert re.fullmatch(r"[A-Za-z0-9_.-]+(\[[a-z0-9,]+\])?==[\w.]+(; [^#]+)?  # .{10,}", line), line


def test_every_python_of_the_contract_can_read_the_sources():
    for path in sources():
        ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 11))


def test_views_and_tasks_of_another_app_are_never_imported():
    bad = re.compile(
        r"^from (core|accounts|moderation|rumors|reporting|governance)\.(?:tasks|api|\w*pages|urls) import", re.M
    )
    allowed = {"core.api", "core.pages"}
    found = []
    for path in sources():
        app = next((a for a in APPS if a in path.parts), "")
        for match in bad.finditer(path.read_text(encoding="utf-8")):
            module = match[0].split()[1]
            if module not in allowed and not module.startswith(f"{app}.") and app not in ("config", ""):
                found.append(f"{path.relative_to(ROOT)}: {module}")
    assert not found


def test_the_product_needs_no_neighbouring_folder():
    for path in [*sources(), ROOT / "README.md", ROOT / "README.zh-CN.md"]:
        assert "../shared" not in path.read_text(encoding="utf-8"), path


def test_every_module_imports():
    for path in sources():
        if "stack" in path.parts or path.name in ("__main__.py", "wsgi.py"):
            continue
        if path.name == "nudity.py":
            continue  # an extra for operators who install nudenet, whose licence keeps it out of here
        relative = (
            path.relative_to(ROOT / "platform") if (ROOT / "platform") in path.parents else path.relative_to(ROOT)
        )
        parts = list(relative.with_suffix("").parts)
        importlib.import_module(".".join(p for p in parts if p != "__init__"))
