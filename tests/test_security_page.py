"""docs/security.md names tests that exist, and says of every row what proves it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "security.md").read_text("utf-8")


def test_every_test_that_the_page_names_exists():
    named = set(re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE))
    assert len(named) > 30
    missing = []
    for path, name in named:
        file = ROOT / path
        if not file.exists():
            missing.append(path)
        elif name:
            functions = {n.name for n in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(n, ast.FunctionDef)}
            if name not in functions:
                missing.append(f"{path}::{name}")
    assert missing == []


def test_every_row_that_holds_names_its_test():
    holds, _not_yet = PAGE.split("## Not yet")
    rows = [line for line in holds.splitlines() if line.startswith("| ") and not line.startswith(("| ASVS", "| ---"))]
    assert len(rows) > 35
    assert [row for row in rows if "`tests/" not in row.rsplit("|", 2)[1]] == []
