"""The category tree: whole, bilingual, and the operator's once it is there."""

from __future__ import annotations

from governance.models import Category
from governance.taxonomy import seed_categories
from moderation.models import Feature


def test_the_tree_is_whole(db: None) -> None:
    while Category.objects.exists():
        Category.objects.filter(children=None).delete()
    added = seed_categories()
    rows = {c.code: c for c in Category.objects.all()}
    assert added == len(rows) > 50
    for root in ("national_security", "national_image", "public_interest", "order", "rights", "false_news"):
        assert rows[root].parent_id is None
    for node in rows.values():
        assert node.parent_id is None or node.parent_id in rows
        assert node.leaf == (not any(other.parent_id == node.code for other in rows.values()))
        assert node.name and node.name_en and node.clause
        if node.leaf:
            assert node.guidance and node.guidance_en and node.reason and node.reason_en


def test_seeding_again_changes_nothing_and_keeps_what_people_edited(db: None) -> None:
    seed_categories()
    one = Category.objects.filter(leaf=True).first()
    assert one is not None
    one.severity, one.guidance = 1, "我们自己的尺度"
    one.save(update_fields=["severity", "guidance"])
    assert seed_categories() == 0
    one.refresh_from_db()
    assert (one.severity, one.guidance) == (1, "我们自己的尺度")
    assert one.history.count() == 2


def test_no_political_terms_are_shipped(db: None) -> None:
    """Operators bring their own library for these roots."""
    import csv

    from moderation.library import STARTER

    seed_categories()
    parents = dict(Category.objects.values_list("code", "parent_id"))

    def root(code: str) -> str:
        return root(parents[code]) if parents[code] else code

    with STARTER.open(encoding="utf-8", newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert len(rows) >= 400
    assert not {row["value"] for row in rows if root(row["category"]) in ("national_security", "national_image")}
    assert Feature.objects.count() == 0
