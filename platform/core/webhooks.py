"""Webhooks as Standard Webhooks: at least once, the same bytes and id on every attempt, retried with back-off."""

from __future__ import annotations

import base64
import ipaddress
import random
import secrets
import socket
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import httpx
import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from standardwebhooks.webhooks import Webhook

from core import audit, crypto, jobs, outbox
from core.errors import Conflict, NotFound, Refusal, field_error
from core.models import WebhookDelivery, WebhookEndpoint
from core.options import option
from core.roles import check

log = structlog.get_logger("webhooks")


class NotSendable(Exception):
    """The address may not be called."""


def register_endpoint(
    *, service_id: UUID, url: str, by: Any, topics: list[str] | None = None
) -> tuple[WebhookEndpoint, str]:
    """Make an endpoint known, or answer the one that has this address already with its topics set anew; returns it with
    its secret (`whsec_…`). Refuses an address that isn't http(s) or, outside of a demonstration, not https, and a topic
    that nobody is told of."""
    if hasattr(by, "role"):
        check(by, "webhook.manage")
    if unknown := [topic for topic in topics or [] if topic not in outbox.WEBHOOK_TOPICS]:
        raise Refusal(
            "fields_invalid",
            _("Some fields can't be taken."),
            errors=[field_error("topics", "unknown", _("Unknown topics: %(n)s.") % {"n": len(unknown)})],
        )
    if not _callable(url):
        raise Refusal(
            "fields_invalid",
            _("This address can't be called."),
            errors=[field_error("url", "invalid", _("An https address without user name is needed."))],
        )
    with transaction.atomic():
        endpoint = WebhookEndpoint.objects.select_for_update().filter(service_id=service_id, url=url).first()
        if endpoint is None:
            endpoint = WebhookEndpoint(service_id=service_id, url=url, topics=topics or [])
            # One secret per service: its receivers share it, whichever address an event goes to.
            sibling = WebhookEndpoint.objects.filter(service_id=service_id).order_by("created_at").first()
            secret = secret_of(sibling) if sibling else "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
            endpoint.secret = crypto.seal(secret, f"webhook_endpoint:{endpoint.pk}:secret")
            endpoint.save(force_insert=True)
        else:
            secret = secret_of(endpoint)
            endpoint.topics, endpoint.active, endpoint.disabled_reason = topics or [], True, ""
            endpoint.save(update_fields=["topics", "active", "disabled_reason"])
        audit.record(action="webhook.registered", subject=f"webhook_endpoint:{endpoint.pk}", by=by)
    return endpoint, secret


def _callable(url: str) -> bool:
    schemes = ("http", "https") if settings.DEMO or not settings.HTTPS else ("https",)
    try:
        parts = urlsplit(url)
        return bool(parts.scheme in schemes and parts.hostname and not parts.username and len(url) <= 500)
    except ValueError:  # e.g. half of an IPv6 address
        return False


def remove_endpoint(*, endpoint_id: UUID, service_id: UUID, by: Any) -> None:
    """Forget an endpoint and what was on its way to it."""
    with transaction.atomic():
        gone, _rows = WebhookEndpoint.objects.filter(pk=endpoint_id, service_id=service_id).delete()
        if not gone:
            raise NotFound("not_found", _("There is no such endpoint."))
        audit.record(action="webhook.removed", subject=f"webhook_endpoint:{endpoint_id}", by=by)


def secret_of(endpoint: WebhookEndpoint) -> str:
    """The secret with which receivers verify."""
    return crypto.unseal(bytes(endpoint.secret), f"webhook_endpoint:{endpoint.pk}:secret")


def resend(*, delivery_id: UUID, by: Any) -> WebhookDelivery:
    """Send a delivery once more, whatever became of it. Refuses while its endpoint is switched off."""
    check(by, "webhook.manage")
    with transaction.atomic():
        delivery = (
            WebhookDelivery.objects.select_for_update(of=("self",))
            .select_related("endpoint")
            .filter(pk=delivery_id)
            .first()
        )
        if delivery is None:
            raise NotFound("not_found", _("There is no such delivery."))
        if not delivery.endpoint.active:
            # The courier passes it by, and it would be shown as being on its way for ever.
            raise Conflict("endpoint_off", _("This endpoint is switched off; register its address again first."))
        delivery.state, delivery.created_at = WebhookDelivery.PENDING, timezone.now()
        delivery.save(update_fields=["state", "created_at"])
        jobs.enqueue("webhook.deliver", str(delivery.pk))
        audit.record(action="webhook.resent", subject=f"webhook_delivery:{delivery.pk}", by=by)
    return delivery


