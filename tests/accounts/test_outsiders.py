"""Every page of accounts against every role, from the page's own grant: who has it gets in, nobody else does."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from django.urls import reverse

from accounts import urls
from accounts.models import ApiKey, Measure
from core import roles, webhooks
from core.models import Gate, QuarantinedJob, WebhookDelivery

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
    "users_by_number", "verification_decide", "verification_reveal", "measure_apply", "measure_lift", "staff_create",
    "staff_active", "client_create", "key_issue", "key_revoke", "webhook_register", "webhook_remove",
    "delivery_resend", "job_retry", "job_drop", "gate_close", "gate_open",
}  # fmt: skip


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
    given = {
        "verification_decide": [identity.pk],
        "verification_reveal": [identity.pk],
        "user": [world.qian.pk],
        "measure_apply": [world.qian.pk],
        "measure_lift": [world.qian.pk, Measure.objects.get().pk],
        "staff_active": [world.bai.pk],
        "key_issue": [world.client.pk],
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
        allowed = (200, 302, 409, 422) if name in POSTS else (200, 302)
        if answer.status_code not in (allowed if granted else (403, 404)):
            wrong[name] = answer.status_code
    assert wrong == {}


def test_nobody_gets_in_without_signing_in(world, addresses):
    for name, address in addresses.items():
        answer = Client().post(address) if name in POSTS else Client().get(address)
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
        page = browser.get(addresses[name]).content.decode()
        for post in POSTS:
            if re.search(rf'action="{re.escape(addresses[post])}["#]', page):
                assert role in roles.GRANTS[PAGES[post].permission], (name, post)
