"""What the API's views share."""

from __future__ import annotations

from typing import Any

from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import JSONParser
from rest_framework.renderers import JSONRenderer
from rest_framework.views import APIView


class JsonOnly(BaseContentNegotiation):
    """The API speaks JSON whatever the Accept header says; there is nothing to negotiate on a hot path."""

    def select_parser(self, request: Any, parsers: Any) -> Any:
        return JSONParser()

    def select_renderer(self, request: Any, renderers: Any, format_suffix: Any = None) -> Any:
        return JSONRenderer(), "application/json"


class ApiView(APIView):
    """A view of the API."""

    content_negotiation_class = JsonOnly
