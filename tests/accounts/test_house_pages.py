"""The pages by which the house is run: colleagues, clients and keys, webhooks, stopped jobs, gates, settings."""

from __future__ import annotations

import re

import pytest
from django.urls import reverse
from django.utils.html import escape

from accounts.models import ApiClient, ApiKey, Staff
from core import gates, options, roles, webhooks
from core.models import AuditEvent, Gate, Job, QuarantinedJob, WebhookDelivery, WebhookEndpoint
from core.permission_words import WORDS


def secret_in(answer):
    found = re.search(r"data-secret>([^<]+)<", answer.content.decode())
    return found[1] if found else None


def alerts(answer):
    return 'role="alert"' in answer.content.decode()


# Colleagues


def test_the_matrix_is_the_table_of_grants(world, login):
    text = login("he").get("/staff/").content.decode()
    matrix = text.split('class="table grants"')[1]
    for permission, holders in roles.GRANTS.items():
        row = re.search(rf"<code>{re.escape(permission)}</code></small></th>(.*?)</tr>", matrix, re.DOTALL)[1]
        cells = ["#check" in cell for cell in row.split("</td>")[:-1]]
        *by_role, in_emergency = cells
        assert by_role == [role in holders for role in roles.ROLES], permission
        assert in_emergency == (permission in roles.EMERGENCY), permission
        assert escape(str(WORDS[permission])) in matrix, permission


def test_closing_a_colleague_and_not_oneself(world, login):
    fang = login("fang")
    assert fang.post(reverse("staff_active", args=[world.lin.pk]), {"active": "0"}).status_code == 302
    assert Staff.objects.get(pk=world.lin.pk).is_active is False
    assert fang.post(reverse("staff_active", args=[world.lin.pk]), {"active": "1"}).status_code == 302
    own = fang.post(reverse("staff_active", args=[world.fang.pk]), {"active": "0"})
    assert (own.status_code, alerts(own)) == (403, True)
    assert Staff.objects.get(pk=world.fang.pk).is_active is True


# Clients and keys


def test_a_key_is_issued_shown_once_works_and_is_revoked(world, login):
    from accounts import keys
    from tests.conftest import Api

    fang = login("fang")
    assert fang.post(reverse("client_create"), {"service": world.service.pk, "name": "second"}).status_code == 302
    made = ApiClient.objects.get(name="second")
    answer = fang.post(reverse("key_issue", args=[made.pk]), {"scopes": ["users:read"]})
    secret = secret_in(answer)
    assert "no-store" in answer["Cache-Control"] and Api(secret).get("users/wen").status_code == 200
    assert secret not in fang.get("/staff/clients/").content.decode()
    key = ApiKey.objects.get(client=made)
    assert fang.post(reverse("key_revoke", args=[key.pk]), {"reason": ""}).status_code == 422
    assert fang.post(reverse("key_revoke", args=[key.pk]), {"reason": "换人"}).status_code == 302
    keys.forget()
    assert Api(secret).get("users/wen").status_code == 401
    assert AuditEvent.objects.get(action="key.revoked").reason == "换人"


@pytest.mark.parametrize("posted", [{}, {"scopes": ["everything"]}, {"scopes": ["users:read"], "expires_at": "soon"}])
def test_a_key_that_does_not_fit_is_refused_in_its_own_form(world, login, posted):
    before = ApiKey.objects.count()
    answer = login("fang").post(reverse("key_issue", args=[world.client.pk]), posted)
    assert (answer.status_code, alerts(answer), ApiKey.objects.count()) == (422, True, before)


# Webhooks


def test_an_endpoint_is_registered_its_deliveries_shown_and_sent_again(world, login):
    fang = login("fang")
    answer = fang.post(
        reverse("webhook_register"),
        {"service": world.service.pk, "url": "https://example.cn/hook", "topics": ["gate.closed"]},
    )
    assert secret_in(answer).startswith("whsec_") and "no-store" in answer["Cache-Control"]
    endpoint = WebhookEndpoint.objects.get()
    failed = WebhookDelivery.objects.create(
        endpoint=endpoint, topic="gate.closed", subject="x", body='{"secret-body": 1}', state="failed",
        attempts=9, last_status=503, last_error="answered 503",
    )  # fmt: skip
    page = fang.get(reverse("webhook", args=[endpoint.pk])).content.decode()
    assert "503" in page and str(failed.pk) in page and "secret-body" not in page
    assert str(failed.pk) not in fang.get(f"/staff/webhooks/{endpoint.pk}/?state=delivered").content.decode()
    Job.objects.all().delete()
    assert fang.post(reverse("delivery_resend", args=[endpoint.pk, failed.pk])).status_code == 302
    failed.refresh_from_db()
    assert (failed.state, Job.objects.get().subject) == ("pending", str(failed.pk))
    assert AuditEvent.objects.filter(action="webhook.resent").count() == 1
    assert fang.post(reverse("webhook_remove", args=[endpoint.pk])).status_code == 302
    assert not WebhookEndpoint.objects.exists()


