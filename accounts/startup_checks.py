"""System checks: an outside service without its key, or with a weak one, would make every answer forgeable."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import Error, register

SHORTEST_KEY = 32  # characters


@register()
def services_have_keys(**kwargs: Any) -> list[Error]:
    """Each address of a service that is asked about identities needs a key, and in production https."""
    found = []
    for name, least in (("IDENTITY_VERIFIER", SHORTEST_KEY), ("NETWORK_IDENTITY", SHORTEST_KEY), ("SMS_GATEWAY", 1)):
        url, key = getattr(settings, f"{name}_URL"), getattr(settings, f"{name}_KEY")
        if url and len(key) < least:
            found.append(
                Error(f"{name}_URL is set, but {name}_KEY has fewer than {least} characters.", id="accounts.E001")
            )
        if url and settings.HTTPS and not url.startswith("https://"):
            found.append(Error(f"{name}_URL must begin with https://: numbers travel there.", id="accounts.E002"))
    return found