def deliver(claimed: Sequence[jobs.Claimed]) -> dict[int, str]:
    """Run delivery jobs: send outside of any transaction, then write what came of it under the fencing token."""
    for job in claimed:
        delivery = WebhookDelivery.objects.select_related("endpoint").filter(pk=job.subject).first()
        if delivery is None or delivery.state != WebhookDelivery.PENDING or not delivery.endpoint.active:
            with transaction.atomic():
                jobs.finish([job])
            continue
        status, error, retry_after = _send(delivery)
        _settle(job, delivery, status, error, retry_after)
    return {}


def _send(delivery: WebhookDelivery) -> tuple[int | None, str, float]:
    endpoint = delivery.endpoint
    now = timezone.now()
    message_id = f"msg_{delivery.pk.hex}"
    headers = {
        "content-type": "application/json",
        "user-agent": "Mingjian-Webhooks/1",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret_of(endpoint)).sign(message_id, now, delivery.body),
    }
    try:
        refuse_private(endpoint.url)
        # No redirects: a receiver must not send us elsewhere (security.md P26, M6). The environment's proxies are not
        # ours to follow either.
        with httpx.Client(follow_redirects=False, timeout=option("webhook_timeout"), trust_env=False) as client:
            with client.stream("POST", endpoint.url, content=delivery.body.encode(), headers=headers) as response:
                after = response.headers.get("retry-after", "")
                ok = 200 <= response.status_code < 300
                return (
                    response.status_code,
                    "" if ok else f"answered {response.status_code}",
                    float(after) if after.isdigit() else 0.0,
                )
    except (httpx.HTTPError, NotSendable, OSError, ValueError) as exc:
        return None, type(exc).__name__, 0.0


def refuse_private(url: str) -> None:
    """Raise NotSendable for an address inside our own network, where a webhook could reach what only we may reach.
    A demonstration and a plain-http installation may call their own machine."""
    if settings.DEMO or not settings.HTTPS:
        return
    host = urlsplit(url).hostname or ""
    for *_rest, address in socket.getaddrinfo(host, None):
        ip = ipaddress.ip_address(address[0])
        if not ip.is_global or ip.is_multicast:
            raise NotSendable(host)


def _settle(job: jobs.Claimed, delivery: WebhookDelivery, status: int | None, error: str, retry_after: float) -> None:
    with transaction.atomic():
        if not jobs.still_ours([job]):
            return
        row = WebhookDelivery.objects.select_for_update(of=("self",)).get(pk=delivery.pk)
        row.attempts, row.last_status, row.last_error = F("attempts") + 1, status, error
        fields = ["attempts", "last_status", "last_error"]
        age = (timezone.now() - delivery.created_at).total_seconds()
        if not error:
            row.state, row.delivered_at = WebhookDelivery.DELIVERED, timezone.now()
            fields += ["state", "delivered_at"]
            jobs.finish([job])
        elif status == 410 or age > option("webhook_give_up"):
            row.state = WebhookDelivery.FAILED
            fields += ["state"]
            jobs.finish([job])
            if status == 410:
                WebhookEndpoint.objects.filter(pk=delivery.endpoint_id).update(
                    active=False, disabled_reason="the receiver answered 410 Gone"
                )
                audit.record(
                    action="webhook.disabled", subject=f"webhook_endpoint:{delivery.endpoint_id}", by="system:courier"
                )
            log.warning("webhook_failed", delivery=str(delivery.pk), status=status)
        else:
            pause = option("webhook_backoff") * 2 ** min(delivery.attempts, 12)
            # Full jitter, so that a receiver that comes back isn't met by everything at once (P19).
            jittered = random.uniform(pause / 2, min(pause, 3600))  # noqa: S311
            jobs.put_back(job, after=max(retry_after, jittered), reset=True)
        row.save(update_fields=fields)


KIND = jobs.register(jobs.Kind("webhook.deliver", deliver, batch=1, lease="webhook_lease", queue="courier"))
