"""Every page of accounts against every role, from the page's own grant: who has it gets in, nobody else does."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from django.urls import reverse

from accounts import appeals, emergency, imports, invitations, person_requests, urls
from accounts.models import ApiKey, Measure, UserImport
from core import roles, sealed_files, webhooks
from core.ids import uuid7
from core.models import Alarm, Gate, QuarantinedJob, WebhookDelivery
from governance import documents

WHO = {
    "moderator": "lin",
    "senior_moderator": "xu",
    "identity_admin": "zhou",
    "compliance_officer": "chen",
    "auditor": "he",
    "admin": "fang",
}
PAGES = {pattern.name: pattern.callback for pattern in urls.urlpatterns}
POSTS = {
    "users_by_number", "verification_decide", "verification_reveal", "measure_apply", "identity_demand", "measure_lift", "staff_invite",
    "invitation_revoke", "staff_active", "staff_role", "staff_sessions_end", "my_session_end", "my_sessions_end_others",
    "emergency_take", "emergency_end", "emergency_review", "alarm_saw", "client_create", "key_issue", "key_revoke", "webhook_register", "webhook_remove",
    "delivery_resend", "job_retry", "job_drop", "gate_close", "gate_open",
    "document_create", "document_publish", "document_require",
    "import_start", "import_carry_out", "import_resume", "import_abort",
    "key_find", "key_rotate", "key_limit", "key_sign",
    "my_security_app_add", "my_security_key_add", "my_security_codes", "my_security_remove", "my_security_connect",
    "my_security_disconnect", "my_password_change", "confirm_check",
    "appeal_decide",
    "person_request_take", "person_request_bundle", "person_request_finish", "person_request_refuse",
    "person_request_propose", "person_request_approve", "person_request_download", "reveals_export",
    "verification_heartbeat", "verification_give_back", "verification_ask_again", "guardian_record", "guardian_withdraw",
    "overturn_propose", "overturn_approve", "overturn_decline", "overturn_reveal",
}  # fmt: skip
HELD = {"verification_document"}  # 404 for everybody who doesn't hold the thing itself at this moment


def _an_import(world):
    """An import with a report."""
    row = UserImport(pk=uuid7(), service=world.service, name="x", file_kind="csv", started_by=world.zhou)
    sealed = sealed_files.write([b"report"], aad=imports.aad(row.pk, "report"))
    row.report_sha256 = sealed.sha256
    row.report_key_sealed = sealed_files.seal_key(sealed.key, imports.key_context(row.pk, "report"))
    row.save(force_insert=True)
    return row


@pytest.fixture
def addresses(world):
    """The address of every page, with records that exist."""
    endpoint, _secret = webhooks.register_endpoint(
        service_id=world.service.pk, url="https://example.cn/hook", by=world.fang
    )
    delivery = WebhookDelivery.objects.create(endpoint=endpoint, topic="gate.closed", subject="x", body="{}")
    gate = Gate.objects.create(capability="release", directive="令1号")
    job = QuarantinedJob.objects.create(id=77, kind="webhook.deliver", subject="x", attempts=3)
    identity = world.wen.identities.get()
    invitation, _token = invitations.invite(username="mei", display_name="梅", role="moderator", by=world.fang)
    glass = emergency.take(reason="发布网关起火，无人值守", by=world.xu)
    world.xu.emergency = None  # the tests look at roles
    emergency.end(emergency_id=glass.pk, by=world.xu)
    appeal, _created = appeals.file(measure=Measure.objects.get(), statement="不是我", by="user:x")
    documents.create(code="terms", kind="agreement", title="服务协议", by=world.chen)
    asked, _new = person_requests.receive(user=world.qian, kind="copy", by="client:x")
    user_import = _an_import(world)
    given = {
        **{name: [asked.pk] for name in PAGES if name.startswith("person_request") and name != "person_requests"},
        "document": ["terms"],
        "document_publish": ["terms"],
        "document_require": ["terms"],
        "appeal": [appeal.pk],
        "appeal_decide": [appeal.pk],
        "verification_decide": [identity.pk],
        "verification_heartbeat": [identity.pk],
        "verification_give_back": [identity.pk],
        "verification_ask_again": [identity.pk],
        "verification_document": [uuid7()],
        "guardian_record": [identity.pk],
        "guardian_withdraw": [uuid7()],
        "overturn_propose": [identity.pk],
        "overturn_approve": [identity.pk],
        "overturn_decline": [identity.pk],
        "overturn_reveal": [identity.pk],
        "verification_reveal": [identity.pk],
        "user": [world.qian.pk],
        "measure_apply": [world.qian.pk],
        "identity_demand": [world.qian.pk],
        "measure_lift": [world.qian.pk, Measure.objects.get().pk],
        "staff_active": [world.bai.pk],
        "staff_role": [world.bai.pk],
        "staff_sessions_end": [world.bai.pk],
        "my_session_end": [uuid7()],
        "invitation_revoke": [invitation.pk],
        "emergency_end": [glass.pk],
        "emergency_review": [glass.pk],
        "alarm_saw": [Alarm.objects.get().pk],
        "import": [user_import.pk],
        "import_start": [uuid7()],
        "import_carry_out": [user_import.pk],
        "import_resume": [user_import.pk],
        "import_abort": [user_import.pk],
        "import_report": [user_import.pk],
        "client": [world.client.pk],
        "key_issue": [world.client.pk],
        "key_rotate": [ApiKey.objects.get().pk],
        "key_limit": [ApiKey.objects.get().pk],
        "key_sign": [ApiKey.objects.get().pk],
        "my_security_remove": [1],
        "key_revoke": [ApiKey.objects.get().pk],
        "webhook": [endpoint.pk],
        "webhook_remove": [endpoint.pk],
        "delivery_resend": [endpoint.pk, delivery.pk],
        "job_retry": [job.pk],
        "job_drop": [job.pk],
        "gate_open": [gate.pk],
    }
    return {name: reverse(name, args=given.get(name, [])) for name in PAGES}


def test_every_page_names_a_grant_of_the_table():
    assert PAGES and {view.permission for view in PAGES.values()} <= set(roles.GRANTS)
    assert set(PAGES) >= POSTS


@pytest.mark.parametrize("role", sorted(roles.ROLES))
def test_a_role_gets_in_where_its_grant_says_so_and_nowhere_else(world, login, addresses, role):
    browser = login(WHO[role])
    wrong = {}
    # Whoever is let in may change something, so those who are refused come first.
    for name in sorted(PAGES, key=lambda n: (role in roles.GRANTS[PAGES[n].permission], n == "webhook_remove")):
        granted = role in roles.GRANTS[PAGES[name].permission]
        answer = browser.post(addresses[name]) if name in POSTS else browser.get(addresses[name])
        allowed = (200, 302, 409, 422) if name in POSTS else (404,) if name in HELD else (200, 302)
        if answer.status_code not in (allowed if granted else (403, 404)):
            wrong[name] = answer.status_code
    assert wrong == {}


def test_nobody_gets_in_without_signing_in(world, addresses):
    for name, address in addresses.items():
        if name in POSTS:
            answer = Client().post(address)
            assert answer.status_code == 401 and 'role="alert"' in answer.content.decode(), name
        else:
            answer = Client().get(address)
            assert answer.status_code == 302 and answer["Location"].startswith("/login/?next="), name


@pytest.mark.parametrize("name", sorted(POSTS))
def test_what_changes_something_is_not_done_by_following_a_link(world, login, addresses, name):
    permission = PAGES[name].permission
    person = WHO[sorted(roles.GRANTS[permission])[0]]
    for method in ("get", "head", "put", "delete"):
        assert getattr(login(person), method)(addresses[name]).status_code == 405


@pytest.mark.parametrize("name", sorted(set(PAGES) - POSTS))
def test_a_page_that_is_only_read_takes_no_post(world, login, addresses, name):
    person = WHO[sorted(roles.GRANTS[PAGES[name].permission])[0]]
    assert login(person).post(addresses[name]).status_code == 405


@pytest.mark.parametrize("name", sorted(POSTS))
def test_a_form_from_elsewhere_is_refused(world, addresses, name):
    permission = PAGES[name].permission
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(
        world.staff[WHO[sorted(roles.GRANTS[permission])[0]]], backend="django.contrib.auth.backends.ModelBackend"
    )
    assert browser.post(addresses[name]).status_code == 403


@pytest.mark.parametrize("role", sorted(roles.ROLES))
def test_buttons_are_shown_to_those_whose_press_would_count(world, login, addresses, role):
    browser = login(WHO[role])
    for name in set(PAGES) - POSTS - {"governance"}:
        if role not in roles.GRANTS[PAGES[name].permission]:
            continue
        answer = browser.get(addresses[name])
        if answer.streaming:
            continue  # a file, without buttons
        page = answer.content.decode()
        for post in POSTS:
            if re.search(rf'action="{re.escape(addresses[post])}["#]', page):
                assert role in roles.GRANTS[PAGES[post].permission], (name, post)
