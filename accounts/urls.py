"""Addresses of this app."""

from __future__ import annotations

from django.urls import URLPattern, path

from accounts import (
    client_pages,
    governance_pages,
    house,
    quarantine_pages,
    staff_pages,
    user_pages,
    verification_pages,
    webhook_pages,
)

urlpatterns: list[URLPattern] = [
    path("users/", user_pages.users, name="users"),
    path("users/by-number/", user_pages.search_by_number, name="users_by_number"),
    path("users/verification/", verification_pages.verification, name="verification"),
    path("users/verification/<uuid:pk>/decide/", verification_pages.decide, name="verification_decide"),
    path("users/verification/<uuid:pk>/reveal/", verification_pages.reveal, name="verification_reveal"),
    path("users/<uuid:pk>/", user_pages.user, name="user"),
    path("users/<uuid:pk>/measures/", user_pages.apply_measure, name="measure_apply"),
    path("users/<uuid:pk>/measures/<uuid:measure>/lift/", user_pages.lift_measure, name="measure_lift"),
    path("staff/", staff_pages.staff, name="staff"),
    path("staff/create/", staff_pages.create, name="staff_create"),
    path("staff/<uuid:pk>/active/", staff_pages.set_active, name="staff_active"),
    path("staff/clients/", client_pages.clients, name="clients"),
    path("staff/clients/create/", client_pages.create, name="client_create"),
    path("staff/clients/<uuid:pk>/keys/", client_pages.issue, name="key_issue"),
    path("staff/keys/<uuid:pk>/revoke/", client_pages.revoke, name="key_revoke"),
    path("staff/webhooks/", webhook_pages.webhooks, name="webhooks"),
    path("staff/webhooks/register/", webhook_pages.register, name="webhook_register"),
    path("staff/webhooks/<uuid:pk>/", webhook_pages.webhook, name="webhook"),
    path("staff/webhooks/<uuid:pk>/remove/", webhook_pages.remove, name="webhook_remove"),
    path("staff/webhooks/<uuid:pk>/<uuid:delivery>/resend/", webhook_pages.resend, name="delivery_resend"),
    path("staff/jobs/", quarantine_pages.quarantine, name="quarantine"),
    path("staff/jobs/<int:pk>/retry/", quarantine_pages.retry, name="job_retry"),
    path("staff/jobs/<int:pk>/drop/", quarantine_pages.drop, name="job_drop"),
    path("governance/", house.governance, name="governance"),
    path("governance/gates/", governance_pages.gates, name="gates"),
    path("governance/gates/close/", governance_pages.close, name="gate_close"),
    path("governance/gates/<uuid:pk>/open/", governance_pages.reopen, name="gate_open"),
    path("governance/settings/", governance_pages.settings, name="settings"),
]
