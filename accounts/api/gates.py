"""What is closed by order."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema

from accounts.api.reading import respond
from core import gates
from core.api import ApiView


class GatesView(ApiView):
    """What is closed by order."""

    scopes = {"GET": "submissions:read"}
    http_method_names = ["get"]

    @extend_schema(operation_id="list_gates", responses={200: {"type": "array", "items": {"type": "object"}}})
    def get(self, request: Any) -> HttpResponse:
        """All three capabilities, closed or not."""
        return respond(gates.overview(request.user.service.pk))
