"""Addresses of this app."""

from __future__ import annotations

from django.urls import URLPattern, path

from accounts.pages import clients, gates, house, quarantine, staff, users, verification, webhooks

urlpatterns: list[URLPattern] = [
    path("users/", users.users, name="users"),
    path("users/by-number/", users.search_by_number, name="users_by_number"),
    path("users/verification/", verification.verification, name="verification"),
    path("users/verification/<uuid:pk>/decide/", verification.decide, name="verification_decide"),
    path("users/verification/<uuid:pk>/reveal/", verification.reveal, name="verification_reveal"),
    path("users/<uuid:pk>/", users.user, name="user"),
    path("users/<uuid:pk>/measures/", users.apply_measure, name="measure_apply"),
    path("users/<uuid:pk>/measures/<uuid:measure>/lift/", users.lift_measure, name="measure_lift"),
    path("staff/", staff.staff, name="staff"),
    path("staff/create/", staff.create, name="staff_create"),
    path("staff/<uuid:pk>/active/", staff.set_active, name="staff_active"),
    path("staff/clients/", clients.clients, name="clients"),
    path("staff/clients/create/", clients.create, name="client_create"),
    path("staff/clients/<uuid:pk>/keys/", clients.issue, name="key_issue"),
    path("staff/keys/<uuid:pk>/revoke/", clients.revoke, name="key_revoke"),
    path("staff/webhooks/", webhooks.webhooks, name="webhooks"),
    path("staff/webhooks/register/", webhooks.register, name="webhook_register"),
    path("staff/webhooks/<uuid:pk>/", webhooks.webhook, name="webhook"),
    path("staff/webhooks/<uuid:pk>/remove/", webhooks.remove, name="webhook_remove"),
    path("staff/webhooks/<uuid:pk>/<uuid:delivery>/resend/", webhooks.resend, name="delivery_resend"),
    path("staff/jobs/", quarantine.quarantine, name="quarantine"),
    path("staff/jobs/<int:pk>/retry/", quarantine.retry, name="job_retry"),
    path("staff/jobs/<int:pk>/drop/", quarantine.drop, name="job_drop"),
    path("governance/", house.governance, name="governance"),
    path("governance/gates/", gates.gates, name="gates"),
    path("governance/gates/close/", gates.close, name="gate_close"),
    path("governance/gates/<uuid:pk>/open/", gates.reopen, name="gate_open"),
    path("governance/settings/", gates.settings, name="settings"),
]
