"""/healthz, /readyz, /metrics."""

from __future__ import annotations

import hmac

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from prometheus_client import CONTENT_TYPE_LATEST

from core import health, metrics
from core.roles import may


def alive(request: HttpRequest) -> HttpResponse:
    """The process answers."""
    return HttpResponse("ok\n", content_type="text/plain")


def ready(request: HttpRequest) -> JsonResponse:
    """200 when everything that a submission needs is there, else 503 with what is missing. How safely media are decoded
    is said beside it and changes nothing."""
    parts = health.readiness()
    whole = all(said == "ok" for said in parts.values())
    return JsonResponse({"ready": whole, **parts, "box": health.box()}, status=200 if whole else 503)


def metrics_page(request: HttpRequest) -> HttpResponse:
    """For Prometheus with the metrics token, or for staff who may see it; nobody else learns that it is there."""
    given = request.META.get("HTTP_AUTHORIZATION", "").removeprefix("Bearer ")
    by_token = bool(settings.METRICS_TOKEN) and hmac.compare_digest(given.encode(), settings.METRICS_TOKEN.encode())
    if not by_token and not may(request.user, "metrics.view"):
        raise Http404
    return HttpResponse(metrics.exposition(), content_type=CONTENT_TYPE_LATEST)
