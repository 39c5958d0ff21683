"""The category tree: loaded from the shipped file, edited by the operator afterwards."""

from __future__ import annotations

import json
from pathlib import Path

from django.db import transaction
from simple_history.utils import bulk_create_with_history

from core import audit
from governance.models import Category

FILE = Path(__file__).parent / "data" / "categories.json"


def seed_categories(*, by: str = "system:bootstrap") -> int:
    """Add the shipped categories that are not there yet; what the operator changed stays. Returns how many came."""
    nodes = json.loads(FILE.read_text(encoding="utf-8"))
    known = set(Category.objects.values_list("code", flat=True))
    new = [
        Category(
            code=node["code"],
            parent_id=node["parent"],
            name=node["name_zh"],
            name_en=node["name_en"],
            severity=node["severity"],
            clause=node["clause"],
            law=node["law"],
            leaf=node["leaf"],
            guidance=node["guidance_zh"],
            guidance_en=node["guidance_en"],
            reason=node["reason_zh"],
            reason_en=node["reason_en"],
            position=position,
        )
        for position, node in enumerate(nodes)
        if node["code"] not in known
    ]
    if new:
        with transaction.atomic():
            bulk_create_with_history(
                new, Category
            )  # parents come first in the file; the constraint is checked at commit
            audit.record(
                action="taxonomy.seeded", subject="taxonomy:categories", by=by, data={"added": [c.code for c in new]}
            )
    return len(new)