def test_sending_again_to_an_endpoint_that_is_switched_off_is_refused(world, login):
    endpoint, _secret = webhooks.register_endpoint(
        service_id=world.service.pk, url="https://example.cn/", by=world.fang
    )
    WebhookEndpoint.objects.update(active=False, disabled_reason="the receiver answered 410 Gone")
    delivery = WebhookDelivery.objects.create(endpoint=endpoint, topic="t", subject="x", body="{}", state="failed")
    answer = login("fang").post(reverse("delivery_resend", args=[endpoint.pk, delivery.pk]))
    delivery.refresh_from_db()
    assert (answer.status_code, alerts(answer), delivery.state) == (409, True, "failed")


@pytest.mark.parametrize("url", ["", "ftp://example.cn/", "https://u@example.cn/", "https://[half/", "x" * 501])
def test_an_address_that_cannot_be_called_is_refused(world, login, url):
    answer = login("fang").post(reverse("webhook_register"), {"service": world.service.pk, "url": url})
    assert (answer.status_code, alerts(answer)) == (422, True)
    assert not WebhookEndpoint.objects.exists()


# Stopped jobs


def test_a_stopped_job_is_sent_round_again_or_dropped(world, login):
    xu = login("xu")
    for pk in (11, 12):
        QuarantinedJob.objects.create(
            id=pk, kind="webhook.deliver", subject=str(world.wen.pk), attempts=3, error="RuntimeError"
        )
    page = xu.get("/staff/jobs/").content.decode()
    assert "#11" in page and "#12" in page and "RuntimeError" in page
    assert xu.post(reverse("job_retry", args=[11])).status_code == 302
    assert Job.objects.filter(pk=11, kind="webhook.deliver", attempts=0).count() == 1
    again = xu.post(reverse("job_retry", args=[11]))
    assert (again.status_code, alerts(again)) == (409, True)
    assert xu.post(reverse("job_drop", args=[12]), {"reason": ""}).status_code == 422
    assert xu.post(reverse("job_drop", args=[12]), {"reason": "收件方已停用"}).status_code == 302
    assert not QuarantinedJob.objects.exists()
    assert xu.post(f"/staff/jobs/{10**30}/retry/").status_code == 409
    assert "empty-state" in xu.get("/staff/jobs/?before=x").content.decode()


# Gates and settings


def test_a_gate_is_closed_by_order_and_opened_with_a_reason(world, login, api):
    chen = login("chen")
    posted = {"capability": "registration", "directive": "网信办〔2026〕31号", "until": ""}
    assert chen.post(reverse("gate_close"), posted).status_code == 302
    again = chen.post(reverse("gate_close"), posted)
    assert (again.status_code, alerts(again), Gate.objects.count()) == (409, True, 1)
    assert "网信办〔2026〕31号" in login("he").get("/governance/gates/").content.decode()
    assert api.post("users", {"external_id": "n", "kind": "person", "display_name": "n"}).status_code == 503
    gate = Gate.objects.get()
    address = reverse("gate_open", args=[gate.pk])
    assert chen.post(address, {"reason": " "}).status_code == 422
    assert chen.post(address, {"reason": "期满"}).status_code == 302
    assert chen.post(address, {"reason": "期满"}).status_code == 409
    assert api.post("users", {"external_id": "n", "kind": "person", "display_name": "n"}).status_code == 201


@pytest.mark.parametrize(
    "posted",
    [
        {},
        {"capability": "release", "directive": " "},
        {"capability": "everything", "directive": "x"},
        {"capability": "release", "directive": "x" * 121},
        {"capability": "release", "directive": "x", "until": "2001-01-01T00:00"},
        {"capability": "release", "directive": "x", "service": "nonsense"},
    ],
)
def test_a_closure_that_does_not_fit_is_refused_beside_the_form(world, login, posted):
    answer = login("chen").post(reverse("gate_close"), posted)
    assert (answer.status_code, alerts(answer), Gate.objects.count()) == (422, True, 0)


def test_a_closure_that_is_over_says_so(world, login):
    from datetime import timedelta

    from django.utils import timezone

    gates.close_gate(capability="release", directive="x", by=world.chen, until=timezone.now() + timedelta(hours=1))
    Gate.objects.update(until=timezone.now() - timedelta(seconds=1))
    assert "closed no longer" in login("chen").get("/governance/gates/", HTTP_ACCEPT_LANGUAGE="en").content.decode()


def test_settings_show_default_and_the_value_in_force(world, login, monkeypatch):
    monkeypatch.setenv("MINGJIAN_REVIEW_LEASE", "7")
    text = login("chen").get("/governance/settings/").content.decode()
    for name in options.OPTIONS:
        assert f"MINGJIAN_{name.upper()}" in text
    row = text.split("MINGJIAN_REVIEW_LEASE")[0].rsplit("<tr>", 1)[1]
    assert re.findall(r"(\d+)(?: s)?\s*<", row)[:2] == ["7", "300"]


def test_the_door_of_governance_leads_to_the_gates(world, login):
    assert login("chen").get("/governance/")["Location"] == "/governance/gates/"
