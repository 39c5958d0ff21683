"""Webhooks: signed, frozen, retried, given up (Standard Webhooks; security.md P26, M6)."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, transaction
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from core import jobs, outbox, webhooks
from core.errors import Refusal
from core.models import Job, WebhookDelivery, WebhookEndpoint
from tests.world import CLEAN, World


class Receiver:
    """Answers what its script says, and remembers what came."""

    def __init__(self) -> None:
        self.script: list[int] = []
        self.seen: list[tuple[dict[str, str], bytes]] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.seen.append(({k.lower(): v for k, v in self.headers.items()}, body))
                status = outer.script.pop(0) if outer.script else 200
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", outer.url + "/elsewhere")
                if status == 429:
                    self.send_header("Retry-After", "120")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    running = Receiver()
    yield running
    running.server.shutdown()
    running.server.server_close()


@pytest.fixture
def endpoint(world: World, receiver: Receiver) -> WebhookEndpoint:
    outbox.relay()
    made, secret = webhooks.register_endpoint(service_id=world.service.pk, url=receiver.url + "/hook", by=world.fang)
    made.plain_secret = secret  # type: ignore[attr-defined]
    return made


def due() -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE core_job SET due_at = statement_timestamp() - interval '1 second'")


def deliver() -> None:
    due()
    jobs.work("courier", seconds=5)


def test_an_event_arrives_signed_and_only_at_its_own_service(
    world: World, endpoint: WebhookEndpoint, receiver: Receiver
) -> None:
    webhooks.register_endpoint(service_id=world.other_service.pk, url=receiver.url + "/other", by=world.fang)
    item = world.submit(CLEAN)
    outbox.relay()
    deliver()
    assert len(receiver.seen) == 1
    headers, body = receiver.seen[0]
    told = Webhook(endpoint.plain_secret).verify(body, headers)  # type: ignore[attr-defined]
    assert told["type"] == "submission.released"
    assert told["data"]["id"] == str(item.pk)
    with pytest.raises(WebhookVerificationError):
        Webhook(endpoint.plain_secret).verify(body.replace(b"released", b"blocked!"), headers)  # type: ignore[attr-defined]
    assert WebhookDelivery.objects.get().state == "delivered"
    assert not Job.objects.filter(kind="webhook.deliver").exists()


def test_a_failing_receiver_gets_the_same_bytes_and_id_until_it_answers(
    world: World, endpoint: WebhookEndpoint, receiver: Receiver
) -> None:
    receiver.script = [500, 302, 429, 503, 200]
    world.submit(CLEAN)
    outbox.relay()
    for _attempt in range(5):
        deliver()
    assert len(receiver.seen) == 5
    assert len({headers["webhook-id"] for headers, _body in receiver.seen}) == 1
    assert len({body for _headers, body in receiver.seen}) == 1
    delivery = WebhookDelivery.objects.get()
    assert (delivery.state, delivery.attempts) == ("delivered", 5)


def test_an_orderly_failure_never_leads_to_quarantine_and_honours_retry_after(
    world: World, endpoint: WebhookEndpoint, receiver: Receiver
) -> None:
    receiver.script = [500, 500, 500, 500, 429]
    world.submit(CLEAN)
    outbox.relay()
    for _attempt in range(5):
        deliver()
    job = Job.objects.get(kind="webhook.deliver")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT extract(epoch FROM due_at - statement_timestamp()) FROM core_job WHERE id = %s", [job.pk]
        )
        assert cursor.fetchone()[0] > 100
    assert job.attempts == 0


def test_gone_switches_the_endpoint_off(world: World, endpoint: WebhookEndpoint, receiver: Receiver) -> None:
    receiver.script = [410]
    world.submit(CLEAN)
    outbox.relay()
    deliver()
    endpoint.refresh_from_db()
    assert not endpoint.active
    assert WebhookDelivery.objects.get().state == "failed"


def test_after_a_day_it_is_given_up_and_can_be_sent_again_by_hand(
    world: World, endpoint: WebhookEndpoint, receiver: Receiver
) -> None:
    receiver.script = [500]
    world.submit(CLEAN)
    outbox.relay()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE core_webhookdelivery SET created_at = created_at - interval '25 hours'")
    deliver()
    delivery = WebhookDelivery.objects.get()
    assert delivery.state == "failed"
    webhooks.resend(delivery_id=delivery.pk, by=world.fang)
    deliver()
    delivery.refresh_from_db()
    assert delivery.state == "delivered"


@pytest.mark.parametrize(
    "url", ["ftp://example.cn/x", "javascript:alert(1)", "http://user@example.cn/", "nonsense", "https://"]
)
def test_an_address_that_can_not_be_called_is_refused(world: World, url: str) -> None:
    with pytest.raises(Refusal):
        webhooks.register_endpoint(service_id=world.service.pk, url=url, by=world.fang)


@pytest.mark.parametrize(
    "url",
    ["https://127.0.0.1/x", "https://localhost/x", "https://[::1]/x", "https://10.0.0.1/", "https://169.254.169.254/"],
)
def test_outside_of_a_demonstration_our_own_network_is_never_called(settings: Any, url: str) -> None:
    settings.DEMO, settings.HTTPS = False, True
    with pytest.raises(webhooks.NotSendable):
        webhooks.refuse_private(url)


def test_an_event_of_a_transaction_that_failed_never_leaves(world: World, endpoint: WebhookEndpoint) -> None:
    outbox.relay()
    with pytest.raises(RuntimeError), transaction.atomic():
        outbox.emit("gate.closed", subject="x", payload={}, service_id=world.service.pk)
        raise RuntimeError
    assert outbox.relay() == 0


def test_an_unknown_topic_is_a_programming_error(db: None) -> None:
    with pytest.raises(KeyError):
        outbox.emit("submission.lost", subject="x", payload={})


def test_the_body_is_json_with_type_time_and_data(world: World, endpoint: WebhookEndpoint) -> None:
    world.submit(CLEAN)
    outbox.relay()
    told = json.loads(WebhookDelivery.objects.get().body)
    assert set(told) == {"type", "timestamp", "data"}
    assert told["timestamp"].endswith("Z")
