"""System checks: what must be true of the database and the settings before anybody relies on them."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.db import connections


@register("database")
def chinese_trigrams(app_configs: Any = None, databases: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """With LC_CTYPE=C, trigram indexes silently match nothing in Chinese."""
    if not databases:
        return []
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT to_regproc('show_trgm') IS NOT NULL")
        if not cursor.fetchone()[0]:
            return []
        cursor.execute("SELECT show_trgm('违禁词') = '{}'")
        if cursor.fetchone()[0]:
            return [Warning("The database's LC_CTYPE hides Chinese from pg_trgm; use C.UTF-8.", id="core.W001")]
    return []


@register(deploy=True)
def no_demo_in_production(**kwargs: Any) -> list[Error]:
    """Demo accounts have passwords that lie in a file; they belong on one's own machine only."""
    return [Error("DEMO is on.", id="core.E001")] if settings.DEMO else []


@register()
def keys_are_set(**kwargs: Any) -> list[Error]:
    """Personal fields can't be written without their keys."""
    found = []
    if not settings.FIELD_KEYS.get(settings.FIELD_KEY_ID):
        found.append(Error("FIELD_KEY (or FIELD_KEYS with FIELD_KEY_ID) is not set.", id="core.E002"))
    if not (settings.DIGEST_KEY or settings.DIGEST_KEY_FILE or settings.PEPPER_SOCKET):
        found.append(Error("None of DIGEST_KEY, DIGEST_KEY_FILE and PEPPER_SOCKET is set.", id="core.E003"))
    return found


@register("database")
def keys_that_are_named(app_configs: Any = None, databases: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """A field key that data keys still name must be configured: without it those people's data can't be opened."""
    if not databases:
        return []
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT to_regclass('core_datakey') IS NOT NULL")
        if not cursor.fetchone()[0]:
            return []
        cursor.execute("SELECT DISTINCT key_id FROM core_datakey WHERE wrapped IS NOT NULL")
        missing = sorted({row[0] for row in cursor.fetchall()} - {k for k, v in settings.FIELD_KEYS.items() if v})
    if not missing:
        return []
    return [Error(f"Data is sealed under keys that FIELD_KEYS lacks: {', '.join(missing)}.", id="core.E004")]
